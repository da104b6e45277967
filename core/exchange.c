/* exchange.c: the life of an exchange; see the table in exchange.h. What a chain does with it is in chain.c, how its reply goes
 * back in reply.c.
 *
 * Owned here: every exchange of the process, living (`live`), ended in this turn (`ended`) or kept for the next client (`spare`).
 */
#include "exchange.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "access.h"
#include "buf.h"
#include "call.h"
#include "chain.h"
#include "channel.h"
#include "checkup.h"
#include "cut.h"
#include "exchanges.h"
#include "failure.h"
#include "grant.h"
#include "log.h"
#include "proc.h"
#include "session.h"
#include "stats.h"
#include "timer.h"
#include "token.h"
#include "upstreams.h"

#define SPARE_MAX 1024
#define ARENA_BLOCK 1024

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void exchanges_sweep_now(void *arg)
{
    (void)arg;
    exchanges_sweep();
}

exchanges_t *exchanges_new(void)
{
    exchanges_t *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return NULL;
    weir_list_init(&all->live);
    weir_list_init(&all->ended);
    weir_list_init(&all->spare);
    weir_list_init(&all->spare_calls);
    all->sweep = (weir_timer_t){.fire = exchanges_sweep_now};
    weir_list_init(&all->sweep.node);
    return all;
}

static void exchange_free(exchange_t *ex)
{
    if (ex->arena != NULL)
        arena_free(ex->arena);
    free(ex);
}

void exchanges_free(exchanges_t *all)
{
    exchanges_sweep();
    calls_free_spare();
    WEIR_LIST_EACH(&all->spare, it)
        exchange_free(WEIR_CONTAINER(it, exchange_t, node));
    free(all);
}

void exchanges_stop(void)
{
    weir_list_t *live = &proc->exchanges->live;
    while (!weir_list_empty(live))
        exchange_fail(&WEIR_CONTAINER(live->next, exchange_t, node)->pub, WEIR_REASON_CLIENT_GONE, "weir stops");
}

size_t exchanges_count(void)
{
    return proc->exchanges->nlive;
}

/* A used exchange keeps its arena, so that the next one allocates nothing. */
static exchange_t *exchange_take(exchanges_t *all)
{
    if (weir_list_empty(&all->spare))
        return calloc(1, sizeof(exchange_t));
    exchange_t *ex = WEIR_CONTAINER(all->spare.next, exchange_t, node);
    weir_list_remove(&ex->node);
    all->nspare--;
    arena_t *arena = ex->arena;
    memset(ex, 0, sizeof(*ex));
    ex->arena = arena;
    return ex;
}

static void exchange_timed_out(void *arg)
{
    exchange_t *ex = arg;
    const char *who = ex->upstream == NULL ? "?" : ex->upstream->pub.name;
    if (ex->state == EXCHANGE_HELD)
        exchange_fail(&ex->pub, WEIR_REASON_TIMEOUT, "%s: %s held the request for too long", who,
                      ex->upstream->chain[ex->chain_at].module->name);
    else
        exchange_fail(&ex->pub, WEIR_REASON_TIMEOUT, "%s: no reply within reply_timeout (%llu ms)", who,
                      (unsigned long long)ex->upstream->pub.reply_timeout_ms);
}

weir_exchange_t *exchange_new(weir_listener_t *listener, void *client)
{
    exchanges_t *all = proc->exchanges;
    exchange_t *ex = exchange_take(all);
    if (ex == NULL)
        return NULL;
    ex->pub.magic = WEIR_EXCHANGE_MAGIC;
    ex->pub.listener = listener;
    ex->pub.client = client;
    ex->accept = listener->accept;
    ex->timer = (weir_timer_t){.fire = exchange_timed_out, .arg = ex};
    weir_list_init(&ex->timer.node);
    weir_list_init(&ex->on_link);
    weir_list_init(&ex->of_client);
    ex->target = WEIR_LIT("/");
    weir_list_init(&ex->pub.carrier_node);
    ex->start_us = clock_us();
    weir_list_append(&all->live, &ex->node);
    all->nlive++;
    return &ex->pub;
}

void *exchange_alloc(weir_exchange_t *pub, size_t n)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->arena == NULL)
        ex->arena = arena_new(ARENA_BLOCK);
    return ex->arena == NULL ? NULL : arena_alloc(ex->arena, n);
}

static uint8_t note_copy(char *to, weir_slice_t from)
{
    size_t n = from.n < EXCHANGE_NOTE_MAX ? from.n : EXCHANGE_NOTE_MAX;
    if (n > 0)
        memcpy(to, from.p, n);
    return (uint8_t)n;
}

