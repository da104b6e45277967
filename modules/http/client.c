/* client.c: a client's connection.
 *
 * Owned by its edge from client_open() to client_close(). At most one exchange is under way on it; the next request is taken
 * when that one has ended, and until then its bytes wait in the buffer, or in the socket when the buffer is full. Every change
 * of state goes through client_move(). An idle connection and one whose
 * reply streams own no buffer and no head.
 *
 *   state    event                          next     what happens
 *   IDLE     first byte                     HEAD
 *   IDLE     end, header or idle time-out   GONE     closed quietly
 *   HEAD     head is whole and good         BODY
 *   HEAD     head asks for another transport        GONE     the stream is given to it (listener_offer)
 *   HEAD     head is bad, too large, late   WAIT     refused: 400, 408, 431, 505, or what request_check_head() says
 *   BODY     body is whole                  WAIT     the message is scanned, the exchange starts (or is refused)
 *   BODY     body is bad, too large, late   WAIT     refused: 400, 408, 413
 *   HEAD BODY  end                          GONE     nobody is left to be told
 *   WAIT     bytes                          WAIT     kept for after this exchange; reading pauses when the buffer is full
 *   WAIT     end, broken                    GONE     the client has hung up: the exchange is abandoned
 *   WAIT     exchange ended                 IDLE     the connection is kept
 *   WAIT     exchange ended                 FLUSH    the connection is kept, but the client has not yet read enough of it
 *   WAIT     exchange ended                 GONE     the connection closes after the reply
 *   FLUSH    drained                        IDLE
 */
#include "edge.h"

#include <stdlib.h>

/* Room behind a large message, so that reading goes on and a hang-up is seen while its exchange is under way. */
#define SPARE_ROOM 1024u

typedef enum step {
    STEP_STOP,  /* wait for an event */
    STEP_AGAIN, /* look at the state once more */
} step_t;

/* ---- the buffer ---- */

static uint32_t buf_room(const weir_buf_t *buf)
{
    return (uint32_t)((buf->size - sizeof(weir_head_t)) & ~(_Alignof(weir_head_t) - 1));
}

static weir_head_t *buf_head(const weir_buf_t *buf)
{
    return (weir_head_t *)(void *)(buf->data + buf_room(buf));
}

/* Point a parsed head's slices to where its bytes are now. */
static void head_rebase(weir_head_t *head, const char *from, const char *to)
{
    weir_slice_t *const slices[] = {&head->method, &head->target, &head->reason};
    for (size_t i = 0; i < 3; i++)
        if (slices[i]->p != NULL)
            slices[i]->p = to + (slices[i]->p - from);
    for (uint16_t i = 0; i < head->nfields; i++) {
        weir_field_t *field = &head->fields[i];
        field->name.p = to + (field->name.p - from);
        if (field->value.p != NULL)
            field->value.p = to + (field->value.p - from);
    }
}

/* Move the request at hand, and what came after it, to the beginning of a buffer with `room` for it. */
static bool client_move_to(client_t *c, uint32_t room)
{
    const weir_host_t *host = c->edge->host;
    uint32_t n = c->filled - c->begin;
    weir_buf_t *old = c->buf, *buf = host->buf_new(0);
    if (buf != NULL && buf_room(buf) < room) {
        host->buf_unref(buf);
        buf = host->buf_new((size_t)room + sizeof(weir_head_t) + _Alignof(weir_head_t));
    }
    if (buf == NULL)
        return false;
    memcpy(buf->data, old->data + c->begin, n);
    if (c->head != NULL) {
        *buf_head(buf) = *c->head;
        c->head = buf_head(buf);
        head_rebase(c->head, old->data + c->begin, buf->data);
    }
    c->buf = buf;
    c->filled = n;
    c->next -= c->next < c->begin ? c->next : c->begin;
    c->begin = 0;
    host->buf_unref(old);
    return true;
}

/* Have room for `need` bytes of the request at hand, those that are there already counted in. */
static bool client_has_room(client_t *c, uint32_t need)
{
    return c->begin + need <= buf_room(c->buf) || client_move_to(c, need);
}

typedef enum fill {
    FILL_SOME,
    FILL_NOTHING,
    FILL_END,
} fill_t;

