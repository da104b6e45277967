/* admin.h: the address for operators: /healthz, /readyz, /status, /metrics. Served by every worker on one shared socket with a small HTTP/1.0
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

/* The worker takes no clients any more. When others follow, visitors are theirs; at the end /readyz says 503 from now on, as it does
 * while all keepers are down. */
void admin_drain(struct admin *admin, bool is_followed);

#endif
