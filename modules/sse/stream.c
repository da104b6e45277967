/* stream.c: a connection that has become an event stream: a client of the host's, whose messages come by POSTs into its box.
 *
 * While too many of its requests are in flight what comes waits as letters, together no more than max_message; a client that sends
 * more is told to come later.
 */
#include <stdlib.h>

#include "edge.h"

static int client_write(void *owner, const weir_chunk_t *parts, size_t n)
{
    visit_t *v = owner;
    return v->stream == NULL ? WEIR_ECLOSED : reply_event(v, parts, n);
}

static void client_pause(void *owner, bool is_paused)
{
    visit_t *v = owner;
    v->is_flooded = is_paused;
    if (!is_paused && v->stream != NULL && !weir_list_empty(&v->letters))
        v->edge->host->timer_at_turn_end(&v->go_on);
}

static void client_end(void *owner, const char *why)
{
    visit_t *v = owner;
    v->edge->host->log(WEIR_LOG_INFO, "sse: a client's event stream ends: %s", why);
    visit_finish(v);
}

static const weir_client_events_t client_events = {.write = client_write, .pause = client_pause, .end = client_end};

/* ---- its messages ---- */

static int letter_keep(visit_t *v, weir_slice_t bytes)
{
    if (bytes.n > v->edge->options->max_message - v->waiting)
        return WEIR_EFULL;
    letter_t *letter = malloc(sizeof(*letter) + bytes.n);
    if (letter == NULL)
        return WEIR_EFULL;
    letter->n = bytes.n;
    memcpy(letter->bytes, bytes.p, bytes.n);
    weir_list_append(&v->letters, &letter->node);
    v->waiting += bytes.n;
    return WEIR_OK;
}

static int box_take(void *owner, const weir_chunk_t *message)
{
    visit_t *v = owner;
    if (v->is_flooded || !weir_list_empty(&v->letters))
        return letter_keep(v, message->bytes);
    v->depth++;
    v->edge->host->client_message(v->client, message);
    v->depth--;
    visit_release(v);
    return WEIR_OK;
}

void stream_go_on(visit_t *v)
{
    while (v->stream != NULL && !v->is_flooded && !weir_list_empty(&v->letters)) {
        letter_t *letter = WEIR_CONTAINER(v->letters.next, letter_t, node);
        weir_list_remove(&letter->node);
        v->waiting -= letter->n;
        weir_chunk_t message = {.bytes = weir_slice(letter->bytes, letter->n)};
        v->edge->host->client_message(v->client, &message);
        free(letter);
    }
}

/* ---- its life ---- */

static weir_slice_t path_of(weir_slice_t target)
{
    const char *mark = memchr(target.p, '?', target.n);
    return weir_slice(target.p, mark == NULL ? target.n : (size_t)(mark - target.p));
}

static bool stream_make(visit_t *v, const weir_head_t *head)
{
    const weir_host_t *host = v->edge->host;
    weir_client_intro_t intro = {
        .peer = host->stream_peer(v->stream),
        .host = weir_head_value(head, WEIR_FIELD_HOST),
        .target = head->target,
        .authorization = weir_head_value(head, WEIR_FIELD_AUTHORIZATION),
        .is_tls = host->stream_is_tls(v->stream),
        .principal = host->stream_principal(v->stream),
    };
    v->box = host->postbox_open(v->edge->listener, intro.authorization, intro.principal, box_take, v);
    if (v->box != NULL)
        v->client = host->client_new(v->edge->listener, &intro, &client_events, v);
    return v->client != NULL;
}

void stream_begin(visit_t *v, const weir_head_t *head)
{
    const weir_host_t *host = v->edge->host;
    if (v->from < v->to) {
        v->is_keep = false;
        request_refuse(v, head, WEIR_REASON_BAD_REQUEST, "bytes stand behind a request that opens an event stream");
        return;
    }
    if (!stream_make(v, head)) {
        host->postbox_close(v->box);
        v->box = NULL;
        request_refuse(v, head, WEIR_REASON_INTERNAL, "no memory for an event stream");
        return;
    }
    v->edge->nstreams++;
    host->stream_gather(v->stream); /* events of one turn leave together */
    visit_move(v, VISIT_STREAM);
    reply_stream(v, head, path_of(head->target), host->postbox_address(v->box));
    request_forget(v);
    host->buf_unref(v->in);
    v->in = NULL;
    v->from = v->to = 0;
}

void stream_heartbeat(visit_t *v)
{
    reply_comment(v);
    visit_move(v, VISIT_STREAM);
}

void stream_drained(visit_t *v)
{
    v->edge->host->client_drained(v->client);
}
