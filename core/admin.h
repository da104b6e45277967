/* admin.h: the address for operators: /healthz, /readyz, /status. Served by every worker on one shared socket with a small HTTP/1.0
 * service of its own: one request, one reply, close.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include <stdbool.h>

#include <weir/error.h>

struct admin;

struct admin *admin_start(int fd, weir_error_t *err);
void admin_stop(struct admin *admin);
/* Whether nobody waits for an answer. */
bool admin_is_idle(const struct admin *admin);

/* Whether clients are taken. /readyz says 200 when they are and can be served, 503 while draining or while all keepers are down. */
void admin_ready(struct admin *admin, bool is_ready);

#endif
