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
#include "carrier.h"
#include "chain.h"
#include "cut.h"
#include "decode.h"
#include "exchanges.h"
#include "failure.h"
#include "log.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

#define SPARE_MAX 1024
#define ARENA_BLOCK 1024

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
    memset(ex, 0, offsetof(exchange_t, note));
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
    ex->note.method_n = ex->note.name_n = ex->note.trace_n = 0;
    ex->pub.magic = WEIR_EXCHANGE_MAGIC;
    ex->pub.listener = listener;
    ex->pub.client = client;
    ex->accept = listener->accept;
    ex->timer = (weir_timer_t){.fire = exchange_timed_out, .arg = ex};
    weir_list_init(&ex->timer.node);
    weir_list_init(&ex->on_link);
    weir_list_init(&ex->of_client);
    ex->pub.target = WEIR_LIT("/");
    weir_list_init(&ex->pub.carrier_node);
    ex->start_us = now_us();
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
void exchange_take_note(exchange_t *ex)
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

int exchange_hold(weir_exchange_t *pub, uint64_t timeout_ms)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_CHAIN)
        return WEIR_ENOHOLD;
    ex->state = EXCHANGE_HELD;
    stats_add(ex->upstream->stats, STATS_WAITING, 1);
    timer_start(timers_get(timeout_ms), &ex->timer);
    return WEIR_OK;
}

void exchange_unhold(exchange_t *ex)
{
    if (ex->state == EXCHANGE_HELD)
        stats_add(ex->upstream->stats, STATS_WAITING, -1);
    timer_stop(&ex->timer);
}

void exchange_release_request(exchange_t *ex)
{
    weir_exchange_t *pub = &ex->pub;
    weir_slice_t id = pub->message.envelope.id;
    if (id.n > 0 && ex->id == NULL) {
        ex->id = id.n <= sizeof(ex->id_room) ? ex->id_room : exchange_alloc(pub, id.n);
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

/* How long a stream is open says nothing about the server. */
static bool exchange_only_listens(const exchange_t *ex)
{
    weir_slice_t method = weir_slice(ex->note.method, ex->note.method_n);
    return ex->pub.verb == WEIR_VERB_LISTEN ||
           (ex->is_stream && weir_slice_eq(method, WEIR_LIT("subscriptions/listen")));
}

/* The counters and the access log; a keeper's exchanges are reported by the worker they came from. What was refused before its
 * upstream was asked is counted all the same, and what has no upstream as belonging to none. */
static void exchange_report(exchange_t *ex, const weir_outcome_t *outcome)
{
    stats_row_t *stats = ex->upstream == NULL ? stats_row(NULL) : ex->upstream->stats;
    if (!ex->is_counted)
        stats_begin(stats);
    stats_end(stats, outcome);
    if (outcome->reason == WEIR_REASON_NONE && !exchange_only_listens(ex))
        stats_time(stats, outcome->us);
    const exchange_note_t *note = &ex->note;
    access_record_t record = {
        .listener = ex->pub.listener->name,
        .peer = ex->pub.peer,
        .principal = ex->pub.principal,
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

weir_outcome_t exchange_outcome(const exchange_t *ex, weir_reason_t reason)
{
    uint64_t end_us = now_us();
    weir_outcome_t outcome = {
        .reason = reason,
        .status = ex->status,
        .us = end_us - ex->start_us,
        .bytes_in = ex->bytes_in,
        .bytes_out = ex->bytes_out,
        .is_alien = ex->is_alien,
    };
    if (!ex->is_leased)
        return outcome;
    outcome.server = &ex->server->pub;
    uint64_t server_us = end_us - (ex->leased_us > 0 ? ex->leased_us : ex->start_us);
    if (!exchange_only_listens(ex))
        outcome.server_us = server_us > 0 ? server_us : 1; /* what begins and ends in one event takes some time too */
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
    if (ex->link != NULL && !ex->pub.is_checkup)
        ledger_heard(ex->link->line, &outcome);
    if (ex->upstream != NULL) {
        (ex->carrier != NULL ? ex->carrier : ex->upstream->carrier)->forget(ex, reason);
        chain_end(ex, &outcome);
    }
    if (outcome.server_us > 0 && reason == WEIR_REASON_NONE && !ex->pub.is_checkup)
        server_time(ex->server, outcome.server_us);
    if (proc->kind == PROC_WORKER && !ex->pub.is_checkup && ex->bundle == NULL)
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
        decode_free(ex->decoder);
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

/* Who was told what. A keeper's failures are told by the worker, which knows the client. */
static void exchange_log(const exchange_t *ex, const weir_failure_t *failure)
{
    if (ex->pub.is_checkup)
        return; /* who has asked for it says what it means */
    weir_level_t level = failure->status >= 500 ? WEIR_LOG_WARN : WEIR_LOG_INFO;
    weir_slice_t peer = ex->pub.peer.n == 0 ? WEIR_LIT("its client") : ex->pub.peer; /* on pipes, or a Unix socket */
    log_write(proc->kind == PROC_KEEPER ? WEIR_LOG_DEBUG : level, "%s: %.*s got %u %s: %.*s", ex->pub.listener->name,
              WEIR_FMT(peer), failure->status, failure_word(failure->reason), WEIR_FMT(failure->text));
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

void exchange_pause(exchange_t *ex, bool is_paused)
{
    if (ex->is_paused == is_paused)
        return;
    ex->is_paused = is_paused;
    (ex->carrier != NULL ? ex->carrier : ex->upstream->carrier)->pause(ex, is_paused);
}

void exchange_drained(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_ENDED)
        exchange_pause(ex, false);
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

bool exchange_wants_own_link(const weir_exchange_t *pub)
{
    return exchange_of(pub)->is_own_link;
}

weir_server_t *exchange_server(const weir_exchange_t *pub)
{
    const exchange_t *ex = exchange_of(pub);
    return ex->server == NULL ? NULL : &ex->server->pub;
}
