/* link.c: the connect side: a link is one WebSocket to a server.
 *
 * A conn_t is its link's from conn_open() to conn_forget(). Any call of the host may close the link: while one runs, a conn_t that is
 * closed is kept (`depth`).
 *
 *   state        event                        next      what happens
 *   CONNECTING   connected                    SHAKING   the handshake is sent
 *   CONNECTING   broken                       GONE      link_down: connect_failed
 *   SHAKING      101 with the right key       UP        link_up
 *   SHAKING      another reply, end, late     GONE      link_down: connect_failed
 *   UP           a message                    UP        link_message
 *   UP           close, end, broken           GONE      link_down: server_died
 *   UP           no pong within ping_interval GONE      link_down: server_died
 *   any          close                        GONE      1000, what is queued is still written
 */
#include <stdio.h>
#include <stdlib.h>

#include "ws.h"

typedef struct upstream_options {
    uint64_t send_timeout_ms, ping_interval_ms;
    bool deflate;
} upstream_options_t;

typedef struct server_options {
    const char *url;
    weir_reach_t reach;
} server_options_t;

typedef struct target {
    const weir_host_t *host;
    weir_url_t url;
    const upstream_options_t *options;
    deflater_t *deflater;
    weir_timeouts_t *connect_timeouts, *ping_timeouts;
    weir_head_t head; /* of the handshake at hand */
} target_t;

typedef struct conn {
    target_t *target;
    weir_link_t *link; /* NULL: gone */
    weir_stream_t *stream;
    weir_buf_t *buf; /* of the reply's head */
    size_t filled;
    socket_t socket;
    weir_timer_t timer;
    uint16_t depth;
    bool is_up;
    char key[KEY_SIZE + 1];
} conn_t;

/* ---- the end of a link ---- */

static void conn_release(conn_t *c)
{
    if (c->depth > 0 || c->link != NULL)
        return;
    socket_free(&c->socket);
    free(c);
}

static void conn_forget(conn_t *c)
{
    const weir_host_t *host = c->target->host;
    if (c->is_up)
        socket_close(&c->socket, CLOSE_NORMAL, "");
    c->link->carrier = NULL;
    c->link = NULL;
    host->timer_stop(&c->timer);
    host->buf_unref(c->buf);
    c->buf = NULL;
    host->stream_finish(c->stream);
    socket_forget(&c->socket);
}

/* The memory goes when the callback that noticed it returns. */
static void conn_down(conn_t *c, const char *why)
{
    const weir_host_t *host = c->target->host;
    weir_link_t *link = c->link;
    weir_reason_t reason = c->is_up ? WEIR_REASON_SERVER_DIED : WEIR_REASON_CONNECT_FAILED;
    conn_forget(c);
    host->link_down(link, reason, "%s", why);
}

/* ---- the handshake ---- */

