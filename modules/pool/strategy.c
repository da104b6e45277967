/* strategy.c: strategies by their names. */
#include "strategy.h"

typedef struct named {
    const char *name;
    const weir_balancer_t *balancer;
} named_t;

static const named_t strategies[] = {
    {"round_robin", &strategy_round_robin},   {"weighted_round_robin", &strategy_weighted_round_robin},
    {"least_loaded", &strategy_least_loaded}, {"least_latency", &strategy_least_latency},
    {"adaptive", &strategy_adaptive},         {"hash", &strategy_hash},
};

const weir_balancer_t *strategy_named(const weir_host_t *host, const char *name)
{
    for (size_t i = 0; i < sizeof(strategies) / sizeof(strategies[0]); i++)
        if (strcmp(strategies[i].name, name) == 0)
            return strategies[i].balancer;
    return host->balancer(name);
}