/* The access log speaks when the request's bytes have long gone back. */
static void exchange_take_note(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    exchange_note_t *note = &ex->note;
    note->method_n = note_copy(note->method, env->method);
    note->name_n = note_copy(note->name, env->name);
    weir_slice_t trace = env->traceparent;
    if (trace.n == 0 && ex->pub.head != NULL)
        trace = weir_head_value(ex->pub.head, WEIR_FIELD_TRACEPARENT);
    note->trace_n = note_copy(note->trace, trace);
    ex->bytes_in = ex->pub.message.bytes.n;
}

/* What the message claims in its own metadata counts before what a head says. A revision that nobody knows is a modern server's to
 * refuse, with the list of those it speaks; `initialize` is modern only with metadata that no legacy client sends. */
static weir_era_t era_of(const weir_exchange_t *pub)
{
    const weir_envelope_t *env = &pub->message.envelope;
    if (env->capabilities.p == NULL && weir_slice_eq(env->method, WEIR_LIT("initialize")))
        return WEIR_ERA_LEGACY;
    if (env->version.n > 0)
        return token_version(env->version) == 0 ? WEIR_ERA_MODERN : WEIR_ERA_LEGACY;
    weir_slice_t version =
        pub->head == NULL ? WEIR_LIT("") : weir_head_value(pub->head, WEIR_FIELD_MCP_PROTOCOL_VERSION);
    /* Revisions are dates: they compare as text. */
    return version.n == 10 && memcmp(version.p, "2026-07-28", 10) >= 0 ? WEIR_ERA_MODERN : WEIR_ERA_LEGACY;
}

void exchange_start(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    exchange_take_note(ex);
    if (pub->era == WEIR_ERA_UNKNOWN)
        pub->era = era_of(pub);
    weir_slice_t host = pub->head == NULL ? ex->host : weir_head_value(pub->head, WEIR_FIELD_HOST);
    weir_slice_t target = pub->head == NULL ? ex->target : pub->head->target;
    upstream_t *up = listener_route(pub->listener, host, target);
    if (up == NULL) {
        exchange_fail(pub, WEIR_REASON_NOT_FOUND, "listener %s has no route for %.*s", pub->listener->name,
                      WEIR_FMT(target));
        return;
    }
    ex->upstream = up;
    pub->upstream = &up->pub;
    if (grant_open(ex) != WEIR_OK)
        return;
    exchange_enter(ex, ex->upstream); /* its session may be one of the fallback's */
}

/* Room for the per-exchange states of all modules of the chain, zeroed. */
static bool exchange_make_states(exchange_t *ex, upstream_t *up)
{
    ex->state_base = ex->states;
    if (up->state_size > sizeof(ex->states))
        ex->state_base = exchange_alloc(&ex->pub, up->state_size);
    return ex->state_base != NULL;
}

void exchange_enter(exchange_t *ex, upstream_t *up)
{
    ex->upstream = up;
    ex->pub.upstream = &up->pub;
    ex->pub.is_watched = up->is_watched;
    ex->is_counted = proc->kind == PROC_WORKER;
    if (ex->is_counted)
        stats_begin(up->stats);
    if (!exchange_make_states(ex, up)) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory for the chain's states", up->pub.name);
        return;
    }
    ex->state = EXCHANGE_CHAIN;
    chain_run(ex);
}

/* The chain has passed the request: send it, by whichever way its upstream's links are reached. */
void exchange_dispatch(exchange_t *ex)
{
    ex->state = EXCHANGE_SENT;
    upstream_t *up = ex->upstream;
    timer_start(up->reply_timeouts, &ex->timer);
    if (up->is_kept && up->pub.nservers == 1)
        ex->server = up->servers; /* for the log: the keeper does not say which one it took */
    if (up->is_kept)
        channel_send(ex);
    else if (up->connect->flags & WEIR_CONNECT_STREAM)
        call_send(ex);
    else if (up->connect->send(&ex->link->pub, &ex->pub) != WEIR_OK && ex->state != EXCHANGE_ENDED)
        exchange_fail(&ex->pub, WEIR_REASON_CONNECT_FAILED, "%s: the request could not be sent to %s", up->pub.name,
                      ex->link->pub.server->name);
}

void exchange_release_request(exchange_t *ex)
{
    weir_exchange_t *pub = &ex->pub;
    weir_slice_t id = pub->message.envelope.id;
    if (id.n > 0 && ex->id == NULL) {
        ex->id = exchange_alloc(pub, id.n);
        if (ex->id != NULL)
            memcpy(ex->id, id.p, id.n);
    }
    weir_kind_t kind = pub->message.envelope.kind;
    memset(&pub->message, 0, sizeof(pub->message));
    pub->message.envelope.kind = kind;
    if (ex->id != NULL)
        pub->message.envelope.id = weir_slice(ex->id, id.n);
    pub->head = NULL;
    buf_unref(pub->body.buf);
    pub->body = (weir_chunk_t){0};
}

