/* link.c: a link of http: one connection to a server, which carries one exchange at a time and is kept between them.
 *
 * Owned by the host's link, as its `carrier`, from conn_open() to conn_free(). The buffer is borrowed within a turn; only a head
 * that has not come whole keeps it longer. Anything that the host is told may end in conn_close(), and with it this memory: after
 * every such call link->carrier says whether it is still there.
 *
 *   state       event                        next        what happens
 *   CONNECTING  connected                    IDLE        link_up
 *   CONNECTING  broken                       gone        link_down: connect_failed
 *   IDLE        send                         HEAD        head and body leave in one write
 *   IDLE        end, broken, any byte        gone        link_down, quietly: the server has closed what nobody used
 *   IDLE        idle_timeout                 gone        the same, at our own wish
 *   HEAD        1xx                          HEAD        read over (101 is a broken reply: nobody asked for it)
 *   HEAD        a head                       LENGTH CHUNKED CLOSE, or the end at once   reply_head
 *   HEAD        not HTTP, too large          gone        link_down: bad_reply
 *   LENGTH …    bytes                        the same    reply_bytes, in this turn
 *   LENGTH      the last byte                IDLE        reply_end, link_free_again; or gone when the server closes
 *   CHUNKED     the last chunk               IDLE        likewise
 *   CHUNKED     broken coding                gone        link_down: bad_reply
 *   CLOSE       end                          gone        reply_end, link_down
 *   HEAD        end, broken, before the      gone        link_down, quietly: the server closed what had been idle just as it
 *               request came to the server               was used; the exchange goes to another link
 *   HEAD LENGTH CHUNKED  end, broken         gone        link_down: server_died. Whether the server has acted on the request
 *   CLOSE       broken                       gone        cannot be known, so it is never sent again
 *   not IDLE    abandon                      gone        closing is how HTTP says that nobody waits
 */
#include <stdlib.h>

#include "server.h"

#define SLICES_MAX 16 /* pieces of a chunked body in one call */

typedef enum conn_state {
    CONN_CONNECTING,
    CONN_IDLE,
    CONN_HEAD,
    CONN_LENGTH,
    CONN_CHUNKED,
    CONN_CLOSE,
} conn_state_t;

typedef struct conn {
    weir_link_t *link;
    target_t *target;
    weir_stream_t *stream;
    weir_exchange_t *ex; /* under way, or NULL */
    weir_buf_t *buf;
    uint32_t begin, filled, seen; /* what is in the buffer and not yet handed on; bytes of a head that were looked at */
    weir_timer_t timer;           /* idle_timeout */
    uint64_t left;                /* LENGTH: bytes of the body to come */
    uint64_t mark;                /* of the stream, before the request was written */
    weir_chunked_t chunked;
    uint8_t state;        /* conn_state_t */
    bool is_reusable : 1; /* the server keeps the connection after this reply */
    bool is_paused : 1;
    bool was_idle : 1;      /* the request found the connection standing, and did not wait for it */
    bool is_head_alone : 1; /* the reply's head was handed on, nothing of its body yet */
} conn_t;

typedef enum step {
    STEP_STOP,
    STEP_AGAIN,
} step_t;

/* ---- the end of a link ---- */

static void conn_free(conn_t *c)
{
    const weir_host_t *host = c->target->host;
    c->link->carrier = NULL;
    host->timer_stop(&c->timer);
    host->stream_close(c->stream);
    host->buf_unref(c->buf);
    free(c);
}

static step_t conn_down(conn_t *c, weir_reason_t reason, const char *why)
{
    weir_link_t *link = c->link;
    const weir_host_t *host = c->target->host;
    conn_free(c);
    host->link_down(link, reason, "%s", why);
    return STEP_STOP;
}

static bool conn_is_alive(const weir_link_t *link, const conn_t *c)
{
    return link->carrier == c;
}

void conn_close(weir_link_t *link)
{
    if (link->carrier != NULL)
        conn_free(link->carrier);
}

void conn_abandon(weir_link_t *link, weir_exchange_t *ex)
{
    conn_t *c = link->carrier;
    if (c == NULL || (c->ex != NULL && c->ex != ex))
        return;
    c->ex = NULL;
    (void)conn_down(c, WEIR_REASON_CLIENT_GONE, "nobody waits for its reply any more");
}

void conn_pause(weir_link_t *link, bool is_paused)
{
    conn_t *c = link->carrier;
    if (c == NULL || c->is_paused == is_paused)
        return;
    c->is_paused = is_paused;
    c->target->host->stream_pause(c->stream, is_paused);
}

