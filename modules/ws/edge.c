/* edge.c: the accept side: a listener's WebSockets, each a client whose messages the host turns into exchanges.
 *
 * A visit_t is its listener's from visit_new() to visit_forget(); while a call of the host is on the stack (`depth`) its memory stays.
 *
 *   state   event                             next    what happens
 *   HEAD    a head that asks for ws           OPEN    101; a client of the host
 *   HEAD    a head for another transport      GONE    the stream is given to it
 *   HEAD    anything else, header_timeout     GONE    refused: 400, 403, 404, 408, 426, 431
 *   OPEN    a message                         OPEN    client_message
 *   OPEN    close, broken protocol, end       GONE    client_gone
 *   OPEN    no pong within ping_interval      GONE    client_gone
 *   OPEN    the host is flooded               OPEN    nothing is read until it is not any more
 *   OPEN    the host ends it, drained         GONE    1000 or 1001, what is queued is still written
 */
#include <stdio.h>
#include <stdlib.h>

#include "ws.h"

typedef struct edge_options {
    weir_guard_t guard;
    uint64_t max_head, max_message, buffer_limit, send_timeout_ms, header_timeout_ms, ping_interval_ms;
    bool deflate;
} edge_options_t;

typedef struct edge {
    const weir_host_t *host;
    weir_listener_t *listener;
    const edge_options_t *options;
    weir_list_t visits;
    size_t nvisits;
    deflater_t *deflater;
    weir_timeouts_t *header_timeouts, *ping_timeouts;
    weir_head_t head; /* of the handshake at hand */
} edge_t;

typedef struct visit {
    edge_t *edge;
    weir_list_t node;
    weir_stream_t *stream; /* NULL: gone */
    weir_client_t *client; /* NULL: before the handshake is done */
    weir_buf_t *buf;       /* of a head that has not come whole */
    size_t filled;
    socket_t socket;
    weir_timer_t timer, go_on;
    uint16_t depth;
} visit_t;

/* ---- the end of a visit ---- */

static void visit_release(visit_t *v)
{
    if (v->depth > 0 || v->stream != NULL)
        return;
    socket_free(&v->socket);
    free(v);
}

static void visit_forget(visit_t *v)
{
    const weir_host_t *host = v->edge->host;
    v->stream = NULL;
    socket_forget(&v->socket);
    host->timer_stop(&v->timer);
    host->timer_stop(&v->go_on);
    host->buf_unref(v->buf);
    v->buf = NULL;
    weir_list_remove(&v->node);
    v->edge->nvisits--;
    v->depth++;
    if (v->client != NULL)
        host->client_gone(v->client);
    v->depth--;
    visit_release(v);
}

static void visit_finish(visit_t *v)
{
    if (v->stream == NULL)
        return;
    v->edge->host->stream_finish(v->stream);
    visit_forget(v);
}

/* ---- a client ---- */

static int visit_write(void *owner, const weir_chunk_t *parts, size_t n)
{
    visit_t *v = owner;
    return v->stream == NULL ? WEIR_ECLOSED : socket_write(&v->socket, parts, n);
}

static void visit_pause(void *owner, bool is_paused)
{
    visit_t *v = owner;
    if (v->stream == NULL)
        return;
    v->socket.is_paused = is_paused;
    if (is_paused)
        v->edge->host->stream_pause(v->stream, true);
    else
        v->edge->host->timer_at_turn_end(&v->go_on);
}

static void visit_end(void *owner, const char *why)
{
    visit_t *v = owner;
    socket_close(&v->socket, CLOSE_NORMAL, why);
    visit_finish(v);
}

static const weir_client_events_t client_events = {.write = visit_write, .pause = visit_pause, .end = visit_end};

static void on_text(void *owner, weir_slice_t text)
{
    visit_t *v = owner;
    weir_chunk_t chunk = {.bytes = text};
    v->edge->host->client_message(v->client, &chunk);
}

static const socket_events_t socket_events = {.message = on_text};

static void visit_read(visit_t *v)
{
    if (socket_read(&v->socket) != WEIR_OK)
        visit_finish(v);
}

static void on_go_on(void *arg)
{
    visit_t *v = arg;
    v->depth++;
    v->edge->host->stream_pause(v->stream, false);
    visit_read(v);
    v->depth--;
    visit_release(v);
}