static void conn_ask(conn_t *c)
{
    const target_t *t = c->target;
    char text[4096];
    handshake_key(c->key);
    int n =
        snprintf(text, sizeof(text),
                 "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
                 "%s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n%s\r\n",
                 WEIR_FMT(t->url.target), WEIR_FMT(t->url.authority), c->key,
                 t->deflater == NULL ? ""
                                     : "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                                       "client_no_context_takeover\r\n");
    weir_chunk_t chunk = {.bytes = weir_slice(text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0)};
    if (chunk.bytes.n == 0)
        conn_down(c, "its url is too long");
    else
        (void)t->host->stream_write(c->stream, &chunk, 1); /* `broken` follows when it has gone */
}

/* Why a reply opens no WebSocket, or NULL. */
static const char *reply_check(const conn_t *c, const weir_head_t *head)
{
    char accept[ACCEPT_SIZE + 1];
    handshake_accept(weir_slice_str(c->key), accept);
    if (head->status != 101)
        return "it does not switch to WebSocket";
    if (!weir_slice_eq(head_value(head, WEIR_LIT("Sec-WebSocket-Accept")), weir_slice_str(accept)))
        return "its Sec-WebSocket-Accept is not the answer to our key";
    return NULL;
}

static void on_text(void *owner, weir_slice_t text)
{
    conn_t *c = owner;
    if (c->link != NULL)
        (void)c->target->host->link_message(c->link, text); /* what is no message has been logged */
}

static const socket_events_t socket_events = {.message = on_text};

static void conn_read(conn_t *c)
{
    if (socket_read(&c->socket) != WEIR_OK && c->link != NULL)
        conn_down(c, "the server closed the WebSocket");
}

static void conn_up(conn_t *c, const weir_head_t *head, weir_slice_t rest)
{
    target_t *t = c->target;
    weir_slice_t extensions = head_value(head, WEIR_LIT("Sec-WebSocket-Extensions"));
    deflater_t *deflater = t->deflater != NULL && offers_deflate(extensions) ? t->deflater : NULL;
    uint64_t max_message = c->link->server->upstream->max_message;
    if (socket_open(&c->socket, t->host, c->stream, true, deflater, max_message, &socket_events, c, rest) != WEIR_OK) {
        conn_down(c, "no memory for a WebSocket");
        return;
    }
    c->is_up = true;
    t->host->buf_unref(c->buf);
    c->buf = NULL;
    t->host->timer_start(t->ping_timeouts, &c->timer);
    t->host->link_up(c->link);
    if (c->link != NULL)
        conn_read(c);
}

static void conn_read_head(conn_t *c)
{
    target_t *t = c->target;
    if (c->buf == NULL && (c->buf = t->host->buf_new(0)) == NULL) {
        conn_down(c, "no memory for the handshake");
        return;
    }
    size_t seen = c->filled, used = 0;
    long n = t->host->stream_read(c->stream, c->buf->data + c->filled, c->buf->size - c->filled);
    if (n == WEIR_EAGAIN)
        return;
    if (n <= 0) {
        conn_down(c, "the server closed the connection before the handshake was done");
        return;
    }
    c->filled += (size_t)n;
    weir_parse_t parsed = t->host->http_reply(c->buf->data, c->filled, seen, &t->head, &used);
    if (parsed == WEIR_PARSE_MORE && c->filled < c->buf->size)
        return;
    const char *why = parsed == WEIR_PARSE_DONE ? reply_check(c, &t->head) : "its reply is not HTTP/1.1";
    if (why != NULL)
        conn_down(c, why);
    else
        conn_up(c, &t->head, weir_slice(c->buf->data + used, c->filled - used));
}

/* ---- events ---- */

static void on_connected(void *owner)
{
    conn_t *c = owner;
    c->depth++;
    conn_ask(c);
    c->depth--;
    conn_release(c);
}

static void on_readable(void *owner)
{
    conn_t *c = owner;
    c->depth++;
    if (c->is_up)
        conn_read(c);
    else
        conn_read_head(c);
    c->depth--;
    conn_release(c);
}

static void on_broken(void *owner, const char *why)
{
    conn_t *c = owner;
    c->depth++;
    conn_down(c, why);
    c->depth--;
    conn_release(c);
}

static void on_timer(void *arg)
{
    conn_t *c = arg;
    c->depth++;
    if (!c->is_up)
        conn_down(c, "no answer to the handshake within connect_timeout");
    else if (socket_ping(&c->socket))
        c->target->host->timer_start(c->target->ping_timeouts, &c->timer);
    else
        conn_down(c, "it did not answer a ping within ping_interval");
    c->depth--;
    conn_release(c);
}

/* ---- what the host calls ---- */

static int conn_open(weir_link_t *link, weir_error_t *err)
{
    static const weir_stream_events_t events = {
        .connected = on_connected, .readable = on_readable, .broken = on_broken};
    target_t *t = link->server->carrier;
    conn_t *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return weir_error(err, "no memory for a link");
    c->target = t;
    c->link = link;
    c->timer = (weir_timer_t){.fire = on_timer, .arg = c};
    weir_list_init(&c->timer.node);
    c->stream = t->host->stream_connect(link, &events, c, err);
    if (c->stream == NULL) {
        free(c);
        return WEIR_EFAIL;
    }
    t->host->stream_limit(c->stream, link->server->upstream->buffer_limit, t->options->send_timeout_ms);
    t->host->timer_start(t->connect_timeouts, &c->timer);
    link->carrier = c;
    return WEIR_OK;
}

static void conn_close(weir_link_t *link)
{
    conn_t *c = link->carrier;
    if (c == NULL)
        return;
    conn_forget(c);
    conn_release(c);
}

static int conn_write(weir_link_t *link, const weir_chunk_t *parts, size_t n)
{
    conn_t *c = link->carrier;
    return c == NULL || !c->is_up ? WEIR_ECLOSED : socket_write(&c->socket, parts, n);
}

static void conn_pause(weir_link_t *link, bool is_paused)
{
    conn_t *c = link->carrier;
    if (c == NULL)
        return;
    c->socket.is_paused = is_paused;
    c->target->host->stream_pause(c->stream, is_paused);
}

/* ---- servers ---- */

static void target_free(target_t *t)
{
    if (t == NULL)
        return;
    deflater_free(t->deflater);
    free(t);
}

static target_t *target_new(const weir_host_t *host, const weir_server_t *server, const weir_url_t *url,
                            weir_error_t *err)
{
    const server_options_t *o = server->options;
    target_t *t = calloc(1, sizeof(*t));
    (void)weir_error(err, "url: no memory for a server");
    if (t == NULL)
        return NULL;
    t->host = host;
    t->url = *url;
    t->options = server->upstream->options;
    t->connect_timeouts = host->timeouts(o->reach.connect_timeout_ms);
    t->ping_timeouts = host->timeouts(t->options->ping_interval_ms);
    if (t->connect_timeouts != NULL && t->ping_timeouts != NULL &&
        (!t->options->deflate || (t->deflater = deflater_new(host, server->upstream, NULL, err)) != NULL))
        return t;
    target_free(t);
    return NULL;
}

static int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    const server_options_t *o = server->options;
    weir_url_t url;
    if (host->url_parse(o->url, &url, err) != WEIR_OK)
        return WEIR_EFAIL;
    target_t *t = target_new(host, server, &url, err);
    if (t == NULL)
        return WEIR_EFAIL;
    if (host->server_address(server, url.host, url.port, url.is_tls, &o->reach, err) != WEIR_OK) {
        target_free(t);
        return WEIR_EFAIL;
    }
    server->name = o->url;
    server->carrier = t;
    return WEIR_OK;
}