/* ---- the reply ---- */

static void conn_become_idle(conn_t *c)
{
    c->state = CONN_IDLE;
    c->is_head_alone = false;
    c->target->host->timer_start(c->target->idle_timeouts, &c->timer);
}

/* The reply is whole. What comes behind it, unasked, makes the connection unfit for another. */
static step_t reply_done(conn_t *c)
{
    weir_link_t *link = c->link;
    weir_exchange_t *ex = c->ex;
    const weir_host_t *host = c->target->host;
    bool is_reusable = c->is_reusable && c->begin == c->filled;
    c->ex = NULL;
    c->was_idle = true;
    conn_become_idle(c);
    host->reply_end(ex);
    if (!conn_is_alive(link, c))
        return STEP_STOP;
    if (!is_reusable)
        return conn_down(c, WEIR_REASON_NONE, "the server closes after its reply");
    conn_pause(link, false);
    host->link_free_again(link);
    return STEP_STOP;
}

/* Which lengths a body can have, RFC 9112 6.3; requests are never HEAD or CONNECT. */
static conn_state_t body_state(conn_t *c, const weir_head_t *head)
{
    c->left = 0;
    c->chunked = (weir_chunked_t){0};
    c->is_reusable = head->is_keep_alive;
    if (head->status == 204 || head->status == 304)
        return CONN_LENGTH;
    if (head->is_chunked)
        return CONN_CHUNKED;
    if (head->content_length < 0) {
        c->is_reusable = false;
        return CONN_CLOSE;
    }
    c->left = (uint64_t)head->content_length;
    return CONN_LENGTH;
}

static step_t head_done(conn_t *c, size_t used)
{
    weir_link_t *link = c->link;
    const weir_head_t *head = &c->target->head;
    c->begin += (uint32_t)used;
    c->seen = 0;
    if (used > c->target->options->max_head)
        return conn_down(c, WEIR_REASON_BAD_REPLY, "the head of its reply is larger than max_head");
    if (head->status == 101)
        return conn_down(c, WEIR_REASON_BAD_REPLY, "the server switched protocols, which nobody asked for");
    if (head->status < 200)
        return STEP_AGAIN;
    c->state = (uint8_t)body_state(c, head);
    c->is_head_alone = true;
    (void)c->target->host->reply_head(c->ex, head);
    return conn_is_alive(link, c) ? STEP_AGAIN : STEP_STOP;
}

/* Have room for the rest of a head: what is there moves to the beginning, and into a larger buffer when it fills this one. */
static bool head_has_room(conn_t *c)
{
    const weir_host_t *host = c->target->host;
    uint32_t n = c->filled - c->begin;
    weir_buf_t *buf = c->buf;
    if (c->filled < buf->size)
        return true;
    buf = host->buf_new(n < buf->size ? 0 : c->target->options->max_head + 1);
    if (buf == NULL || n >= buf->size) {
        host->buf_unref(buf);
        return false;
    }
    memcpy(buf->data, c->buf->data + c->begin, n);
    host->buf_unref(c->buf);
    c->buf = buf;
    c->begin = 0;
    c->filled = n;
    return true;
}

static step_t head_more(conn_t *c)
{
    c->seen = c->filled - c->begin;
    if (c->seen > c->target->options->max_head || !head_has_room(c))
        return conn_down(c, WEIR_REASON_BAD_REPLY, "the head of its reply is larger than max_head");
    return STEP_STOP;
}

static step_t head_step(conn_t *c)
{
    size_t used = 0;
    if (c->begin == c->filled)
        return STEP_STOP;
    const char *p = c->buf->data + c->begin;
    switch (c->target->host->http_reply(p, c->filled - c->begin, c->seen, &c->target->head, &used)) {
    case WEIR_PARSE_DONE:
        return head_done(c, used);
    case WEIR_PARSE_MORE:
        return head_more(c);
    case WEIR_PARSE_TOO_LARGE:
        return conn_down(c, WEIR_REASON_BAD_REPLY, "the head of its reply has too many fields");
    case WEIR_PARSE_VERSION:
        return conn_down(c, WEIR_REASON_BAD_REPLY, "its reply is neither HTTP/1.1 nor HTTP/1.0");
    default:
        return conn_down(c, WEIR_REASON_BAD_REPLY, "its reply is not HTTP, or its framing is ambiguous");
    }
}