/* ---- the handshake ---- */

static void visit_say(visit_t *v, const char *text, size_t n)
{
    weir_chunk_t chunk = {.bytes = weir_slice(text, n)};
    (void)v->edge->host->stream_write(v->stream, &chunk, 1); /* `broken` follows when it has gone */
}

static void visit_refuse(visit_t *v, uint16_t status, const char *why)
{
    const weir_host_t *host = v->edge->host;
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %u %s\r\nDate: %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: "
                     "close\r\n\r\n%s\n",
                     status, host->http_reason(status), host->http_date(),
                     status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : "", strlen(why) + 1, why);
    host->log(WEIR_LOG_INFO, "ws: a client was refused with %u: %s", status, why);
    if (n > 0 && (size_t)n < sizeof(text))
        visit_say(v, text, (size_t)n);
    visit_finish(v);
}

static bool is_upgrade(const weir_head_t *head)
{
    return head->is_upgrade && has_token(weir_head_value(head, WEIR_FIELD_UPGRADE), WEIR_LIT("websocket"));
}

/* Why a head that asks for a WebSocket does not get one: a status, or 0. */
static uint16_t handshake_check(const edge_t *edge, const weir_head_t *head, weir_error_t *err)
{
    weir_reason_t reason = edge->host->guard_host(edge->listener, &edge->options->guard, head, err);
    if (reason == WEIR_REASON_NONE)
        reason = edge->host->guard_origin(&edge->options->guard, head, err);
    if (reason != WEIR_REASON_NONE)
        return reason == WEIR_REASON_BAD_ORIGIN ? 403 : 400;
    (void)weir_error(err, "no route leads from here to a server");
    if (!edge->host->listener_leads(edge->listener, weir_head_value(head, WEIR_FIELD_HOST), head->target))
        return 404;
    (void)weir_error(err,
                     "a WebSocket is opened by GET with Sec-WebSocket-Version 13 and a Sec-WebSocket-Key of 16 bytes");
    if (!weir_slice_eq(head_value(head, WEIR_LIT("Sec-WebSocket-Version")), WEIR_LIT("13")))
        return 426;
    bool is_keyed = head_value(head, WEIR_LIT("Sec-WebSocket-Key")).n == KEY_SIZE;
    return weir_slice_eq(head->method, WEIR_LIT("GET")) && is_keyed ? 0 : 400;
}

static void handshake_answer(visit_t *v, const weir_head_t *head, bool is_deflated)
{
    char text[512], accept[ACCEPT_SIZE + 1];
    bool is_mcp = has_token(head_value(head, WEIR_LIT("Sec-WebSocket-Protocol")), WEIR_LIT("mcp"));
    handshake_accept(head_value(head, WEIR_LIT("Sec-WebSocket-Key")), accept);
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n%s%s\r\n",
                     accept, is_mcp ? "Sec-WebSocket-Protocol: mcp\r\n" : "",
                     is_deflated ? "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                                   "client_no_context_takeover\r\n"
                                 : "");
    if (n > 0 && (size_t)n < sizeof(text))
        visit_say(v, text, (size_t)n);
}

static void visit_open(visit_t *v, const weir_head_t *head, weir_slice_t rest)
{
    const weir_host_t *host = v->edge->host;
    bool is_deflated =
        v->edge->deflater != NULL && offers_deflate(head_value(head, WEIR_LIT("Sec-WebSocket-Extensions")));
    weir_client_intro_t intro = {
        .peer = host->stream_peer(v->stream),
        .host = weir_head_value(head, WEIR_FIELD_HOST),
        .target = head->target,
        .authorization = weir_head_value(head, WEIR_FIELD_AUTHORIZATION),
        .is_tls = host->stream_is_tls(v->stream),
        .principal = host->stream_principal(v->stream),
    };
    v->client = host->client_new(v->edge->listener, &intro, &client_events, v);
    if (v->client == NULL || socket_open(&v->socket, host, v->stream, false, is_deflated ? v->edge->deflater : NULL,
                                         v->edge->options->max_message, &socket_events, v, rest) != WEIR_OK) {
        visit_refuse(v, 500, "out of memory");
        return;
    }
    handshake_answer(v, head, is_deflated);
    host->timer_start(v->edge->ping_timeouts, &v->timer);
    if (rest.n > 0)
        visit_read(v);
}

