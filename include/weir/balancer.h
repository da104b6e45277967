/* balancer.h: a balancer chooses the server of an exchange, for the module that owns the links. A strategy of the pool is one; a
 * module may bring another, which the pool's `strategy` then names.
 *
 * One instance per upstream and process. All figures are of this process; they are kept by who asks, in `loads`, in the order of
 * the servers' index, and may be read at any time. Nothing here is called from inside of `choose` or `outcome`.
 */
#ifndef WEIR_BALANCER_H
#define WEIR_BALANCER_H

#include "error.h"
#include "exchange.h"

/* What is known of a server at this moment. Those of a window: of the last 30 to 60 seconds. */
typedef struct weir_load {
    weir_server_t *server;
    uint32_t ramp;             /* 100; less while the server starts slowly, never 0 */
    uint32_t weight;           /* the configured one, times ramp */
    uint32_t in_flight;        /* exchanges */
    uint64_t requests, errors; /* of the window: exchanges that have ended, and those of them that failed */
    uint64_t answered;         /* of the window: those that `answered_us` adds up */
    uint64_t answered_us;
    uint32_t links;
    uint64_t age_ms; /* of its links, on average */
} weir_load_t;

/* Health, from 0 to 1, and its parts, likewise. */
typedef struct weir_score {
    double latency, errors, age, total;
} weir_score_t;

#define WEIR_SCORE_LATENCY_US 50000.0 /* at which nothing is left of that part */

static inline weir_score_t weir_load_score(const weir_load_t *load)
{
    weir_score_t score = {1, 1, 1, 0};
    if (load->answered > 0)
        score.latency = 1 - (double)load->answered_us / (double)load->answered / WEIR_SCORE_LATENCY_US;
    if (score.latency < 0)
        score.latency = 0;
    if (load->requests > 0)
        score.errors = 1 - (double)load->errors / (double)load->requests;
    if (load->age_ms >= 3600000)
        score.age = load->age_ms < 86400000 ? 0.8 : 0.5;
    score.total = 0.5 * score.latency + 0.3 * score.errors + 0.2 * score.age;
    return score;
}

/* What a strategy that goes by the client looks at. */
typedef enum weir_hash_by {
    WEIR_HASH_SESSION,   /* Mcp-Session-Id; without one, the client's address */
    WEIR_HASH_HEADER,    /* a field of the request's head; without it, the same */
    WEIR_HASH_PRINCIPAL, /* of its certificate; without one, its Authorization; without that, the same */
} weir_hash_by_t;

typedef struct weir_balancing {
    const weir_load_t *loads; /* upstream->nservers of them; as long as the instance */
    weir_hash_by_t hash_by;
    const char *hash_header; /* of WEIR_HASH_HEADER */
} weir_balancing_t;

struct weir_host;

typedef struct weir_balancer {
    void *(*create)(const struct weir_host *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                    weir_error_t *err);
    void (*destroy)(void *self);
    /* One of the n servers (their indices, ascending, n > 0) that may be used for this exchange: a place in `servers`. */
    uint32_t (*choose)(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n);
    /* An exchange that had a link to this server has ended; the loads know already. NULL: it does not look at them. */
    void (*outcome)(void *self, uint32_t server, const weir_outcome_t *outcome);
} weir_balancer_t;

#endif