void exchange_again(exchange_t *ex)
{
    if (ex->state != EXCHANGE_SENT) {
        exchange_fail(&ex->pub, WEIR_REASON_SERVER_DIED, "%s: the link was closed", ex->upstream->pub.name);
        return;
    }
    timer_stop(&ex->timer);
    ex->is_leased = false;
    if (ex->pub.server_session.n == 0)
        ex->server = NULL; /* any of them will do */
    chain_again(ex);
}

/* The counters and the access log; a keeper's exchanges are reported by the worker they came from. What was refused before its
 * upstream was asked is counted all the same, and what has no upstream as belonging to none. */
static void exchange_report(exchange_t *ex, const weir_outcome_t *outcome)
{
    stats_row_t *stats = ex->upstream == NULL ? stats_row(NULL) : ex->upstream->stats;
    if (!ex->is_counted)
        stats_begin(stats);
    stats_end(stats, outcome);
    const exchange_note_t *note = &ex->note;
    access_record_t record = {
        .listener = ex->pub.listener->name,
        .peer = ex->pub.peer,
        .verb = ex->pub.verb,
        .method = weir_slice(note->method, note->method_n),
        .name = weir_slice(note->name, note->name_n),
        .trace = weir_slice(note->trace, note->trace_n),
        .upstream = ex->upstream == NULL ? NULL : ex->upstream->pub.name,
        .server = ex->server == NULL ? NULL : ex->server->pub.name,
        .reason = failure_word(outcome->reason),
        .outcome = *outcome,
    };
    access_log(&record);
}

/* How long a stream is open says nothing about the server. */
static bool exchange_only_listens(const exchange_t *ex)
{
    weir_slice_t method = weir_slice(ex->note.method, ex->note.method_n);
    return ex->pub.verb == WEIR_VERB_LISTEN ||
           (ex->is_stream && weir_slice_eq(method, WEIR_LIT("subscriptions/listen")));
}

static weir_outcome_t exchange_outcome(const exchange_t *ex, weir_reason_t reason)
{
    uint64_t now_us = clock_us();
    weir_outcome_t outcome = {
        .reason = reason,
        .status = ex->status,
        .us = now_us - ex->start_us,
        .bytes_in = ex->bytes_in,
        .bytes_out = ex->bytes_out,
        .is_alien = ex->is_alien,
    };
    if (!ex->is_leased)
        return outcome;
    outcome.server = &ex->server->pub;
    if (!exchange_only_listens(ex))
        outcome.server_us = now_us - (ex->leased_us > 0 ? ex->leased_us : ex->start_us);
    return outcome;
}

/* The one place where an exchange ends: its link is released, its chain, the counters and the access log are told. */
void exchange_end(exchange_t *ex, weir_reason_t reason)
{
    if (ex->state == EXCHANGE_ENDED)
        return;
    exchange_unhold(ex);
    ex->state = EXCHANGE_ENDED;
    ex->pub.client = NULL;
    weir_list_remove(&ex->pub.carrier_node);
    weir_outcome_t outcome = exchange_outcome(ex, reason);
    if (ex->channel != NULL)
        channel_forget(ex, reason);
    if (ex->call != NULL)
        call_forget(ex, reason);
    if (ex->session != NULL)
        session_unlisten(ex->session, ex);
    if (ex->link != NULL)
        link_release(ex->link, ex, reason == WEIR_REASON_NONE);
    if (ex->upstream != NULL)
        chain_end(ex, &outcome);
    if (proc->kind == PROC_WORKER && !checkup_is_one(ex))
        exchange_report(ex, &outcome);
    buf_unref(ex->pub.body.buf);
    ex->pub.body = (weir_chunk_t){0};
    weir_list_remove(&ex->node);
    weir_list_append(&proc->exchanges->ended, &ex->node);
    proc->exchanges->nlive--;
    timer_at_turn_end(&proc->exchanges->sweep);
}

void exchanges_sweep(void)
{
    exchanges_t *all = proc->exchanges;
    WEIR_LIST_EACH(&all->ended, it) {
        exchange_t *ex = WEIR_CONTAINER(it, exchange_t, node);
        weir_list_remove(it);
        ex->pub.magic = 0;
        cut_free(ex->cut);
        if (ex->arena != NULL)
            arena_reset(ex->arena);
        if (all->nspare >= SPARE_MAX) {
            exchange_free(ex);
            continue;
        }
        weir_list_prepend(&all->spare, &ex->node);
        all->nspare++;
    }
}