/* A whole head. What was read behind it is `bytes` without its first head_n. */
static void visit_head(visit_t *v, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    weir_error_t err = {""};
    if (!is_upgrade(head)) {
        visit_refuse(v, 426, "this port speaks WebSocket");
        return;
    }
    uint16_t status = handshake_check(v->edge, head, &err);
    if (status != 0)
        visit_refuse(v, status, err.text);
    else
        visit_open(v, head, weir_slice(bytes.p + head_n, bytes.n - head_n));
}

static bool visit_offered(visit_t *v, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    edge_t *edge = v->edge;
    if (is_upgrade(head) || !edge->host->listener_is_shared(edge->listener) ||
        !edge->host->listener_offer(edge->listener, v->stream, head, bytes, head_n))
        return false;
    visit_forget(v);
    return true;
}

static void visit_read_head(visit_t *v)
{
    edge_t *edge = v->edge;
    if (v->buf == NULL && (v->buf = edge->host->buf_new(edge->options->max_head)) == NULL) {
        visit_finish(v);
        return;
    }
    size_t seen = v->filled, used = 0;
    long n = edge->host->stream_read(v->stream, v->buf->data + v->filled, v->buf->size - v->filled);
    if (n <= 0) {
        if (n != WEIR_EAGAIN)
            visit_finish(v);
        return;
    }
    v->filled += (size_t)n;
    weir_slice_t bytes = weir_slice(v->buf->data, v->filled);
    weir_parse_t parsed = edge->host->http_request(bytes.p, bytes.n, seen, &edge->head, &used);
    if (parsed == WEIR_PARSE_DONE) {
        if (!visit_offered(v, &edge->head, bytes, used))
            visit_head(v, &edge->head, bytes, used);
    } else if (parsed == WEIR_PARSE_TOO_LARGE || (parsed == WEIR_PARSE_MORE && v->filled == v->buf->size)) {
        visit_refuse(v, 431, "the head is larger than max_head");
    } else if (parsed != WEIR_PARSE_MORE) {
        visit_refuse(v, 400, "the request is not HTTP/1.1");
    }
}

/* ---- events ---- */

static void on_readable(void *owner)
{
    visit_t *v = owner;
    v->depth++;
    if (v->client != NULL)
        visit_read(v);
    else
        visit_read_head(v);
    v->depth--;
    visit_release(v);
}

static void on_drained(void *owner)
{
    visit_t *v = owner;
    if (v->client != NULL)
        v->edge->host->client_drained(v->client);
}

static void on_broken(void *owner, const char *why)
{
    visit_t *v = owner;
    v->edge->host->log(WEIR_LOG_DEBUG, "ws: a client's connection: %s", why);
    visit_finish(v);
}

static void on_timer(void *arg)
{
    visit_t *v = arg;
    edge_t *edge = v->edge;
    if (v->client == NULL) {
        visit_refuse(v, 408, "no whole head within header_timeout");
    } else if (socket_ping(&v->socket)) {
        edge->host->timer_start(edge->ping_timeouts, &v->timer);
    } else {
        edge->host->log(WEIR_LOG_INFO, "ws: a client did not answer a ping within ping_interval (%llu ms)",
                        (unsigned long long)edge->options->ping_interval_ms);
        visit_finish(v);
    }
}

static const weir_stream_events_t stream_events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};

/* ---- the listener ---- */

static visit_t *visit_new(edge_t *edge, weir_stream_t *stream)
{
    const weir_host_t *host = edge->host;
    visit_t *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        host->log(WEIR_LOG_ERROR, "ws: no memory for a client; its connection is closed");
        host->stream_close(stream);
        return NULL;
    }
    v->edge = edge;
    v->stream = stream;
    v->timer = (weir_timer_t){.fire = on_timer, .arg = v};
    v->go_on = (weir_timer_t){.fire = on_go_on, .arg = v};
    weir_list_init(&v->timer.node);
    weir_list_init(&v->go_on.node);
    weir_list_append(&edge->visits, &v->node);
    edge->nvisits++;
    host->timer_start(edge->header_timeouts, &v->timer);
    host->stream_limit(stream, edge->options->buffer_limit, edge->options->send_timeout_ms);
    host->stream_own(stream, &stream_events, v);
    return v;
}

