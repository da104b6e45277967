/* pool.c: the module: options, life, and the way of an exchange through it. The way of one that finds an idle link is short:
 * pool_request, choice_server, links_take, links_lease; no allocation, no search.
 */
#include "pool.h"
#include "strategy.h"

#include <stdlib.h>

/* ---- exchanges ---- */

/* Its session has the link, and may use it for as long as its server may be used. */
static weir_verdict_t pool_pass_bound(wait_t *w)
{
    w->bound = w->ex->link->server->pooled;
    if (choice_admits(w, w->bound)) {
        w->server = w->bound;
        load_begun(w->server);
        return WEIR_PASS;
    }
    waiting_fail_barred(w);
    return WEIR_ANSWERED;
}

static weir_verdict_t pool_request(void *self, weir_exchange_t *ex, void *state)
{
    pool_t *pool = self;
    wait_t *w = state;
    w->ex = ex;
    w->pool = pool;
    if (ex->link != NULL) /* its session's own */
        return pool_pass_bound(w);
    const weir_server_t *bound = pool->host->exchange_server(ex);
    w->bound = bound == NULL ? NULL : bound->pooled;
    w->is_own = pool->is_shared && pool->host->exchange_wants_own_link(ex);
    pool_server_t *s = choice_server(pool, w);
    if (s != NULL && links_take(s, w))
        return WEIR_PASS;
    return waiting_add(w, s);
}

static void pool_learn(pool_server_t *s, const weir_outcome_t *outcome)
{
    bool is_error = weir_outcome_failed(outcome);
    load_ended(s, outcome, is_error);
    if (is_error)
        health_bad(s, "an exchange failed");
    else if (outcome->reason == WEIR_REASON_NONE)
        health_good(s);
}

static void pool_end(void *self, weir_exchange_t *ex, void *state, const weir_outcome_t *outcome)
{
    pool_t *pool = self;
    wait_t *w = state;
    (void)ex;
    if (w->node.next != NULL)
        waiting_remove(w);
    if (w->server == NULL)
        return;
    pool_learn(w->server, outcome);
    if (pool->balancer->outcome != NULL)
        pool->balancer->outcome(pool->strategy, w->server->server->index, outcome);
    w->server = NULL;
}

static void pool_link(void *self, weir_link_t *link, weir_link_event_t event, const char *why)
{
    links_event(self, link, event, why);
}

/* ---- life ---- */

static void on_refill(void *arg)
{
    pool_server_t *s = arg;
    s->is_unwanted = false;
    for (uint32_t missing = links_missing(s); missing > 0; missing--) {
        if (s->pool->host->server_admits(s->server, NULL) && links_open(s))
            continue;
        links_refill_later(s);
        return;
    }
}

static void pool_start(void *self)
{
    pool_t *pool = self;
    for (uint32_t i = 0; i < pool->nservers; i++)
        on_refill(&pool->servers[i]);
    tend_start(pool);
}

static void pool_destroy(void *self)
{
    pool_t *pool = self;
    for (uint32_t i = 0; pool->servers != NULL && i < pool->nservers; i++)
        pool->host->timer_stop(&pool->servers[i].refill);
    pool->host->timer_stop(&pool->tend);
    if (pool->strategy != NULL)
        pool->balancer->destroy(pool->strategy);
    free(pool->candidates);
    free(pool->loads);
    free(pool->servers);
    free(pool);
}

static int server_init(pool_t *pool, uint32_t index, weir_error_t *err)
{
    pool_server_t *s = &pool->servers[index];
    s->server = pool->host->upstream_server(pool->upstream, index);
    s->server->pooled = s;
    s->pool = pool;
    s->load = &pool->loads[index];
    *s->load = (weir_load_t){.server = s->server, .ramp = 100, .weight = 100 * s->server->weight};
    s->refill = (weir_timer_t){.fire = on_refill, .arg = s};
    weir_list_init(&s->refill.node);
    weir_list_init(&s->connecting);
    weir_list_init(&s->fresh);
    weir_list_init(&s->idle);
    weir_list_init(&s->busy);
    if (health_begin(s, err) != WEIR_OK)
        return WEIR_EFAIL;
    return pool->host->counters(&s->counters, pool->upstream, s->server, "pool", SERVER_GAUGES,
                                SERVER_COUNTERS - SERVER_GAUGES, err);
}

static int pool_strategy(pool_t *pool, weir_error_t *err)
{
    const pool_options_t *o = pool->options;
    const weir_balancing_t balancing = {
        .loads = pool->loads, .hash_by = (weir_hash_by_t)o->hash_by, .hash_header = o->hash_header};
    pool->balancer = strategy_named(pool->host, o->strategy);
    if (pool->balancer == NULL)
        return weir_error(err,
                          "there is no strategy %s: it is neither round_robin, weighted_round_robin, least_loaded, "
                          "least_latency, adaptive nor hash, nor a balancer among `modules:`",
                          o->strategy);
    pool->strategy = pool->balancer->create(pool->host, pool->upstream, &balancing, err);
    return pool->strategy == NULL ? WEIR_EFAIL : WEIR_OK;
}

