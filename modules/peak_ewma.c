/* peak_ewma.c: a balancer: the server that is expected to answer first, by a moving average of its latency that rises at once and
 * falls slowly, times the exchanges that are there already.
 *
 * A latency above the average becomes it: who has just been slow is left alone. One below it counts by the time that has passed,
 * so the average falls with a half-life of a few seconds, and the server is tried again. A server that fails is taken for one that is
 * as slow as it would be to wait for. One that has not answered anything yet is tried, but not by many at once.
 */
#include <math.h>
#include <stdlib.h>

#include <weir/module.h>

#define DECAY_MS 10000.0
#define UNKNOWN_US 1e6 /* what each exchange in flight costs at a server that has not answered yet */
#define FAILED_US 1e6

typedef struct peak {
    double us;
    uint64_t at_ms; /* 0: nothing is known */
} peak_t;

typedef struct balancer {
    const weir_host_t *host;
    const weir_load_t *loads;
    uint32_t turn;
    peak_t peaks[]; /* by server */
} balancer_t;

static double peak_now(const peak_t *peak, uint64_t now_ms)
{
    return peak->us * exp(-(double)(now_ms - peak->at_ms) / DECAY_MS);
}

static double cost_of(const balancer_t *b, uint32_t server, uint64_t now_ms)
{
    const weir_load_t *load = &b->loads[server];
    const peak_t *peak = &b->peaks[server];
    double cost = peak->at_ms == 0 ? UNKNOWN_US * load->in_flight : peak_now(peak, now_ms) * (load->in_flight + 1);
    return cost / load->weight;
}

static void *peak_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                         weir_error_t *err)
{
    balancer_t *b = calloc(1, sizeof(*b) + upstream->nservers * sizeof(peak_t));
    if (b == NULL) {
        weir_error(err, "no memory for peak_ewma");
        return NULL;
    }
    b->host = host;
    b->loads = balancing->loads;
    return b;
}

static void peak_destroy(void *self)
{
    free(self);
}

/* From the one after the last chosen: equals take turns. */
static uint32_t peak_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    balancer_t *b = self;
    uint64_t now_ms = b->host->now_ms();
    uint32_t at = 0, best = 0;
    double least = INFINITY;
    (void)ex;
    while (at < n && servers[at] < b->turn)
        at++;
    for (uint32_t i = 0; i < n; i++, at++) {
        at = at < n ? at : 0;
        double cost = cost_of(b, servers[at], now_ms);
        if (cost >= least)
            continue;
        least = cost;
        best = at;
    }
    b->turn = servers[best] + 1;
    return best;
}

static void peak_outcome(void *self, uint32_t server, const weir_outcome_t *outcome)
{
    balancer_t *b = self;
    peak_t *peak = &b->peaks[server];
    uint64_t now_ms = b->host->now_ms();
    double us = (double)outcome->server_us;
    bool is_failure = weir_outcome_failed(outcome);
    if (!is_failure && (outcome->reason != WEIR_REASON_NONE || us == 0))
        return; /* the client has gone, or only listened */
    if (is_failure && us < FAILED_US)
        us = FAILED_US;
    double share = peak->at_ms == 0 ? 0 : exp(-(double)(now_ms - peak->at_ms) / DECAY_MS);
    peak->us = us > peak->us ? us : peak->us * share + us * (1 - share);
    peak->at_ms = now_ms;
}

static const weir_balancer_t peak_ewma = {
    .create = peak_create, .destroy = peak_destroy, .choose = peak_choose, .outcome = peak_outcome};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "peak_ewma",
    .doc = "a strategy of the pool: the server expected to answer first, by its latest peaks of latency",
    .balancer = &peak_ewma,
};
