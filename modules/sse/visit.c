/* visit.c: a connection of a client: requests one after the other, or, from a GET on, an event stream.
 *
 * A visit is its edge's from visit_new() to visit_forget(); while a call that may end it is on the stack (`depth`) its memory stays.
 * Every change of state goes through visit_move().
 *
 *   state   event                                next     what happens
 *   IDLE    first byte                           HEAD
 *   IDLE    end, header or idle time-out         GONE     closed quietly
 *   HEAD    a GET that asks for events           STREAM   the endpoint event; a client of the host's
 *   HEAD    a POST to an endpoint                BODY
 *   HEAD    a head for another transport         GONE     the stream is given to it
 *   HEAD    anything else, bad, too large, late  IDLE     refused; GONE where the connection cannot be used again
 *   BODY    whole                                WAIT     the message is posted, to whichever worker has the stream
 *   BODY    bad, too large, late                 GONE     refused
 *   WAIT    it is taken, or not, or late         IDLE     202; 404, 503, 504
 *   STREAM  a message for the client             STREAM   an event
 *   STREAM  bytes, end, broken                   GONE     client_gone
 *   STREAM  the host ends it, drained            GONE     what is queued is still written
 */
#include <stdlib.h>

#include "edge.h"

/* ---- the buffer ---- */

static void visit_pause(visit_t *v, bool is_paused)
{
    if (v->is_paused == is_paused)
        return;
    v->is_paused = is_paused;
    v->edge->host->stream_pause(v->stream, is_paused);
}

/* What is in use elsewhere is never written over: what is left goes into a buffer of its own. */
static bool visit_make_room(visit_t *v)
{
    const weir_host_t *host = v->edge->host;
    uint32_t n = v->to - v->from;
    if (v->in != NULL && v->to < v->in->size && n > 0)
        return true;
    weir_buf_t *buf = host->buf_new(v->edge->options->max_head + 1);
    if (buf == NULL || n >= buf->size) {
        host->buf_unref(buf);
        return false;
    }
    if (n > 0)
        memcpy(buf->data, v->in->data + v->from, n);
    host->buf_unref(v->in);
    v->in = buf;
    v->from = 0;
    v->to = n;
    return true;
}

static void visit_drop_buffer(visit_t *v)
{
    if (v->from < v->to)
        return;
    v->edge->host->buf_unref(v->in);
    v->in = NULL;
    v->from = v->to = v->seen = 0;
}

typedef enum fill {
    FILL_SOME,
    FILL_NOTHING,
    FILL_END,
} fill_t;

static fill_t filled(long n)
{
    return n > 0 ? FILL_SOME : n == WEIR_EAGAIN ? FILL_NOTHING : FILL_END;
}

static fill_t visit_fill(visit_t *v)
{
    if (!visit_make_room(v)) {
        visit_pause(v, true);
        return FILL_NOTHING;
    }
    long n = v->edge->host->stream_read(v->stream, v->in->data + v->to, v->in->size - v->to);
    if (n > 0)
        v->to += (uint32_t)n;
    return filled(n);
}

/* A body that is longer than what came with its head is read to its place. */
static fill_t body_fill(visit_t *v)
{
    size_t n = v->message.bytes.n;
    long got = v->edge->host->stream_read(v->stream, v->body->data + n, (size_t)v->length - n);
    if (got > 0)
        v->message.bytes.n += (size_t)got;
    return filled(got);
}

/* ---- from bytes to a request ---- */

/* False: there is nothing more to do with what has been read. */
typedef bool (*step_fn)(visit_t *v);

static bool refuse_and_close(visit_t *v, weir_reason_t reason, const char *why)
{
    v->is_keep = false;
    request_refuse(v, NULL, reason, "%s", why);
    return false;
}

