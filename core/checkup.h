/* checkup.h: an exchange of weir's own, to see whether a server is well: it asks `server/discover`, which has no side effects and no
 * session, on a link of whole exchanges. Whatever the server answers shows that it is there: a server of the legacy era refuses it, and
 * is well; one that answers with 5xx is not.
 */
#ifndef CHECKUP_H
#define CHECKUP_H

#include "exchange.h"

/* See weir_host_t. */
int checkup_begin(weir_link_t *link, uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why),
                  void *arg);

#endif
