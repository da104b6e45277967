/* guard.h: who may reach a listener by HTTP, against DNS rebinding: a web page can make its own name resolve to 127.0.0.1 and so reach
 * a listener of this machine; but it cannot make the browser say localhost in Host, nor hide itself in Origin.
 */
#ifndef GUARD_H
#define GUARD_H

#include <weir/module.h>

weir_reason_t guard_host(const weir_listener_t *listener, const weir_guard_t *guard, const weir_head_t *head,
                         weir_error_t *err);
weir_reason_t guard_origin(const weir_guard_t *guard, const weir_head_t *head, weir_error_t *err);

#endif