/* Empty lines before a request are read over (RFC 9112 2.2). */
static bool idle_step(visit_t *v)
{
    while (v->from < v->to && (v->in->data[v->from] == '\r' || v->in->data[v->from] == '\n'))
        v->from++;
    visit_drop_buffer(v);
    visit_pause(v, false);
    if (v->from == v->to)
        return false;
    v->seen = 0;
    visit_move(v, VISIT_HEAD);
    return true;
}

/* A request without a body, or whose body is here already, leaves the connection usable whatever it is answered with. */
static void skip_body(visit_t *v, const weir_head_t *head)
{
    uint64_t length = head->content_length > 0 ? (uint64_t)head->content_length : 0;
    if (head->is_chunked || length > v->to - v->from)
        v->is_keep = false;
    else
        v->from += (uint32_t)length;
}

static bool body_begin(visit_t *v, const weir_head_t *head)
{
    const weir_host_t *host = v->edge->host;
    v->length = head->is_chunked ? -1 : head->content_length > 0 ? head->content_length : 0;
    v->chunked = (weir_chunked_t){0};
    v->message = (weir_chunk_t){{NULL, 0}, NULL};
    visit_move(v, VISIT_BODY);
    uint32_t here = v->to - v->from;
    if (head->expects_continue && v->minor > 0 && here == 0)
        reply_continue(v);
    if (v->length >= 0 && here >= v->length)
        return true;
    v->body = host->buf_new(v->length >= 0 ? (size_t)v->length : 0);
    if (v->body == NULL)
        return refuse_and_close(v, WEIR_REASON_INTERNAL, "no memory for a request");
    v->message = (weir_chunk_t){weir_slice(v->body->data, 0), v->body};
    if (v->length < 0)
        return true;
    memcpy(v->body->data, v->in->data + v->from, here);
    v->message.bytes.n = here;
    v->from = v->to;
    visit_drop_buffer(v);
    return true;
}

/* A whole head, which stands before `from`. False: the request is answered, or the visit is over. */
static bool visit_head(visit_t *v, const weir_head_t *head)
{
    weir_error_t err = {""};
    ask_t ask = request_ask(v->edge, head);
    v->minor = head->minor;
    v->is_keep = head->is_keep_alive;
    weir_reason_t reason = request_check(v->edge, head, ask, &err);
    if (reason == WEIR_REASON_NONE && !request_note(v, head)) {
        (void)weir_error(&err, "no memory for a request");
        reason = WEIR_REASON_INTERNAL;
    }
    if (reason == WEIR_REASON_NONE && ask == ASK_POST)
        return body_begin(v, head);
    skip_body(v, head);
    if (reason != WEIR_REASON_NONE)
        request_refuse(v, head, reason, "%s", err.text);
    else if (ask == ASK_STREAM)
        stream_begin(v, head);
    else
        reply_preflight(v, head);
    return v->stream != NULL && v->state == VISIT_IDLE;
}

static bool visit_offered(visit_t *v, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    edge_t *edge = v->edge;
    if (!edge->host->listener_is_shared(edge->listener) || request_ask(edge, head) != ASK_NOTHING ||
        !edge->host->listener_offer(edge->listener, v->stream, head, bytes, head_n))
        return false;
    visit_forget(v);
    return true;
}

static bool head_step(visit_t *v)
{
    edge_t *edge = v->edge;
    size_t used = 0;
    weir_slice_t bytes = weir_slice(v->in->data + v->from, v->to - v->from);
    weir_parse_t parsed = edge->host->http_request(bytes.p, bytes.n, v->seen, &edge->head, &used);
    v->seen = (uint32_t)bytes.n;
    bool is_large = (parsed == WEIR_PARSE_DONE   ? used
                     : parsed == WEIR_PARSE_MORE ? bytes.n
                                                 : 0) > edge->options->max_head;
    if (parsed == WEIR_PARSE_TOO_LARGE || is_large)
        return refuse_and_close(v, WEIR_REASON_HEAD_TOO_LARGE, "the head is larger than max_head");
    if (parsed == WEIR_PARSE_MORE)
        return false;
    if (parsed == WEIR_PARSE_VERSION)
        return refuse_and_close(v, WEIR_REASON_BAD_HTTP_VERSION, "neither HTTP/1.1 nor HTTP/1.0");
    if (parsed != WEIR_PARSE_DONE)
        return refuse_and_close(v, WEIR_REASON_BAD_REQUEST, "the request is not HTTP, or its framing is ambiguous");
    if (visit_offered(v, &edge->head, bytes, used))
        return false;
    v->from += (uint32_t)used;
    return visit_head(v, &edge->head);
}