static int pool_equip(pool_t *pool, weir_error_t *err)
{
    pool->acquire_timeouts = pool->host->timeouts(pool->options->acquire_timeout_ms);
    pool->servers = calloc(pool->nservers, sizeof(*pool->servers));
    pool->loads = calloc(pool->nservers, sizeof(*pool->loads));
    pool->candidates = calloc(pool->nservers, sizeof(*pool->candidates));
    if (pool->servers == NULL || pool->loads == NULL || pool->candidates == NULL || pool->acquire_timeouts == NULL)
        return weir_error(err, "no memory for the pool");
    for (uint32_t i = 0; i < pool->nservers; i++)
        if (server_init(pool, i, err) != WEIR_OK)
            return WEIR_EFAIL;
    if (pool->host->counters(&pool->counters, pool->upstream, NULL, "pool", POOL_GAUGES, POOL_COUNTERS - POOL_GAUGES,
                             err) != WEIR_OK)
        return WEIR_EFAIL;
    return pool_strategy(pool, err);
}

/* `min` as it is read when it is written as a word. */
#define MIN_AUTO -1
static const char *const min_words[] = {"auto", NULL};

#define MIN_CHEAP 10u

/* A connection that nobody uses costs next to nothing; a process costs memory, and what it does when it starts. */
static uint32_t min_of(const pool_options_t *o, const weir_upstream_t *upstream)
{
    if (o->min != MIN_AUTO)
        return (uint32_t)o->min;
    uint32_t min = upstream->is_dear ? 0 : MIN_CHEAP;
    return min < o->max ? min : (uint32_t)o->max;
}

static void *pool_create(const weir_host_t *host, weir_upstream_t *upstream, const void *options, weir_error_t *err)
{
    const pool_options_t *o = options;
    if (o->min > o->max) {
        weir_error(err, "min (%lld) is larger than max (%lld)", (long long)o->min, (long long)o->max);
        return NULL;
    }
    pool_t *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        weir_error(err, "no memory for the pool");
        return NULL;
    }
    *pool = (pool_t){.host = host,
                     .upstream = upstream,
                     .options = o,
                     .is_shared = upstream->is_shared,
                     .is_messages = upstream->is_messages,
                     .min = min_of(o, upstream),
                     .max = (uint32_t)o->max,
                     .nservers = upstream->nservers};
    weir_list_init(&pool->waiting);
    weir_list_init(&pool->tend.node);
    if (pool_equip(pool, err) == WEIR_OK)
        return pool;
    pool_destroy(pool);
    return NULL;
}

static void pool_status(void *self, weir_status_t *status)
{
    status_write(self, status);
}

#define AT(member) offsetof(pool_options_t, member)

static const char *const hash_words[] = {
    [WEIR_HASH_SESSION] = "session", [WEIR_HASH_HEADER] = "header", [WEIR_HASH_PRINCIPAL] = "principal", NULL};

static const weir_option_t pool_options[] = {
    {.name = "strategy",
     .type = WEIR_TYPE_STRING,
     .offset = AT(strategy),
     .fallback = "round_robin",
     .doc = "which server an exchange goes to: round_robin, weighted_round_robin, least_loaded (fewest exchanges in "
            "flight "
            "for its weight), least_latency, adaptive (in turn, by health), hash, or a balancer among `modules:` "
            "(peak_ewma)"},
    {.name = "hash_by",
     .type = WEIR_TYPE_ENUM,
     .offset = AT(hash_by),
     .fallback = "session",
     .names = hash_words,
     .doc = "of strategy hash: what goes to the same server: a session, what a header says, or a principal (who the "
            "client's certificate says it is; without one, whoever has the same Authorization); where there is none of "
            "it, the client's address"},
    {.name = "hash_header", .type = WEIR_TYPE_STRING, .offset = AT(hash_header), .doc = "of hash_by: header: its name"},
    {.name = "min",
     .type = WEIR_TYPE_INT,
     .offset = AT(min),
     .fallback = "auto",
     .min = 0,
     .max = 10000,
     .names = min_words,
     .doc =
         "links to each server that every process opens at start and keeps open; of shared links: unused ones. auto: "
         "10, or 0 where a link is a process of its own (stdio), and never more than max"},
    {.name = "max",
     .type = WEIR_TYPE_INT,
     .offset = AT(max),
     .fallback = "100",
     .min = 1,
     .max = 10000,
     .doc = "links to each server that a process has at most"},
    {.name = "exchanges_per_link",
     .type = WEIR_TYPE_INT,
     .offset = AT(exchanges_per_link),
     .fallback = "16",
     .min = 1,
     .max = 65535,
     .doc = "exchanges that a shared link (a child, a stream) carries before another one is used"},
    {.name = "acquire_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(acquire_timeout_ms),
     .fallback = "5s",
     .min = 1,
     .max = 86400000,
     .doc = "how long an exchange waits for a link; then it fails with pool_full"},
    {.name = "max_waiting",
     .type = WEIR_TYPE_INT,
     .offset = AT(max_waiting),
     .fallback = "1024",
     .min = 0,
     .max = 1000000,
     .doc = "exchanges that may wait for a link at the same time; more fail with pool_full at once"},
    {.name = "grow_above",
     .type = WEIR_TYPE_RATIO,
     .offset = AT(grow_above),
     .fallback = "0.8",
     .min = 0,
     .max = 1,
     .doc = "links are opened in advance while more than this part of a server's links is in use"},
    {.name = "shrink_below",
     .type = WEIR_TYPE_RATIO,
     .offset = AT(shrink_below),
     .fallback = "0.3",
     .min = 0,
     .max = 1,
     .doc = "and closed, down to min, once less than this part has been in use for a while"},
    {.name = "max_age",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(max_age_ms),
     .fallback = "0",
     .min = 0,
     .max = 604800000,
     .doc = "a link that is older than this, give or take a tenth, takes nothing new and is closed when it is idle; 0: "
            "never"},
    {.name = "health_check",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(health_check_ms),
     .fallback = "30s",
     .min = 0,
     .max = 86400000,
     .doc = "how often a server that has answered nobody meanwhile is asked whether it is well, give or take a tenth: "
            "server/discover, or ping in the legacy era; by one process for all; 0: never, and none is ejected"},
    {.name = "health_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(health_timeout_ms),
     .fallback = "5s",
     .min = 1,
     .max = 86400000,
     .doc = "how long it may take to answer that; a link of messages that has not is given up"},
    {.name = "eject_after",
     .type = WEIR_TYPE_INT,
     .offset = AT(eject_after),
     .fallback = "3",
     .min = 1,
     .max = 10000,
     .doc =
         "failures in a row, of exchanges and health checks, after which a server is left alone until a check finds it "
         "well; never while it is the only one"},
    {.name = "slow_start",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(slow_start_ms),
     .fallback = "10s",
     .min = 0,
     .max = 86400000,
     .doc = "how long a server that was ejected takes to get its full share again"},
    {.name = NULL},
};

