/* checkup.h: a question of weir's own, to see whether a server is well. It has no side effects and needs no session: `server/discover`
 * of the modern era, `ping` of the legacy one. Whatever the server answers shows that it is there, also that it refuses the
 * question; what has the status 5xx is not well.
 *
 *   links of whole exchanges   an exchange that passes no chain; which of the two is asked follows from what was refused last time
 *   links of messages          a call; which of the two is asked follows from the session that owns the link, or from the era of the
 *                              upstream, and is asked for where that is not known
 */
#ifndef CHECKUP_H
#define CHECKUP_H

#include <weir/module.h>

/* See weir_host_t. */
int checkup_begin(weir_link_t *link, uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why),
                  void *arg);

#endif
