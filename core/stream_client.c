/* stream_client.c: see stream_client.h. A visit is one connection: its stream, its framing's state, its client.
 *
 * Owned by its transport's list from stream_client_open() to visit_forget(); while a call that may end it is on the stack (`depth`) its
 * memory stays.
 *
 *   state    event                                next     what happens
 *   OPEN     a message                            OPEN     client_message
 *   OPEN     too long                             OPEN     skipped, and answered with an error
 *   OPEN     broken, no frame, end                GONE     client_gone
 *   OPEN     end, and the transport is patient    ENDING   client_finish: what is in flight is answered first
 *   OPEN     the host is flooded                  PAUSED   nothing is read, what was read waits
 *   PAUSED   it is not any more                   OPEN     what waits is handed in at the end of the turn
 *   any      the host ends it, the listener ends  GONE     what is queued is still written
 */
#include "stream_client.h"

#include <stdlib.h>

#include "client.h"
#include "listener.h"
#include "log.h"
#include "proc.h"
#include "stream.h"
#include "timer.h"

typedef struct visit {
    weir_stream_clients_t *all;
    weir_list_t node;
    weir_stream_t *stream; /* NULL: gone */
    weir_client_t *client;
    weir_timer_t go_on;
    uint16_t depth;
    bool is_paused;
    bool is_introduced;        /* it has spoken, so the TLS before it is done */
    _Alignas(16) char state[]; /* of the framing */
} visit_t;

static void visit_release(visit_t *v)
{
    if (v->depth == 0 && v->stream == NULL)
        free(v);
}

static void visit_forget(visit_t *v)
{
    weir_stream_clients_t *all = v->all;
    v->stream = NULL;
    timer_stop(&v->go_on);
    all->framing->end(v->state);
    weir_list_remove(&v->node);
    all->count--;
    v->depth++;
    client_gone(v->client);
    v->depth--;
    visit_release(v);
    if (all->left != NULL)
        all->left(all->owner);
}

static void visit_close(visit_t *v)
{
    if (v->stream == NULL)
        return;
    stream_close(v->stream);
    visit_forget(v);
}

static void visit_finish(visit_t *v)
{
    if (v->stream == NULL)
        return;
    if (v->all->framing->finish != NULL)
        v->all->framing->finish(v->state);
    stream_finish(v->stream);
    visit_forget(v);
}

/* ---- reading ---- */

static void visit_too_long(visit_t *v)
{
    static const char answer[] = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"the "
                                 "message is larger than max_message\","
                                 "\"data\":{\"reason\":\"too_large\"}}}";
    weir_chunk_t chunk = {.bytes = WEIR_LIT(answer)};
    log_write(WEIR_LOG_INFO, "listener %s: skipped a client's message that is larger than max_message (%llu bytes)",
              v->all->listener->name, (unsigned long long)v->all->max_message);
    (void)v->all->framing->write(v->state, v->stream, &chunk, 1); /* `broken` follows when it has gone */
}

static void visit_take(visit_t *v, weir_found_t found, const weir_chunk_t *message)
{
    if (found == WEIR_FOUND_MESSAGE) {
        client_message(v->client, message);
    } else if (found == WEIR_FOUND_TOO_LONG) {
        visit_too_long(v);
    } else if (found != WEIR_FOUND_LOST) {
        log_write(WEIR_LOG_INFO, "listener %s: what a client sends is no frame; its connection is closed",
                  v->all->listener->name);
        visit_close(v);
    }
}

/* Hand in what has been read, until it is used up or too much is in flight. */
static void visit_hand_in(visit_t *v)
{
    weir_chunk_t message;
    weir_found_t found;
    while (v->stream != NULL && !v->is_paused && (found = v->all->framing->next(v->state, &message)) != WEIR_FOUND_MORE)
        visit_take(v, found, &message);
}

static void visit_at_end(visit_t *v)
{
    if (v->all->is_patient)
        client_finish(v->client);
    else
        visit_close(v);
}