/* Hand on pieces of the buffer. A client that is full pauses the link through conn_pause(); what was read is still passed. */
static bool hand_on(conn_t *c, const weir_chunk_t *chunks, size_t n)
{
    weir_link_t *link = c->link;
    if (n == 0)
        return true;
    c->is_head_alone = false;
    (void)c->target->host->reply_bytes(c->ex, chunks, n);
    return conn_is_alive(link, c);
}

static step_t length_step(conn_t *c)
{
    uint32_t n = c->filled - c->begin;
    if (n > c->left)
        n = (uint32_t)c->left;
    weir_chunk_t chunk = {c->buf == NULL ? weir_slice(NULL, 0) : weir_slice(c->buf->data + c->begin, n), c->buf};
    c->begin += n;
    c->left -= n;
    if (!hand_on(c, &chunk, n > 0))
        return STEP_STOP;
    return c->left == 0 ? reply_done(c) : STEP_STOP;
}

/* Until the end of the connection. */
static step_t close_step(conn_t *c)
{
    uint32_t n = c->filled - c->begin;
    weir_chunk_t chunk = {weir_slice(c->buf->data + c->begin, n), c->buf};
    c->begin += n;
    (void)hand_on(c, &chunk, n > 0);
    return STEP_STOP;
}

/* Cut pieces of data out of the chunked coding; as many as fit. */
static int chunked_cut(conn_t *c, weir_chunk_t chunks[SLICES_MAX], size_t *n)
{
    while (*n < SLICES_MAX && c->begin < c->filled && !c->chunked.is_done) {
        size_t used = 0;
        weir_slice_t data = {NULL, 0};
        int result =
            c->target->host->http_chunked(&c->chunked, c->buf->data + c->begin, c->filled - c->begin, &used, &data);
        if (result == WEIR_EFAIL)
            return WEIR_EFAIL;
        c->begin += (uint32_t)used;
        if (data.n > 0)
            chunks[(*n)++] = (weir_chunk_t){data, c->buf};
        if (used == 0)
            break;
    }
    return WEIR_OK;
}

static step_t chunked_step(conn_t *c)
{
    weir_chunk_t chunks[SLICES_MAX];
    size_t n = 0;
    uint32_t before = c->begin;
    int result = chunked_cut(c, chunks, &n);
    if (!hand_on(c, chunks, n))
        return STEP_STOP;
    if (result == WEIR_EFAIL)
        return conn_down(c, WEIR_REASON_BAD_REPLY, "the chunked coding of its reply is broken");
    if (c->chunked.is_done)
        return reply_done(c);
    return c->begin < c->filled && c->begin > before ? STEP_AGAIN : STEP_STOP;
}

static step_t idle_step(conn_t *c)
{
    if (c->begin == c->filled)
        return STEP_STOP;
    return conn_down(c, WEIR_REASON_NONE, "the server spoke without having been asked");
}

/* ---- events ---- */

/* The end of what the server says, before the reply was whole. A connection that was made for this very request and closed at
 * once would be closed at once again. */
static void reply_broken_off(conn_t *c, const char *why)
{
    bool is_silent = c->state == CONN_HEAD && c->begin == c->filled;
    if (is_silent && c->was_idle && c->target->host->stream_is_untaken(c->stream, c->mark))
        (void)conn_down(c, WEIR_REASON_NONE, "the server closed it before a request came to it");
    else if (why != NULL)
        (void)conn_down(c, WEIR_REASON_SERVER_DIED, why);
    else if (is_silent)
        (void)conn_down(c, WEIR_REASON_SERVER_DIED, "the server closed the connection without a reply");
    else
        (void)conn_down(c, WEIR_REASON_SERVER_DIED, "the server closed the connection within its reply");
}

static void conn_ended(conn_t *c, bool is_clean)
{
    if (c->state == CONN_CONNECTING)
        (void)conn_down(c, WEIR_REASON_CONNECT_FAILED, "the server closed the connection at once");
    else if (c->state == CONN_IDLE)
        (void)conn_down(c, WEIR_REASON_NONE, "the server closed an idle connection");
    else if (c->state == CONN_CLOSE && is_clean)
        (void)reply_done(c);
    else
        reply_broken_off(c, NULL);
}

/* One read; false when there was nothing, or when it was the end (then the connection is gone). */
static bool conn_fill(conn_t *c)
{
    const weir_host_t *host = c->target->host;
    if (c->buf == NULL && (c->buf = host->buf_new(0)) == NULL) {
        host->log(WEIR_LOG_ERROR, "http: no memory to read from %s", c->target->name);
        (void)conn_down(c, WEIR_REASON_INTERNAL, "weir has no memory to read its reply");
        return false;
    }
    long n = host->stream_read(c->stream, c->buf->data + c->filled, c->buf->size - c->filled);
    if (n == WEIR_EAGAIN)
        return true;
    if (n <= 0) {
        conn_ended(c, n == 0);
        return false;
    }
    c->filled += (uint32_t)n;
    return true;
}