static bool body_grow(visit_t *v, size_t need)
{
    const weir_host_t *host = v->edge->host;
    if (need <= v->body->size)
        return true;
    weir_buf_t *buf = host->buf_new(need * 2);
    if (buf == NULL)
        return false;
    memcpy(buf->data, v->body->data, v->message.bytes.n);
    host->buf_unref(v->body);
    v->body = buf;
    v->message = (weir_chunk_t){weir_slice(buf->data, v->message.bytes.n), buf};
    return true;
}

static bool body_add(visit_t *v, weir_slice_t piece)
{
    size_t n = v->message.bytes.n;
    if (!body_grow(v, n + piece.n))
        return false;
    if (piece.n > 0)
        memcpy(v->body->data + n, piece.p, piece.n);
    v->message.bytes.n += piece.n;
    return true;
}

static bool chunked_step(visit_t *v)
{
    const weir_host_t *host = v->edge->host;
    while (v->from < v->to && !v->chunked.is_done) {
        size_t used = 0;
        weir_slice_t piece = {NULL, 0};
        if (host->http_chunked(&v->chunked, v->in->data + v->from, v->to - v->from, &used, &piece) == WEIR_EFAIL)
            return refuse_and_close(v, WEIR_REASON_BAD_REQUEST, "the chunked coding of the body is broken");
        if (piece.n > v->edge->options->max_message - v->message.bytes.n)
            return refuse_and_close(v, WEIR_REASON_TOO_LARGE, "the message is larger than max_message");
        if (!body_add(v, piece))
            return refuse_and_close(v, WEIR_REASON_INTERNAL, "no memory for a request");
        v->from += (uint32_t)used;
        if (used == 0)
            break;
    }
    if (!v->chunked.is_done)
        return false;
    request_post(v);
    return v->stream != NULL && v->state == VISIT_IDLE;
}

static bool body_step(visit_t *v)
{
    if (v->length < 0)
        return chunked_step(v);
    if (v->body == NULL) {
        v->body = v->in;
        v->edge->host->buf_ref(v->body);
        v->message = (weir_chunk_t){weir_slice(v->in->data + v->from, (size_t)v->length), v->in};
        v->from += (uint32_t)v->length;
    } else if (v->message.bytes.n < (size_t)v->length) {
        return false;
    }
    request_post(v);
    return v->stream != NULL && v->state == VISIT_IDLE;
}

/* Go from state to state as far as the bytes that are there allow. */
static void visit_run(visit_t *v)
{
    static const step_fn steps[] = {
        [VISIT_IDLE] = idle_step, [VISIT_HEAD] = head_step, [VISIT_BODY] = body_step, [VISIT_GONE] = NULL};
    while (v->stream != NULL && steps[v->state] != NULL && steps[v->state](v))
        ;
}

/* ---- events ---- */

/* While a message is on its way: what follows is kept, and the end is a hang-up. */
static void wait_read(visit_t *v)
{
    if (visit_fill(v) == FILL_END)
        visit_close(v);
}

/* Nobody answers a request behind the one that opened a stream without an end. */
static void stream_read(visit_t *v)
{
    char byte;
    fill_t fill = filled(v->edge->host->stream_read(v->stream, &byte, 1));
    if (fill == FILL_NOTHING)
        return;
    if (fill == FILL_SOME)
        v->edge->host->log(WEIR_LOG_INFO,
                           "sse: a client sent bytes on the connection of its event stream; it is closed");
    visit_close(v);
}