static void visit_filled(visit_t *v)
{
    if (!v->is_introduced && client_introduce(v->client, stream_principal(v->stream)) != WEIR_OK) {
        log_write(WEIR_LOG_ERROR, "listener %s: no memory for the name of a client; its connection is closed",
                  v->all->listener->name);
        visit_close(v);
        return;
    }
    v->is_introduced = true;
    visit_hand_in(v);
}

static void on_readable(void *owner)
{
    visit_t *v = owner;
    v->depth++;
    long n = v->all->framing->fill(v->state, v->stream);
    if (n > 0)
        visit_filled(v);
    else if (n != WEIR_EAGAIN)
        visit_at_end(v);
    v->depth--;
    visit_release(v);
}

static void on_drained(void *owner)
{
    visit_t *v = owner;
    if (v->all->framing->drained != NULL)
        v->all->framing->drained(v->state);
    client_drained(v->client);
}

static void on_broken(void *owner, const char *why)
{
    visit_t *v = owner;
    log_write(WEIR_LOG_DEBUG, "listener %s: a client's connection: %s", v->all->listener->name, why);
    visit_close(v);
}

static void on_go_on(void *arg)
{
    visit_t *v = arg;
    v->depth++;
    visit_hand_in(v);
    if (v->stream != NULL && !v->is_paused)
        stream_pause(v->stream, false);
    v->depth--;
    visit_release(v);
}

/* ---- what the client's other half wants ---- */

static int visit_write(void *owner, const weir_chunk_t *parts, size_t n)
{
    visit_t *v = owner;
    return v->stream == NULL ? WEIR_ECLOSED : v->all->framing->write(v->state, v->stream, parts, n);
}

static void visit_pause(void *owner, bool is_paused)
{
    visit_t *v = owner;
    if (v->stream == NULL)
        return;
    v->is_paused = is_paused;
    if (is_paused)
        stream_pause(v->stream, true);
    else
        timer_at_turn_end(&v->go_on);
}

static void visit_end(void *owner, const char *why)
{
    visit_t *v = owner;
    log_write(WEIR_LOG_INFO, "listener %s: a client's connection is closed: %s", v->all->listener->name, why);
    visit_finish(v);
}

/* ---- the listener's side ---- */

static const weir_stream_events_t stream_events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};
static const weir_client_events_t client_events = {.write = visit_write, .pause = visit_pause, .end = visit_end};

void stream_client_open(weir_stream_clients_t *all, weir_stream_t *stream)
{
    weir_error_t err = {"no memory for a client"};
    weir_framing_place_t place = {
        .host = proc->host, .stream = stream, .listener = all->listener, .max_message = all->max_message};
    weir_client_intro_t intro = {.peer = stream_peer(stream), .is_tls = stream_is_tls(stream)};
    visit_t *v = calloc(1, sizeof(*v) + all->framing->state_size);
    if (v == NULL || all->framing->begin(v->state, &place, &err) != WEIR_OK ||
        (v->client = client_new(all->listener, &intro, &client_events, v)) == NULL) {
        log_write(WEIR_LOG_ERROR, "listener %s: %s; its connection is closed", all->listener->name, err.text);
        if (v != NULL)
            all->framing->end(v->state);
        stream_close(stream);
        free(v);
        return;
    }
    v->all = all;
    v->stream = stream;
    v->go_on = (weir_timer_t){.fire = on_go_on, .arg = v};
    weir_list_init(&v->go_on.node);
    if (all->list.next == NULL)
        weir_list_init(&all->list);
    weir_list_append(&all->list, &v->node);
    all->count++;
    stream_limit(stream, all->buffer_limit, all->send_timeout_ms);
    stream_own(stream, &stream_events, v);
}

void stream_clients_close(weir_stream_clients_t *all)
{
    while (all->count > 0)
        visit_finish(WEIR_CONTAINER(all->list.next, visit_t, node));
}