/* One read. What is full is not read into: the bytes wait in the socket. */
static fill_t client_fill(client_t *c)
{
    const weir_host_t *host = c->edge->host;
    if (c->buf == NULL && (c->buf = host->buf_new(0)) == NULL)
        return FILL_END;
    uint32_t room = buf_room(c->buf) - c->filled;
    if (room == 0) {
        client_pause(c, true);
        return FILL_NOTHING;
    }
    long n = host->stream_read(c->stream, c->buf->data + c->filled, room);
    if (n > 0)
        c->filled += (uint32_t)n;
    return n > 0 ? FILL_SOME : n == WEIR_EAGAIN ? FILL_NOTHING : FILL_END;
}

/* ---- from bytes to a request ---- */

/* Empty lines before a request are read over (RFC 9112 2.2). */
static step_t idle_step(client_t *c)
{
    while (c->begin < c->filled && (c->buf->data[c->begin] == '\r' || c->buf->data[c->begin] == '\n'))
        c->begin++;
    if (c->begin == c->filled) {
        client_rest(c);
        return STEP_STOP;
    }
    c->seen = 0;
    c->next = c->begin;
    client_move(c, CLIENT_HEAD);
    return STEP_AGAIN;
}

static step_t head_refused(client_t *c, weir_reason_t reason, const char *why)
{
    c->is_keep = false;
    client_move(c, CLIENT_WAIT);
    request_refuse(c, reason, "%s", why);
    return STEP_AGAIN;
}

/* The body that the head speaks of is here already: the connection stays usable whatever the head is answered with. */
static bool body_is_here(client_t *c)
{
    uint64_t left = c->filled - c->next;
    if (c->head->is_chunked || (c->head->content_length > 0 && (uint64_t)c->head->content_length > left))
        return false;
    if (c->head->content_length > 0)
        c->next += (uint32_t)c->head->content_length;
    return true;
}

static step_t head_unwanted(client_t *c, weir_reason_t reason, const weir_error_t *err)
{
    if (!body_is_here(c))
        c->is_keep = false;
    client_move(c, CLIENT_WAIT);
    if (reason == WEIR_REASON_NONE)
        reply_preflight(c);
    else
        request_refuse(c, reason, "%s", err->text);
    return STEP_AGAIN;
}

/* Another transport of this port may know what the head asks for; the stream is its own then. */
static bool head_offered(client_t *c)
{
    edge_t *edge = c->edge;
    weir_slice_t bytes = weir_slice(c->buf->data + c->begin, c->filled - c->begin);
    if (!edge->host->listener_offer(edge->listener, c->stream, c->head, bytes, c->head_n))
        return false;
    client_forget(c);
    return true;
}

/* A body whose length is known gets its place at once, so that nothing moves while it arrives. */
static step_t head_done(client_t *c, uint32_t used)
{
    weir_error_t err;
    err.text[0] = '\0';
    c->head = buf_head(c->buf);
    c->head_n = used;
    c->body_n = 0;
    c->next = c->begin + used;
    c->minor = c->head->minor;
    c->is_keep = c->head->is_keep_alive;
    c->is_origin = false;
    c->chunked = (weir_chunked_t){0};
    if (c->edge->is_shared && head_offered(c))
        return STEP_STOP;
    weir_reason_t reason = request_check_head(c, &err);
    if (reason != WEIR_REASON_NONE || request_is_preflight(c))
        return head_unwanted(c, reason, &err);
    int64_t length = c->head->content_length;
    if (length > 0 &&
        !client_has_room(c, used + (uint32_t)length + (used + length > buf_room(c->buf) ? SPARE_ROOM : 0)))
        return head_refused(c, WEIR_REASON_INTERNAL, "no memory for a request");
    if (c->head->expects_continue && c->minor > 0 && c->next == c->filled)
        reply_continue(c);
    client_move(c, CLIENT_BODY);
    return STEP_AGAIN;
}

static step_t head_more(client_t *c)
{
    uint32_t n = c->filled - c->begin;
    uint32_t limit = (uint32_t)c->edge->options->max_head;
    if (c->seen == 0)
        c->edge->host->timer_start(c->edge->header_timeouts, &c->timer);
    c->seen = n;
    if (n >= limit)
        return head_refused(c, WEIR_REASON_HEAD_TOO_LARGE, "the head is larger than max_head");
    if (c->filled == buf_room(c->buf) && !client_move_to(c, limit))
        return head_refused(c, WEIR_REASON_INTERNAL, "no memory for a request's head");
    client_pause(c, false);
    return STEP_STOP;
}

