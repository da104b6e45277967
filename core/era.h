/* era.h: finding out which era the servers of an upstream with stream links speak, once, without side effects.
 *
 *   state    event                                 next     what happens
 *   UNKNOWN  a modern request                      ASKED    server/discover is sent; the request waits
 *   ASKED    another modern request                ASKED    it waits as well
 *   ASKED    result, or a modern error             MODERN   those that wait are sent
 *   ASKED    any other error to our own question   LEGACY   those that wait fail: the client has to initialize
 *   ASKED    link down                             UNKNOWN  those that wait fail with it, or ask anew
 *   MODERN   a modern request of another revision  MODERN   weir refuses it with the list of the DiscoverResult
 *   MODERN   "method not found" to server/discover LEGACY   the server was replaced by an older one
 *
 * (2026-07-28, stdio: Backward Compatibility.)
 */
#ifndef ERA_H
#define ERA_H

#include "exchange.h"

/* Send a modern request to a server of that era: now, or when its era is known. Any other fails. */
void era_send(exchange_t *ex);

/* Whether an answer to a client's own server/discover, which may be wrong in itself, tells the era. */
bool era_is_told(const weir_envelope_t *answer);

/* server/discover was answered. */
void era_learn(upstream_t *up, link_t *link, const weir_envelope_t *answer);

/* The link died before it was. */
void era_forget(upstream_t *up);

#endif