static void edge_open(void *self, weir_stream_t *stream)
{
    (void)visit_new(self, stream);
}

static bool edge_adopt(void *self, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    if (!is_upgrade(head))
        return false;
    visit_t *v = visit_new(self, stream);
    if (v == NULL)
        return true;
    v->depth++;
    visit_head(v, head, bytes, head_n);
    v->depth--;
    visit_release(v);
    return true;
}

static void edge_cut(edge_t *edge)
{
    while (!weir_list_empty(&edge->visits)) {
        visit_t *v = WEIR_CONTAINER(edge->visits.next, visit_t, node);
        if (v->client != NULL)
            socket_close(&v->socket, CLOSE_GOING_AWAY, "weir is leaving");
        visit_finish(v);
    }
}

static void edge_destroy(void *self)
{
    edge_t *edge = self;
    edge_cut(edge);
    deflater_free(edge->deflater);
    free(edge);
}

static void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err)
{
    const edge_options_t *o = options;
    edge_t *edge = calloc(1, sizeof(*edge));
    if (edge == NULL) {
        (void)weir_error(err, "ws: no memory for a listener");
        return NULL;
    }
    edge->host = host;
    edge->listener = listener;
    edge->options = o;
    weir_list_init(&edge->visits);
    edge->header_timeouts = host->timeouts(o->header_timeout_ms);
    edge->ping_timeouts = host->timeouts(o->ping_interval_ms);
    if (edge->header_timeouts == NULL || edge->ping_timeouts == NULL)
        (void)weir_error(err, "ws: no memory for a listener");
    else if (!o->deflate || (edge->deflater = deflater_new(host, NULL, listener, err)) != NULL)
        return edge;
    free(edge);
    return NULL;
}

static void edge_drain(void *self, bool now)
{
    if (now)
        edge_cut(self);
}

static size_t edge_clients(void *self)
{
    return ((edge_t *)self)->nvisits;
}

static void edge_status(void *self, weir_status_t *status)
{
    deflater_tell(((const edge_t *)self)->deflater, status);
}

#define OPT(member) offsetof(edge_options_t, member)

static const weir_option_t edge_options[] = {
    {"max_head", WEIR_TYPE_SIZE, OPT(max_head), "16KiB", 1024, 65536, NULL, false, "largest head of a request"},
    {"max_message", WEIR_TYPE_SIZE, OPT(max_message), "4MiB", 1024, 1 << 30, NULL, false,
     "largest message of a client; a larger one ends its WebSocket with 1009"},
    {"buffer_limit", WEIR_TYPE_SIZE, OPT(buffer_limit), "256KiB", 16384, 1 << 30, NULL, false,
     "bytes queued for a client that does not read; at 80% its servers are not read any more"},
    {"send_timeout", WEIR_TYPE_DURATION, OPT(send_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a client may take no byte of what waits for it"},
    {"header_timeout", WEIR_TYPE_DURATION, OPT(header_timeout_ms), "10s", 1, 86400000, NULL, false,
     "time for the handshake's head"},
    {"ping_interval", WEIR_TYPE_DURATION, OPT(ping_interval_ms), "30s", 1, 86400000, NULL, false,
     "how often a client is pinged; one that has not answered by the next time is gone"},
    {"permessage_deflate", WEIR_TYPE_BOOL, OPT(deflate), "false", 0, 0, NULL, false,
     "compress messages of 1 KiB and more for clients that offer it (RFC 7692)"},
    {"allowed_origins", WEIR_TYPE_STRINGS, OPT(guard.allowed_origins), NULL, 0, 0, NULL, false,
     "origins whose web pages may connect (\"https://app.example\", or \"*\"); without it, those of this machine"},
    {"allowed_hosts", WEIR_TYPE_STRINGS, OPT(guard.allowed_hosts), NULL, 0, 0, NULL, false,
     "what Host may say besides localhost, against DNS rebinding; with a port or for any"},
    {.name = NULL},
};

const weir_accept_t ws_accept = {
    .options = edge_options,
    .options_size = sizeof(edge_options_t),
    .create = edge_create,
    .destroy = edge_destroy,
    .open = edge_open,
    .drain = edge_drain,
    .clients = edge_clients,
    .adopt = edge_adopt,
    .status = edge_status,
};