static step_t head_step(client_t *c)
{
    size_t used = 0;
    const char *p = c->buf->data + c->begin;
    switch (c->edge->host->http_request(p, c->filled - c->begin, c->seen, buf_head(c->buf), &used)) {
    case WEIR_PARSE_DONE:
        if (used > c->edge->options->max_head)
            return head_refused(c, WEIR_REASON_HEAD_TOO_LARGE, "the head is larger than max_head");
        return head_done(c, (uint32_t)used);
    case WEIR_PARSE_MORE:
        return head_more(c);
    case WEIR_PARSE_TOO_LARGE:
        return head_refused(c, WEIR_REASON_HEAD_TOO_LARGE, "the head has too many fields");
    case WEIR_PARSE_VERSION:
        return head_refused(c, WEIR_REASON_BAD_HTTP_VERSION, "neither HTTP/1.1 nor HTTP/1.0");
    default:
        return head_refused(c, WEIR_REASON_BAD_REQUEST, "the request is not HTTP, or its framing is ambiguous");
    }
}

/* Put what the body says in its place; what came behind it moves along. */
static bool body_replace(client_t *c, weir_slice_t plain)
{
    uint32_t behind = c->filled - c->next;
    if (!client_has_room(c, c->head_n + (uint32_t)plain.n + behind + SPARE_ROOM))
        return false;
    char *body = c->buf->data + c->begin + c->head_n;
    memmove(body + plain.n, c->buf->data + c->next, behind);
    if (plain.n > 0)
        memcpy(body, plain.p, plain.n);
    c->body_n = (uint32_t)plain.n;
    c->next = c->begin + c->head_n + c->body_n;
    c->filled = c->next + behind;
    return true;
}

/* Take the content coding off the whole body, as the chunked one was before it. */
static weir_reason_t body_decode(client_t *c, weir_error_t *err)
{
    weir_chunk_t plain = {.buf = NULL};
    weir_reason_t reason = coding_take_off(c, &plain, err);
    if (reason == WEIR_REASON_NONE && plain.buf != NULL && !body_replace(c, plain.bytes)) {
        (void)weir_error(err, "no memory for a request");
        reason = WEIR_REASON_INTERNAL;
    }
    c->edge->host->buf_unref(plain.buf);
    return reason;
}

static step_t body_done(client_t *c)
{
    weir_error_t err;
    weir_reason_t reason = c->head->known[WEIR_FIELD_CONTENT_ENCODING] < 0 ? WEIR_REASON_NONE : body_decode(c, &err);
    if (reason != WEIR_REASON_NONE) {
        client_move(c, CLIENT_WAIT);
        client_pause(c, false);
        request_refuse(c, reason, "%s", err.text);
        return STEP_AGAIN;
    }
    client_move(c, CLIENT_WAIT);
    client_pause(c, false);
    request_start(c);
    return STEP_AGAIN;
}

static step_t body_more(client_t *c)
{
    c->edge->host->timer_start(c->edge->body_timeouts, &c->timer);
    client_pause(c, false);
    return STEP_STOP;
}

/* Take the chunked coding off what has arrived, in place: data moves down over the sizes that stood between it. */
static int body_dechunk(client_t *c)
{
    char *data = c->buf->data, *end = data + c->begin + c->head_n + c->body_n;
    while (c->next < c->filled && !c->chunked.is_done) {
        size_t used = 0;
        weir_slice_t piece = {NULL, 0};
        int result = c->edge->host->http_chunked(&c->chunked, data + c->next, c->filled - c->next, &used, &piece);
        if (result == WEIR_EFAIL)
            return WEIR_EFAIL;
        if (piece.n > 0)
            memmove(end, piece.p, piece.n);
        end += piece.n;
        c->body_n += (uint32_t)piece.n;
        c->next += (uint32_t)used;
        if (used == 0)
            break;
    }
    return WEIR_OK;
}

static step_t chunked_more(client_t *c)
{
    c->filled = c->next = c->begin + c->head_n + c->body_n;
    uint32_t have = c->head_n + c->body_n;
    if (c->filled == buf_room(c->buf) && !client_move_to(c, have * 2))
        return head_refused(c, WEIR_REASON_INTERNAL, "no memory for a request");
    return body_more(c);
}

static step_t chunked_step(client_t *c)
{
    if (body_dechunk(c) != WEIR_OK)
        return head_refused(c, WEIR_REASON_BAD_REQUEST, "the chunked coding of the body is broken");
    if (c->body_n > c->edge->options->max_message)
        return head_refused(c, WEIR_REASON_TOO_LARGE, "the message is larger than max_message");
    return c->chunked.is_done ? body_done(c) : chunked_more(c);
}

