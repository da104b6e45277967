/* breaker.c: the module: what an exchange means to the circuits of an upstream's servers, and what operators see and say.
 *
 * The breaker stands before the pool, which alone knows to which server an exchange goes: the pool asks here about each (admit) and
 * tells when it has a link (leased). An exchange is on its way to one server at most.
 *
 *   exchange       event                              what its circuit hears
 *   on its way     a link could not be opened         failure
 *   on its way     goes to another server, or ends    nothing
 *   has its link   answered                           success
 *   has its link   answered with 5xx, or by who       failure
 *                  speaks no MCP
 *   has its link   a stream begins                    success: it may last for hours
 *   has its link   transport fault, time-out          failure
 *   has its link   the client has gone                nothing
 */
#include <stdio.h>
#include <stdlib.h>

#include <weir/module.h>

#include "circuit.h"

/* Beyond reply_timeout: what an exchange may wait before it is sent. */
#define PROBE_MARGIN_MS 60000u

typedef struct options {
    int64_t failure_threshold, success_threshold, probes;
    uint64_t timeout_ms;
} options_t;

/* What this process knows of one server. */
typedef struct guard {
    weir_server_t *server;
    circuit_t *circuit;
    uint32_t on_their_way; /* exchanges without a link yet */
    uint32_t charged;      /* of them, for whom a link has failed to open already */
} guard_t;

typedef struct breaker {
    const weir_host_t *host;
    weir_upstream_t *upstream;
    circuit_limits_t limits;
    weir_counters_t refused; /* exchanges that no circuit let through */
    uint32_t nguards;
    guard_t guards[];
} breaker_t;

/* Of an exchange. */
typedef struct trip {
    guard_t *guard; /* of the server it goes to; NULL: none */
    circuit_pass_t pass;
    bool has_link;
    bool is_told; /* its success */
} trip_t;

/* ---- causes: a reason, or a status ---- */

#define CAUSE_STATUS 0x10000u
#define CAUSE_ALIEN 0x20000u

static const char *cause_text(uint32_t cause, char text[32])
{
    static const char *const words[WEIR_REASONS] = {
        [WEIR_REASON_CONNECT_FAILED] = "connect_failed",
        [WEIR_REASON_BAD_REPLY] = "bad_reply",
        [WEIR_REASON_SERVER_DIED] = "server_died",
        [WEIR_REASON_TIMEOUT] = "timeout",
    };
    if (cause == CAUSE_ALIEN)
        return "a reply that is not MCP";
    if (cause & CAUSE_STATUS)
        snprintf(text, 32, "HTTP status %u", cause & 0xffffu);
    else
        snprintf(text, 32, "%s", cause < WEIR_REASONS && words[cause] != NULL ? words[cause] : "");
    return text;
}

/* ---- what operators read in the log ---- */

static void tell_open(const breaker_t *b, const guard_t *g, const circuit_change_t *change, const char *cause)
{
    unsigned long long ms = b->limits.timeout_ms;
    if (change->from == CIRCUIT_HALF_OPEN)
        b->host->log(WEIR_LOG_WARN, "breaker: %s/%s: half-open -> open: the probe failed (%s); the next in %llu ms",
                     b->upstream->name, g->server->name, cause, ms);
    else
        b->host->log(WEIR_LOG_WARN,
                     "breaker: %s/%s: closed -> open: %u failures in a row, the last: %s; a probe in %llu ms",
                     b->upstream->name, g->server->name, change->count, cause, ms);
}

/* Once in all processes: by the one whose call made the change. */
static void tell(const breaker_t *b, const guard_t *g, const circuit_change_t *change, const char *cause)
{
    if (!change->has_changed)
        return;
    if (change->to == CIRCUIT_OPEN)
        tell_open(b, g, change, cause);
    else if (change->to == CIRCUIT_HALF_OPEN)
        b->host->log(WEIR_LOG_NOTICE, "breaker: %s/%s: open -> half-open: %u at a time may probe", b->upstream->name,
                     g->server->name, b->limits.probes);
    else
        b->host->log(WEIR_LOG_NOTICE, "breaker: %s/%s: half-open -> closed: %u probes succeeded", b->upstream->name,
                     g->server->name, b->limits.success_threshold);
}

/* ---- the way of an exchange ---- */

static weir_verdict_t breaker_request(void *self, weir_exchange_t *ex, void *state)
{
    (void)self, (void)ex, (void)state;
    return WEIR_PASS;
}

