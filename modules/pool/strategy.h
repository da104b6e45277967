/* strategy.h: the strategies that come with the pool, each a weir_balancer_t. */
#ifndef POOL_STRATEGY_H
#define POOL_STRATEGY_H

#include <weir/module.h>

extern const weir_balancer_t strategy_round_robin;
extern const weir_balancer_t strategy_weighted_round_robin;
extern const weir_balancer_t strategy_adaptive;
extern const weir_balancer_t strategy_least_loaded;
extern const weir_balancer_t strategy_least_latency;
extern const weir_balancer_t strategy_hash;

/* One of these, or the balancer of a loaded module; NULL: there is none of that name. */
const weir_balancer_t *strategy_named(const weir_host_t *host, const char *name);

#endif
