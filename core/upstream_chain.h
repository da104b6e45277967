/* upstream_chain.h: the chain of an upstream, made of what the configuration says: an instance of each module that works in this process,
 * in their order, the one that owns the links, and behind it the link modules (lane.h). How a request passes it is in chain.h.
 */
#ifndef UPSTREAM_CHAIN_H
#define UPSTREAM_CHAIN_H

#include "upstream.h"

/* WEIR_EFAIL with the story; what was made by then goes with the upstream. */
int upstream_chain(const config_t *config, upstream_t *up, weir_error_t *err);

#endif