static void trip_arrived(trip_t *trip)
{
    guard_t *g = trip->guard;
    trip->has_link = true;
    g->on_their_way--;
    if (g->charged > g->on_their_way)
        g->charged = g->on_their_way;
}

/* It does not go there any more. */
static void trip_leave(trip_t *trip)
{
    if (trip->guard == NULL)
        return;
    if (!trip->has_link)
        trip_arrived(trip);
    circuit_leave(trip->guard->circuit, &trip->pass);
    *trip = (trip_t){0};
}

/* A stream that only listens tells nothing for hours, so it is no probe; what ends a session needs none. */
static bool may_probe(const weir_exchange_t *ex)
{
    return ex->verb == WEIR_VERB_MESSAGE;
}

/* The way of exchanges while something is wrong is kept out of the way of the others. */
#define RARE __attribute__((noinline, cold))

RARE static bool trip_ask(breaker_t *b, guard_t *g, weir_exchange_t *ex, trip_t *trip)
{
    circuit_change_t change = {0};
    uint64_t now = b->host->now_ms();
    bool is_through = (may_probe(ex) || circuit_state(g->circuit) == CIRCUIT_CLOSED) &&
                      circuit_admit(g->circuit, &b->limits, now, &trip->pass, &change);
    tell(b, g, &change, "");
    if (!is_through)
        b->host->exchange_retry_after(ex, circuit_wait_ms(g->circuit, &b->limits, now));
    return is_through;
}

static bool breaker_admit(void *self, weir_server_t *server, weir_exchange_t *ex, void *state)
{
    breaker_t *b = self;
    guard_t *g = &b->guards[server->index];
    trip_t *trip = state;
    if (ex == NULL)
        return circuit_would_admit(g->circuit, &b->limits, b->host->now_ms());
    if (trip->guard == g)
        return true;
    if (trip->guard != NULL)
        trip_leave(trip);
    if (!circuit_is_quiet(g->circuit) && !trip_ask(b, g, ex, trip))
        return false;
    trip->guard = g;
    trip->has_link = ex->link != NULL;
    g->on_their_way += !trip->has_link;
    return true;
}

static void breaker_leased(void *self, weir_exchange_t *ex, void *state)
{
    (void)self, (void)ex;
    trip_t *trip = state;
    if (trip->guard != NULL && !trip->has_link)
        trip_arrived(trip);
}

static void breaker_streaming(void *self, weir_exchange_t *ex, void *state, uint16_t status)
{
    breaker_t *b = self;
    trip_t *trip = state;
    (void)ex;
    if (trip->guard == NULL || status >= 500)
        return;
    circuit_change_t change = circuit_succeed(trip->guard->circuit, &b->limits, &trip->pass);
    trip->is_told = true;
    tell(b, trip->guard, &change, "");
}

/* What the end says of the server; 0: nothing bad. */
static uint32_t cause_of(const weir_outcome_t *outcome)
{
    if (!weir_outcome_failed(outcome))
        return 0;
    if (outcome->reason != WEIR_REASON_NONE)
        return outcome->reason;
    return outcome->is_alien ? CAUSE_ALIEN : CAUSE_STATUS | outcome->status;
}

RARE static void trip_end(breaker_t *b, trip_t *trip, const weir_outcome_t *outcome)
{
    guard_t *g = trip->guard;
    uint32_t cause = trip->has_link ? cause_of(outcome) : 0;
    circuit_change_t change = {0};
    char text[32];
    if (cause != 0)
        change = circuit_fail(g->circuit, &b->limits, b->host->now_ms(), &trip->pass, cause);
    else if (trip->has_link && outcome->reason == WEIR_REASON_NONE && !trip->is_told)
        change = circuit_succeed(g->circuit, &b->limits, &trip->pass);
    if (change.has_changed)
        tell(b, g, &change, cause_text(cause, text));
    trip_leave(trip);
}

static void breaker_end(void *self, weir_exchange_t *ex, void *state, const weir_outcome_t *outcome)
{
    breaker_t *b = self;
    trip_t *trip = state;
    (void)ex;
    *b->refused.mine += outcome->reason == WEIR_REASON_BREAKER_OPEN;
    if (trip->guard == NULL)
        return;
    if (trip->has_link && trip->pass.taken == 0 && circuit_is_quiet(trip->guard->circuit) &&
        !weir_outcome_failed(outcome))
        trip->guard = NULL;
    else
        trip_end(b, trip, outcome);
}

