/* breaker_overhead.c: what the breaker costs an exchange while its circuit is closed: asked before (admit), told of the link (leased),
 * told of the end (end). The loop that it is held against does the same without it.
 */
#include "inside.h"

static const weir_exchange_module_t *breaker;
static void *self;
static weir_exchange_t ex = {.verb = WEIR_VERB_MESSAGE};
static weir_outcome_t outcome = {.reason = WEIR_REASON_NONE, .status = 200};
static _Alignas(16) char state[256];
static volatile uint32_t refused;

static void retry_after(weir_exchange_t *exchange, uint64_t ms)
{
    (void)exchange, (void)ms;
}

static const weir_host_t host = {.size = sizeof(weir_host_t),
                                 .now_ms = inside_now,
                                 .log = inside_log,
                                 .upstream_server = inside_server,
                                 .shared = inside_shared,
                                 .counters = inside_counters,
                                 .exchange_retry_after = retry_after};

static void *state_of_an_exchange(void)
{
    memset(state, 0, breaker->state_size);
    return state;
}

static void with(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        void *s = state_of_an_exchange();
        __asm__ volatile("" ::: "memory");
        if (!breaker->admit(self, &inside_servers[i % INSIDE_SERVERS], &ex, s))
            refused++;
        breaker->leased(self, &ex, s);
        breaker->end(self, &ex, s, &outcome);
    }
}

static void without(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        void *s = state_of_an_exchange();
        __asm__ volatile("" ::"r"(s), "r"(&inside_servers[i % INSIDE_SERVERS]) : "memory");
    }
}

int main(void)
{
    weir_error_t err = {""};
    inside_begin();
    const weir_module_t *module = inside_module("breaker");
    breaker = module->exchange;
    self = breaker->create(&host, &inside_upstream, inside_options(module), &err);
    if (self == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    inside_report("breaker: check + record", with, without);
    return refused != 0;
}