static void server_close(weir_server_t *server)
{
    target_free(server->carrier);
    server->carrier = NULL;
}

/* All servers of the upstream count in one place. */
static void target_status(const weir_host_t *host, weir_upstream_t *upstream, weir_status_t *status)
{
    const target_t *t = host->upstream_server(upstream, 0)->carrier;
    deflater_tell(t->deflater, status);
}

#define UP(member) offsetof(upstream_options_t, member)
#define SRV(member) offsetof(server_options_t, member)

static const weir_option_t upstream_options[] = {
    {"send_timeout", WEIR_TYPE_DURATION, UP(send_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a server may take no byte of what waits for it"},
    {"ping_interval", WEIR_TYPE_DURATION, UP(ping_interval_ms), "30s", 1, 86400000, NULL, false,
     "how often a server is pinged; one that has not answered by the next time is gone"},
    {"permessage_deflate", WEIR_TYPE_BOOL, UP(deflate), "false", 0, 0, NULL, false,
     "offer to compress messages of 1 KiB and more (RFC 7692)"},
    {.name = NULL},
};

static const weir_option_t server_options[] = {
    {"url", WEIR_TYPE_STRING, SRV(url), NULL, 0, 0, NULL, true, "ws:// or wss://, host, port, path"},
    WEIR_REACH_OPTIONS(SRV(reach)),
    {.name = NULL},
};

const weir_connect_t ws_connect = {
    .flags = WEIR_CONNECT_STREAM | WEIR_CONNECT_KEPT,
    .upstream_options = upstream_options,
    .upstream_options_size = sizeof(upstream_options_t),
    .server_options = server_options,
    .server_options_size = sizeof(server_options_t),
    .server_open = server_open,
    .server_close = server_close,
    .open = conn_open,
    .close = conn_close,
    .write = conn_write,
    .pause = conn_pause,
    .status = target_status,
};