/* ---- links that could not be opened ---- */

/* Only those that somebody waits for count, and one for each of them: a pool that opens ten at once has not failed ten times. A half-
 * open circuit has let somebody through, and this is the answer. */
static void breaker_connect_failed(void *self, weir_server_t *server, const char *why)
{
    breaker_t *b = self;
    guard_t *g = &b->guards[server->index];
    if (g->charged >= g->on_their_way)
        return;
    g->charged++;
    circuit_change_t change = circuit_fail(g->circuit, &b->limits, b->host->now_ms(), NULL, WEIR_REASON_CONNECT_FAILED);
    tell(b, g, &change, why);
}

/* ---- by hand ---- */

static void guard_command(const breaker_t *b, const guard_t *g, bool is_open)
{
    circuit_change_t change = is_open ? circuit_hold(g->circuit) : circuit_close(g->circuit);
    if (change.has_changed)
        b->host->log(WEIR_LOG_NOTICE, "breaker: %s/%s: %s by hand%s", b->upstream->name, g->server->name,
                     is_open ? "opened" : "closed", is_open ? "; it stays so until it is closed by hand" : "");
}

static int breaker_command(void *self, weir_server_t *server, const char *word, weir_error_t *err)
{
    const breaker_t *b = self;
    bool is_open = strcmp(word, "open") == 0;
    if (!is_open && strcmp(word, "close") != 0)
        return weir_error(err, "breaker: there is no command %s; there are open and close", word);
    for (uint32_t i = 0; i < b->nguards; i++)
        if (server == NULL || b->guards[i].server == server)
            guard_command(b, &b->guards[i], is_open);
    return WEIR_OK;
}

/* ---- what operators see ---- */

static const char *const state_names[] = {"closed", "open", "half_open", "held_open", NULL};

static void guard_status(const breaker_t *b, const guard_t *g, weir_status_t *status)
{
    circuit_t *c = g->circuit;
    circuit_state_t state = circuit_state(c);
    uint64_t now = b->host->now_ms();
    char text[32];
    status->enter(status, g->server->name);
    status->text(status, "state", state_names[state]);
    status->number(status, "failures_in_a_row", state == CIRCUIT_CLOSED ? circuit_count(c) : 0);
    status->number(status, "probes_succeeded", state == CIRCUIT_HALF_OPEN ? circuit_count(c) : 0);
    status->number(status, "probes_in_flight", circuit_probes(c, now));
    status->number(status, "retry_in_ms", state == CIRCUIT_OPEN ? (double)circuit_wait_ms(c, &b->limits, now) : 0);
    status->number(status, "failures", (double)atomic_load(&c->failures));
    status->number(status, "probes", (double)atomic_load(&c->probed));
    status->number(status, "opened", (double)atomic_load(&c->entered[CIRCUIT_OPEN]));
    status->number(status, "half_opened", (double)atomic_load(&c->entered[CIRCUIT_HALF_OPEN]));
    status->number(status, "closed", (double)atomic_load(&c->entered[CIRCUIT_CLOSED]));
    status->number(status, "held", (double)atomic_load(&c->entered[CIRCUIT_HELD]));
    status->text(status, "cause", cause_text(atomic_load(&c->cause), text));
    status->leave(status);
}

static void breaker_status(void *self, weir_status_t *status)
{
    const breaker_t *b = self;
    int64_t refused;
    b->host->counters_sum(&b->refused, &refused);
    status->number(status, "refused", (double)refused);
    status->enter(status, "circuits");
    for (uint32_t i = 0; i < b->nguards; i++)
        guard_status(b, &b->guards[i], status);
    status->leave(status);
}

/* ---- life ---- */

static int guards_make(breaker_t *b, weir_error_t *err)
{
    for (uint32_t i = 0; i < b->nguards; i++) {
        guard_t *g = &b->guards[i];
        g->server = b->host->upstream_server(b->upstream, i);
        g->circuit = b->host->shared(b->upstream, g->server, "breaker", sizeof(*g->circuit), err);
        if (g->circuit == NULL)
            return WEIR_EFAIL;
    }
    return WEIR_OK;
}