static void request_read(visit_t *v)
{
    bool is_placed = v->state == VISIT_BODY && v->length >= 0;
    fill_t fill = is_placed ? body_fill(v) : visit_fill(v);
    if (fill == FILL_END) {
        visit_close(v);
        return;
    }
    if (v->state == VISIT_BODY)
        visit_move(v, VISIT_BODY);
    if (fill == FILL_SOME)
        visit_run(v);
}

static void on_readable(void *owner)
{
    visit_t *v = owner;
    v->depth++;
    if (v->state == VISIT_STREAM)
        stream_read(v);
    else if (v->state == VISIT_WAIT)
        wait_read(v);
    else
        request_read(v);
    v->depth--;
    visit_release(v);
}

static void on_drained(void *owner)
{
    visit_t *v = owner;
    if (v->state == VISIT_STREAM)
        stream_drained(v);
}

static void on_broken(void *owner, const char *why)
{
    visit_t *v = owner;
    v->edge->host->log(WEIR_LOG_DEBUG, "sse: a client's connection: %s", why);
    visit_close(v);
}

static void on_timer(void *arg)
{
    visit_t *v = arg;
    v->depth++;
    switch (v->state) {
    case VISIT_STREAM:
        stream_heartbeat(v);
        break;
    case VISIT_HEAD:
        (void)refuse_and_close(v, WEIR_REASON_REQUEST_TIMEOUT, "the head did not come within header_timeout");
        break;
    case VISIT_BODY:
        (void)refuse_and_close(v, WEIR_REASON_REQUEST_TIMEOUT, "the body stalled for body_timeout");
        break;
    case VISIT_WAIT:
        v->edge->host->post_forget(&v->post);
        (void)refuse_and_close(v, WEIR_REASON_TIMEOUT, "the worker that holds the stream did not take the message");
        break;
    default:
        visit_finish(v);
    }
    v->depth--;
    visit_release(v);
}

static void on_go_on(void *arg)
{
    visit_t *v = arg;
    v->depth++;
    if (v->state == VISIT_STREAM)
        stream_go_on(v);
    else
        visit_run(v);
    v->depth--;
    visit_release(v);
}

static const weir_stream_events_t events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};

static visit_t *visit_new(edge_t *edge, weir_stream_t *stream)
{
    const weir_host_t *host = edge->host;
    visit_t *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        host->log(WEIR_LOG_ERROR, "sse: no memory for a client; its connection is closed");
        host->stream_close(stream);
        return NULL;
    }
    v->edge = edge;
    v->stream = stream;
    v->timer = (weir_timer_t){.fire = on_timer, .arg = v};
    v->go_on = (weir_timer_t){.fire = on_go_on, .arg = v};
    weir_list_init(&v->timer.node);
    weir_list_init(&v->go_on.node);
    weir_list_init(&v->post.node);
    weir_list_init(&v->letters);
    weir_list_append(&edge->visits, &v->node);
    edge->nvisits++;
    host->stream_limit(stream, edge->options->buffer_limit, edge->options->send_timeout_ms);
    host->stream_own(stream, &events, v);
    visit_move(v, VISIT_IDLE);
    host->timer_start(edge->header_timeouts, &v->timer); /* the first request is not waited for as long as the next */
    return v;
}

void visit_open(edge_t *edge, weir_stream_t *stream)
{
    (void)visit_new(edge, stream);
}

void visit_adopt(edge_t *edge, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    visit_t *v = visit_new(edge, stream);
    if (v == NULL)
        return;
    v->depth++;
    v->in = edge->host->buf_new(bytes.n + 1);
    if (v->in == NULL) {
        visit_close(v);
    } else {
        memcpy(v->in->data, bytes.p, bytes.n);
        v->from = (uint32_t)head_n;
        v->to = (uint32_t)bytes.n;
        if (visit_head(v, head))
            visit_run(v);
    }
    v->depth--;
    visit_release(v);
}