static const weir_figure_t pool_figures[] = {
    WEIR_GAUGE("waiting", "Exchanges that wait for a link"),
    WEIR_COUNTER("waited", "Exchanges that had to wait for a link"),
    WEIR_GAUGE("servers/{server}/links", "Links to a server, in whatever state"),
    WEIR_GAUGE("servers/{server}/connecting", "Links that are being opened"),
    WEIR_GAUGE("servers/{server}/idle", "Links that are open and carry nothing"),
    WEIR_GAUGE("servers/{server}/busy", "Links that are in use"),
    WEIR_GAUGE("servers/{server}/utilisation", "Links in use by links that are open"),
    WEIR_COUNTER("servers/{server}/opened", "Links that were begun to be opened"),
    WEIR_COUNTER("servers/{server}/failed", "Links that could not be opened"),
    WEIR_GAUGE("servers/{server}/in_flight", "Exchanges on their way to a server, or with it"),
    WEIR_COUNTER("servers/{server}/requests", "Exchanges that a server was chosen for, and that have ended"),
    WEIR_COUNTER("servers/{server}/errors", "Of them, those that the server failed"),
    WEIR_GAUGE("servers/{server}/latency_us", "Time that a server took to answer lately, on average"),
    {.path = "servers/{server}/score/total",
     .metric = "score",
     .doc = "Health: 0.5 latency + 0.3 errors + 0.2 age; 1 is best"},
    WEIR_GAUGE("servers/{server}/score/latency", "1 - average latency / 50 ms, not below 0"),
    WEIR_GAUGE("servers/{server}/score/errors", "1 - errors / requests"),
    WEIR_GAUGE("servers/{server}/score/age", "1 while links are younger than an hour, 0.8 than a day, then 0.5"),
    WEIR_COUNTER("servers/{server}/checks", "Health checks"),
    WEIR_COUNTER("servers/{server}/checks_failed", "Health checks that a server failed"),
    WEIR_COUNTER("servers/{server}/ejected", "How often a server was left alone from then on"),
    WEIR_GAUGE("servers/{server}/ejected_now", "1 while a server is left alone"),
    WEIR_COUNTER("servers/{server}/aged", "Links that were closed since they were older than max_age"),
    WEIR_COUNTER("servers/{server}/grown", "Links that were opened before they were needed"),
    WEIR_COUNTER("servers/{server}/shrunk", "Links that were closed since they were not needed"),
    {.path = NULL},
};

static const weir_exchange_module_t pool_module = {
    .flags = WEIR_OWNS_LINKS,
    .state_size = sizeof(wait_t),
    .create = pool_create,
    .start = pool_start,
    .destroy = pool_destroy,
    .request = pool_request,
    .end = pool_end,
    .link = pool_link,
    .status = pool_status,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "pool",
    .doc = "owns an upstream's links: chooses the server, opens and leases links, bounds the waiting",
    .options = pool_options,
    .options_size = sizeof(pool_options_t),
    .exchange = &pool_module,
    .figures = pool_figures,
};