static void *breaker_create(const weir_host_t *host, weir_upstream_t *upstream, const void *options, weir_error_t *err)
{
    const options_t *o = options;
    breaker_t *b = calloc(1, sizeof(*b) + upstream->nservers * sizeof(guard_t));
    if (b == NULL) {
        weir_error(err, "no memory for the circuits");
        return NULL;
    }
    b->host = host;
    b->upstream = upstream;
    b->nguards = upstream->nservers;
    b->limits = (circuit_limits_t){.failure_threshold = (uint32_t)o->failure_threshold,
                                   .success_threshold = (uint32_t)o->success_threshold,
                                   .probes = (uint32_t)o->probes,
                                   .timeout_ms = o->timeout_ms,
                                   .probe_limit_ms = upstream->reply_timeout_ms + PROBE_MARGIN_MS};
    if (host->counters(&b->refused, upstream, NULL, "breaker", 0, 1, err) == WEIR_OK && guards_make(b, err) == WEIR_OK)
        return b;
    free(b);
    return NULL;
}

static void breaker_destroy(void *self)
{
    free(self);
}

#define AT(member) offsetof(options_t, member)

static const weir_option_t breaker_options[] = {
    {.name = "failure_threshold",
     .type = WEIR_TYPE_INT,
     .offset = AT(failure_threshold),
     .fallback = "5",
     .min = 1,
     .max = CIRCUIT_COUNT_MAX,
     .doc = "failures in a row after which a server's circuit opens: faults of the transport, time-outs, 5xx, replies "
            "that "
            "are not MCP"},
    {.name = "success_threshold",
     .type = WEIR_TYPE_INT,
     .offset = AT(success_threshold),
     .fallback = "2",
     .min = 1,
     .max = CIRCUIT_COUNT_MAX,
     .doc = "probes that must succeed before a half-open circuit closes"},
    {.name = "timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(timeout_ms),
     .fallback = "30s",
     .min = 1,
     .max = 86400000,
     .doc = "how long after its last failure an open circuit lets a probe through"},
    {.name = "probes",
     .type = WEIR_TYPE_INT,
     .offset = AT(probes),
     .fallback = "1",
     .min = 1,
     .max = CIRCUIT_PROBES_MAX,
     .doc = "exchanges that a half-open circuit lets through at the same time, of all workers together"},
    {.name = NULL},
};

static const weir_figure_t breaker_figures[] = {
    WEIR_COUNTER("refused", "Exchanges that no circuit let through"),
    {.path = "circuits/{server}/state",
     .kind = WEIR_FIGURE_STATE,
     .states = state_names,
     .doc = "The state that the circuit of a server is in"},
    WEIR_GAUGE("circuits/{server}/failures_in_a_row", "Failures since the last success, while the circuit is closed"),
    WEIR_GAUGE("circuits/{server}/probes_succeeded", "Probes that succeeded, while the circuit is half-open"),
    WEIR_GAUGE("circuits/{server}/probes_in_flight", "Probes that have not ended"),
    WEIR_GAUGE("circuits/{server}/retry_in_ms", "Time until an open circuit lets a probe through"),
    WEIR_COUNTER("circuits/{server}/failures", "Failures of a server"),
    WEIR_COUNTER("circuits/{server}/probes", "Exchanges that a half-open circuit let through"),
    WEIR_COUNTER("circuits/{server}/opened", "How often the circuit opened"),
    WEIR_COUNTER("circuits/{server}/half_opened", "How often the circuit became half-open"),
    WEIR_COUNTER("circuits/{server}/closed", "How often the circuit closed again"),
    WEIR_COUNTER("circuits/{server}/held", "How often an operator opened the circuit"),
    {.path = NULL},
};

static const weir_exchange_module_t breaker_module = {
    .flags = WEIR_SEES_SERVERS,
    .state_size = sizeof(trip_t),
    .create = breaker_create,
    .destroy = breaker_destroy,
    .request = breaker_request,
    .end = breaker_end,
    .status = breaker_status,
    .admit = breaker_admit,
    .leased = breaker_leased,
    .streaming = breaker_streaming,
    .connect_failed = breaker_connect_failed,
    .command = breaker_command,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "breaker",
    .doc = "stops sending to a server that fails, and tries now and then whether it is back; stands before the pool; "
           "by hand: weir breaker open|close UPSTREAM[/SERVER]",
    .options = breaker_options,
    .options_size = sizeof(options_t),
    .exchange = &breaker_module,
    .figures = breaker_figures,
};
