/* grant.h: session tokens on the way through: opened when a request brings one, sealed when a reply grants one. */
#ifndef GRANT_H
#define GRANT_H

#include "exchange.h"

/* Open the request's token, if there is one, and bind the exchange to what it names. Fails the exchange and returns WEIR_EFAIL
 * when it does not open, belongs to another upstream or another principal, or names a server that is gone. */
int grant_open(exchange_t *ex);

/* A reply's head carries the server's own session id: what the client gets in its place. */
void grant_from_reply(exchange_t *ex, const weir_head_t *head);

/* A keeper has begun a session for this exchange. */
void grant_kept(exchange_t *ex, uint8_t keeper, const uint8_t *id, size_t n, weir_slice_t revision);

#endif
