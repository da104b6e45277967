/* least.c: strategies that take the server with the least of something: least_loaded (exchanges in flight for its weight),
 * least_latency (moving average of its latency, times those in flight and this one).
 *
 * They look from the one after the last chosen, so that equals take turns. A latency is believed for a while only: half of it is
 * forgotten every ten seconds, so that a server that was slow once is tried again. One of which nothing is known comes first.
 */
#include <math.h>
#include <stdlib.h>

#include "strategy.h"

#define FORGET_HALF_MS 10000.0
#define AVERAGE_OF 8.0 /* how much of the past is in the average */

typedef struct known {
    double latency_us;
    uint64_t at_ms;
} known_t;

typedef struct least {
    const weir_host_t *host;
    const weir_load_t *loads;
    double (*cost)(const struct least *l, uint32_t server);
    uint32_t turn;   /* a server's index */
    known_t known[]; /* by server */
} least_t;

static double cost_of_load(const least_t *l, uint32_t server)
{
    const weir_load_t *load = &l->loads[server];
    return (double)load->in_flight / load->weight;
}

static double cost_of_latency(const least_t *l, uint32_t server)
{
    const weir_load_t *load = &l->loads[server];
    const known_t *known = &l->known[server];
    double age_ms = (double)(l->host->now_ms() - known->at_ms);
    double latency = known->at_ms == 0 ? 0 : known->latency_us * exp2(-age_ms / FORGET_HALF_MS);
    return latency * (load->in_flight + 1) / load->weight;
}

static void *least_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                          double (*cost)(const least_t *, uint32_t), weir_error_t *err)
{
    least_t *l = calloc(1, sizeof(*l) + upstream->nservers * sizeof(l->known[0]));
    if (l == NULL) {
        weir_error(err, "no memory for the strategy");
        return NULL;
    }
    l->host = host;
    l->loads = balancing->loads;
    l->cost = cost;
    return l;
}

static void *loaded_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                           weir_error_t *err)
{
    return least_create(host, upstream, balancing, cost_of_load, err);
}

static void *latency_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                            weir_error_t *err)
{
    return least_create(host, upstream, balancing, cost_of_latency, err);
}

static void least_destroy(void *self)
{
    free(self);
}

static uint32_t least_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    least_t *l = self;
    uint32_t at = 0, best = 0;
    double least = 0;
    (void)ex;
    while (at < n && servers[at] < l->turn)
        at++;
    for (uint32_t i = 0; i < n; i++, at++) {
        at = at < n ? at : 0;
        double cost = l->cost(l, servers[at]);
        if (i > 0 && cost >= least)
            continue;
        best = at;
        least = cost;
    }
    l->turn = servers[best] + 1;
    return best;
}

static void latency_outcome(void *self, uint32_t server, const weir_outcome_t *outcome)
{
    least_t *l = self;
    known_t *known = &l->known[server];
    if (outcome->reason != WEIR_REASON_NONE || outcome->server_us == 0)
        return;
    double us = (double)outcome->server_us;
    known->latency_us = known->at_ms == 0 ? us : known->latency_us + (us - known->latency_us) / AVERAGE_OF;
    known->at_ms = l->host->now_ms();
}

const weir_balancer_t strategy_least_loaded = {
    .create = loaded_create, .destroy = least_destroy, .choose = least_choose};
const weir_balancer_t strategy_least_latency = {
    .create = latency_create, .destroy = least_destroy, .choose = least_choose, .outcome = latency_outcome};
