/* connection_pool.c: what the pool costs an exchange that finds an idle link: choosing the server, leasing the link, and taking it
 * back. Three servers, ten links each, for every strategy. The loop that it is held against does what the host does at both ends.
 */
#include "inside.h"

#define LINKS 10

static const weir_exchange_module_t *pool;
static const weir_balancer_t *peak_ewma;
static void *self;
static weir_exchange_t ex = {.verb = WEIR_VERB_MESSAGE, .peer = {"192.0.2.1", 9}};
static weir_outcome_t outcome = {.reason = WEIR_REASON_NONE, .status = 200, .server_us = 100};
static _Alignas(16) char state[256];
static weir_link_t links[INSIDE_SERVERS * LINKS];
static uint32_t nlinks;
static volatile uint32_t missed;

static weir_link_t *fake_open(weir_server_t *server, weir_error_t *err)
{
    (void)err;
    weir_link_t *link = &links[nlinks++];
    *link =
        (weir_link_t){.magic = WEIR_LINK_MAGIC, .state = WEIR_LINK_CONNECTING, .server = server, .born_ms = 1000000};
    weir_list_init(&link->node);
    return link;
}

static int fake_lease(weir_exchange_t *exchange, weir_link_t *link)
{
    link->state = WEIR_LINK_BUSY;
    link->exchanges++;
    link->is_used = true;
    exchange->link = link;
    return WEIR_OK;
}

static weir_server_t *fake_bound(const weir_exchange_t *exchange)
{
    (void)exchange;
    return NULL;
}

static bool fake_admits(weir_server_t *server, weir_exchange_t *exchange)
{
    (void)server, (void)exchange;
    return true;
}

static const weir_balancer_t *fake_balancer(const char *name)
{
    return strcmp(name, "peak_ewma") == 0 ? peak_ewma : NULL;
}

static const weir_host_t host = {.size = sizeof(weir_host_t),
                                 .now_ms = inside_now,
                                 .log = inside_log,
                                 .timeouts = inside_timeouts,
                                 .timer_start = inside_timer_start,
                                 .timer_stop = inside_timer_stop,
                                 .upstream_server = inside_server,
                                 .shared = inside_shared,
                                 .counters = inside_counters,
                                 .link_open = fake_open,
                                 .exchange_lease = fake_lease,
                                 .exchange_server = fake_bound,
                                 .server_admits = fake_admits,
                                 .balancer = fake_balancer};

static void *state_of_an_exchange(void)
{
    memset(state, 0, pool->state_size);
    ex.link = NULL;
    return state;
}

static void release(weir_link_t *link)
{
    link->exchanges--;
    link->state = WEIR_LINK_IDLE;
}

static void with(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        void *s = state_of_an_exchange();
        if (pool->request(self, &ex, s) != WEIR_PASS)
            missed++;
        weir_link_t *link = ex.link;
        pool->end(self, &ex, s, &outcome);
        release(link);
        pool->link(self, link, WEIR_LINK_EVENT_FREE, NULL);
    }
}

static void without(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        void *s = state_of_an_exchange();
        weir_link_t *link = &links[i % nlinks];
        (void)fake_lease(&ex, link);
        __asm__ volatile("" ::"r"(s), "r"(link) : "memory");
        release(link);
    }
}

static void bench(const weir_module_t *module, const char *strategy)
{
    weir_error_t err = {""};
    char what[64];
    void *options = inside_options(module);
    for (const weir_option_t *o = module->options; o->name != NULL; o++) {
        if (strcmp(o->name, "strategy") == 0)
            *(const char **)(void *)((char *)options + o->offset) = strategy;
        if (strcmp(o->name, "min") == 0)
            *(int64_t *)(void *)((char *)options + o->offset) = LINKS;
    }
    nlinks = 0;
    self = pool->create(&host, &inside_upstream, options, &err);
    if (self == NULL) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    pool->start(self);
    for (uint32_t i = 0; i < nlinks; i++) {
        links[i].state = WEIR_LINK_IDLE;
        pool->link(self, &links[i], WEIR_LINK_EVENT_UP, NULL);
    }
    snprintf(what, sizeof(what), "pool: acquire + release, %s", strategy);
    inside_report(what, with, without);
    for (uint32_t i = 0; i < nlinks; i++)
        weir_list_remove(&links[i].node);
    pool->destroy(self);
}

int main(void)
{
    static const char *const strategies[] = {
        "round_robin", "weighted_round_robin", "least_loaded", "least_latency", "adaptive", "peak_ewma", "hash"};
    inside_begin();
    const weir_module_t *module = inside_module("pool");
    pool = module->exchange;
    peak_ewma = inside_module("peak_ewma")->balancer;
    for (size_t i = 0; i < sizeof(strategies) / sizeof(strategies[0]); i++)
        bench(module, strategies[i]);
    return missed != 0;
}
