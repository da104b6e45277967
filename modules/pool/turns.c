/* turns.c: strategies in which servers take turns: round_robin (equally), weighted_round_robin (by their weights), adaptive (by their
 * weights and their health).
 *
 * Smooth, as nginx has it: each time every candidate gets its share, the one that has gathered most is chosen and pays the sum
 * of all shares. So a server of weight 5 beside two of weight 1 comes as a a b a c a a, and not five times in a row; and one that
 * may not be chosen for a while loses nothing and gains nothing.
 */
#include <stdlib.h>

#include "strategy.h"

/* What a server is worth in one turn; never 0, or it would never be asked again. */
typedef int64_t share_t(const weir_load_t *load);

typedef struct turns {
    const weir_load_t *loads;
    int64_t gathered[]; /* by server */
} turns_t;

/* As much as the server's slow start leaves of an equal share. */
static int64_t share_equal(const weir_load_t *load)
{
    return load->ramp;
}

static int64_t share_weight(const weir_load_t *load)
{
    return load->weight;
}

static int64_t share_health(const weir_load_t *load)
{
    int64_t share = (int64_t)(1000 * load->weight * weir_load_score(load).total);
    return share > 0 ? share : 1;
}

static void *turns_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                          weir_error_t *err)
{
    turns_t *t = calloc(1, sizeof(*t) + upstream->nservers * sizeof(t->gathered[0]));
    (void)host;
    if (t == NULL) {
        weir_error(err, "no memory for the strategy");
        return NULL;
    }
    t->loads = balancing->loads;
    return t;
}

static void turns_destroy(void *self)
{
    free(self);
}

/* Inline, and so with the share in its loop: this is done for every exchange. */
static inline uint32_t turns_next(turns_t *t, const uint32_t *servers, uint32_t n, share_t *share)
{
    int64_t sum = 0, most = INT64_MIN;
    uint32_t best = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t part = share(&t->loads[servers[i]]);
        int64_t gathered = t->gathered[servers[i]] += part;
        sum += part;
        if (gathered > most) {
            most = gathered;
            best = i;
        }
    }
    t->gathered[servers[best]] -= sum;
    return best;
}

static uint32_t equal_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    (void)ex;
    return turns_next(self, servers, n, share_equal);
}

static uint32_t weighted_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    (void)ex;
    return turns_next(self, servers, n, share_weight);
}

static uint32_t adaptive_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    (void)ex;
    return turns_next(self, servers, n, share_health);
}

const weir_balancer_t strategy_round_robin = {.create = turns_create, .destroy = turns_destroy, .choose = equal_choose};
const weir_balancer_t strategy_weighted_round_robin = {
    .create = turns_create, .destroy = turns_destroy, .choose = weighted_choose};
const weir_balancer_t strategy_adaptive = {.create = turns_create, .destroy = turns_destroy, .choose = adaptive_choose};
