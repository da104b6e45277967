/* status_chain.h: what /status says of modules: of those of a chain, what they are told to do, and what they tell; of transports, what
 * they tell. */
#ifndef STATUS_CHAIN_H
#define STATUS_CHAIN_H

#include "listener.h"
#include "upstream.h"

struct json_t;

struct json_t *upstream_chain_status(const upstream_t *up);
struct json_t *listener_chain_status(const weir_listener_t *listener);

/* By their names; NULL when they tell nothing. */
struct json_t *upstream_transports_status(upstream_t *up);
struct json_t *listener_transports_status(const weir_listener_t *listener);

#endif