static step_t body_step(client_t *c)
{
    if (c->head->is_chunked)
        return chunked_step(c);
    uint32_t length = c->head->content_length > 0 ? (uint32_t)c->head->content_length : 0;
    if (c->filled - c->begin - c->head_n < length) {
        c->next = c->filled;
        return body_more(c);
    }
    c->body_n = length;
    c->next = c->begin + c->head_n + length;
    return body_done(c);
}

/* Go from state to state as far as the bytes that are there allow. */
static void client_run(client_t *c)
{
    static step_t (*const steps[])(client_t *) = {
        [CLIENT_IDLE] = idle_step,
        [CLIENT_HEAD] = head_step,
        [CLIENT_BODY] = body_step,
        [CLIENT_GONE] = NULL,
    };
    c->is_running = true;
    while (steps[c->state] != NULL && steps[c->state](c) == STEP_AGAIN)
        ;
    c->is_running = false;
    if (c->state == CLIENT_GONE)
        free(c);
}

/* ---- events ---- */

/* While an exchange is under way: what follows is kept, and the end is a hang-up (half-closed clients do not exist). */
static void wait_read(client_t *c)
{
    fill_t fill = client_fill(c);
    if (fill == FILL_END)
        client_close(c);
    else if (c->head == NULL && c->next == c->filled)
        client_drop_buffer(c);
}

static void on_readable(void *owner)
{
    client_t *c = owner;
    if (c->state == CLIENT_WAIT || c->state == CLIENT_FLUSH) {
        wait_read(c);
        return;
    }
    fill_t fill = client_fill(c);
    if (fill == FILL_END) {
        client_close(c);
        return;
    }
    if (fill == FILL_SOME || c->state == CLIENT_IDLE)
        client_run(c);
}

static void on_drained(void *owner)
{
    client_t *c = owner;
    c->is_full = false;
    if (c->state == CLIENT_FLUSH) {
        c->begin = c->next;
        client_move(c, CLIENT_IDLE);
        client_run(c);
    } else if (c->ex != NULL) {
        c->edge->host->exchange_drained(c->ex);
    }
}

static void on_broken(void *owner, const char *why)
{
    client_t *c = owner;
    c->edge->host->log(WEIR_LOG_DEBUG, "client %.*s: %s", WEIR_FMT(c->edge->host->stream_peer(c->stream)), why);
    client_close(c);
}

static void on_timer(void *arg)
{
    client_t *c = arg;
    if (c->state == CLIENT_IDLE && c->begin < c->filled) {
        client_move(c, CLIENT_IDLE);
        client_run(c);
    } else if (c->state == CLIENT_HEAD || c->state == CLIENT_BODY) {
        (void)head_refused(c, WEIR_REASON_REQUEST_TIMEOUT,
                           c->state == CLIENT_HEAD ? "the head did not come within header_timeout"
                                                   : "the body stalled for body_timeout");
    } else {
        client_finish(c);
    }
}

static void on_connected(void *owner)
{
    (void)owner;
}

static const weir_stream_events_t events = {
    .connected = on_connected,
    .readable = on_readable,
    .drained = on_drained,
    .broken = on_broken,
};

static client_t *client_new(edge_t *edge, weir_stream_t *stream)
{
    client_t *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        edge->host->log(WEIR_LOG_ERROR, "http: no memory for a client; its connection is closed");
        edge->host->stream_close(stream);
        return NULL;
    }
    c->edge = edge;
    c->stream = stream;
    c->timer = (weir_timer_t){.fire = on_timer, .arg = c};
    weir_list_init(&c->timer.node);
    weir_list_append(&edge->clients, &c->node);
    edge->nclients++;
    edge->host->stream_own(stream, &events, c);
    edge->host->stream_limit(stream, edge->options->buffer_limit, edge->options->send_timeout_ms);
    client_move(c, CLIENT_IDLE);
    return c;
}

void client_open(edge_t *edge, weir_stream_t *stream)
{
    (void)client_new(edge, stream);
}

void client_adopt(edge_t *edge, weir_stream_t *stream, weir_slice_t bytes)
{
    client_t *c = client_new(edge, stream);
    if (c == NULL)
        return;
    c->buf = edge->host->buf_new(bytes.n + sizeof(weir_head_t) + _Alignof(weir_head_t) + 1);
    if (c->buf == NULL) {
        client_close(c);
        return;
    }
    memcpy(c->buf->data, bytes.p, bytes.n);
    c->filled = (uint32_t)bytes.n;
    client_run(c);
}