/* Only what has reached no server and belongs to none goes elsewhere, and one step only. */
static upstream_t *exchange_fallback(const exchange_t *ex)
{
    bool is_free = !ex->has_session && ex->pub.server_session.n == 0 && ex->link == NULL && ex->channel == NULL;
    if (proc->kind != PROC_WORKER || ex->upstream == NULL || ex->has_fallen_back || !is_free ||
        ex->pub.verb != WEIR_VERB_MESSAGE || ex->state == EXCHANGE_REPLYING)
        return NULL;
    return upstream_fallback(ex->upstream);
}

/* For its first upstream it has ended; for the client, and the access log, it goes on. */
static void exchange_fall_back(exchange_t *ex, upstream_t *up, weir_slice_t why)
{
    weir_outcome_t outcome = exchange_outcome(ex, WEIR_REASON_BREAKER_OPEN);
    log_write(WEIR_LOG_INFO, "exchange goes to %s: %.*s", up->pub.name, WEIR_FMT(why));
    exchange_unhold(ex);
    if (ex->is_counted)
        stats_end(ex->upstream->stats, &outcome);
    chain_end(ex, &outcome);
    ex->is_counted = ex->is_leased = false;
    ex->has_fallen_back = true;
    ex->server = NULL;
    ex->entered = ex->chain_at = 0;
    ex->retry_after_ms = 0;
    memset(ex->states, 0, sizeof(ex->states));
    ex->upstream = up;
    ex->pub.upstream = &up->pub;
    ex->state = EXCHANGE_NEW;
    if (grant_open(ex) == WEIR_OK)
        exchange_enter(ex, up);
}

/* Who was told what. A keeper's failures are told by the worker, which knows the client. */
static void exchange_log(const exchange_t *ex, const weir_failure_t *failure)
{
    weir_level_t level = failure->status >= 500 ? WEIR_LOG_WARN : WEIR_LOG_INFO;
    log_write(proc->kind == PROC_KEEPER ? WEIR_LOG_DEBUG : level, "%s: %.*s got %u %s: %.*s", ex->pub.listener->name,
              WEIR_FMT(ex->pub.peer), failure->status, failure_word(failure->reason), WEIR_FMT(failure->text));
}

/* In whole seconds, as Retry-After is, and none too early. */
static uint32_t retry_after(uint64_t ms)
{
    return ms == 0 ? 1 : (uint32_t)((ms + 999) / 1000);
}

static void exchange_fail_text(exchange_t *ex, weir_reason_t reason, weir_slice_t text)
{
    if (ex->state == EXCHANGE_ENDED)
        return;
    upstream_t *fallback = reason == WEIR_REASON_BREAKER_OPEN ? exchange_fallback(ex) : NULL;
    if (fallback != NULL) {
        exchange_fall_back(ex, fallback, text);
        return;
    }
    weir_failure_t failure = failure_of(reason, text);
    if (reason == WEIR_REASON_BREAKER_OPEN)
        failure.retry_after_s = retry_after(ex->retry_after_ms);
    if (ex->state != EXCHANGE_REPLYING)
        ex->status = failure.status;
    exchange_log(ex, &failure);
    timer_stop(&ex->timer);
    if (ex->pub.client != NULL)
        ex->accept->fail(&ex->pub, &failure);
    exchange_end(ex, reason);
}

void exchange_fail(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
{
    char text[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    exchange_fail_text(exchange_of(pub), reason, weir_slice(text, used));
}

void exchange_refuse(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
{
    char text[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    exchange_take_note(exchange_of(pub));
    exchange_fail_text(exchange_of(pub), reason, weir_slice(text, used));
}

void exchange_abandon(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state == EXCHANGE_ENDED)
        return;
    ex->pub.client = NULL;
    if (ex->status == 0)
        ex->status = 499;
    exchange_end(ex, WEIR_REASON_CLIENT_GONE);
}

void exchange_sent(weir_exchange_t *pub, uint64_t bytes)
{
    exchange_of(pub)->bytes_out += bytes;
}

void exchange_retry_after(weir_exchange_t *pub, uint64_t ms)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->retry_after_ms == 0 || ms < ex->retry_after_ms)
        ex->retry_after_ms = ms;
}

int exchange_lease(weir_exchange_t *pub, weir_link_t *link)
{
    exchange_t *ex = exchange_of(pub);
    int result = link_lease(link, ex);
    if (result != WEIR_OK)
        return result;
    if (ex->state == EXCHANGE_HELD)
        ex->leased_us = clock_us();
    chain_leased(ex);
    return WEIR_OK;
}

bool exchange_wants_own_link(const weir_exchange_t *pub)
{
    return exchange_of(pub)->is_own_link;
}

weir_server_t *exchange_server(const weir_exchange_t *pub)
{
    const exchange_t *ex = exchange_of(pub);
    return ex->server == NULL ? NULL : &ex->server->pub;
}