/* A turn's reading is over: a head without a body goes out alone, an empty buffer goes back. */
static void conn_rest(conn_t *c)
{
    weir_link_t *link = c->link;
    if (c->is_head_alone && c->ex != NULL) {
        c->is_head_alone = false;
        (void)c->target->host->reply_bytes(c->ex, NULL, 0);
        if (!conn_is_alive(link, c))
            return;
    }
    if (c->begin < c->filled || c->buf == NULL)
        return;
    c->target->host->buf_unref(c->buf);
    c->buf = NULL;
    c->begin = c->filled = 0;
}

static void on_readable(void *owner)
{
    static step_t (*const steps[])(conn_t *) = {
        [CONN_CONNECTING] = idle_step, [CONN_IDLE] = idle_step,       [CONN_HEAD] = head_step,
        [CONN_LENGTH] = length_step,   [CONN_CHUNKED] = chunked_step, [CONN_CLOSE] = close_step,
    };
    conn_t *c = owner;
    weir_link_t *link = c->link;
    if (!conn_fill(c))
        return;
    while (steps[c->state](c) == STEP_AGAIN)
        ;
    if (conn_is_alive(link, c))
        conn_rest(c);
}

/* Whoever waited for the connection has sent its request when link_up() returns. */
static void on_connected(void *owner)
{
    conn_t *c = owner;
    weir_link_t *link = c->link;
    conn_become_idle(c);
    c->target->host->link_up(link);
    if (conn_is_alive(link, c) && c->state == CONN_IDLE)
        c->was_idle = true;
}

static void on_broken(void *owner, const char *why)
{
    conn_t *c = owner;
    if (c->state == CONN_CONNECTING)
        (void)conn_down(c, WEIR_REASON_CONNECT_FAILED, why);
    else if (c->state == CONN_IDLE)
        (void)conn_down(c, WEIR_REASON_NONE, why);
    else
        reply_broken_off(c, why);
}

/* The host keeps count of what a client has not taken yet; a server that reads slowly has one request to read. */
static void on_drained(void *owner)
{
    (void)owner;
}

static void on_idle_timeout(void *arg)
{
    (void)conn_down(arg, WEIR_REASON_NONE, "it was idle for idle_timeout");
}

/* ---- asked by the host ---- */

int conn_open(weir_link_t *link, weir_error_t *err)
{
    static const weir_stream_events_t events = {
        .connected = on_connected,
        .readable = on_readable,
        .drained = on_drained,
        .broken = on_broken,
    };
    target_t *target = link->server->carrier;
    conn_t *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return weir_error(err, "%s: no memory for a connection", target->name);
    c->link = link;
    c->target = target;
    c->timer = (weir_timer_t){.fire = on_idle_timeout, .arg = c};
    weir_list_init(&c->timer.node);
    c->stream = target->host->stream_connect(link, &events, c, err);
    if (c->stream == NULL) {
        free(c);
        return WEIR_EFAIL;
    }
    target->host->stream_limit(c->stream, link->server->upstream->buffer_limit, target->options->send_timeout_ms);
    target->codings = target->host->upstream_codings(link->server->upstream);
    link->carrier = c;
    return WEIR_OK;
}

int conn_send(weir_link_t *link, weir_exchange_t *ex)
{
    conn_t *c = link->carrier;
    if (c == NULL || c->state != CONN_IDLE)
        return WEIR_ECLOSED;
    target_t *target = c->target;
    weir_chunk_t body;
    if (send_prepare(target, ex, &body) != WEIR_OK) {
        target->host->log(WEIR_LOG_ERROR, "%s: the request's head does not fit into %zu bytes", target->name,
                          target->out.size);
        target->host->buf_unref(body.buf);
        return WEIR_EFAIL;
    }
    target->host->timer_stop(&c->timer);
    c->ex = ex;
    c->state = CONN_HEAD;
    c->seen = 0;
    c->mark = target->host->stream_taken(c->stream);
    weir_chunk_t chunks[] = {{.bytes = weir_slice(target->out.p, target->out.n)}, body};
    /* A connection that breaks while it is written to says so through its events, after what the server had to say. */
    (void)target->host->stream_write(c->stream, chunks, body.bytes.n > 0 ? 2 : 1);
    target->host->buf_unref(body.buf);
    return WEIR_OK;
}
