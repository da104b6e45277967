/* link.c: the connect side: a link is one connection to a server.
 *
 * A conn_t is its link's from conn_open() to conn_forget(). Any call of the host may close the link: while one runs, a conn_t that is
 * closed is kept (`depth`).
 *
 *   state        event            next     what happens
 *   CONNECTING   connected        UP       link_up
 *   CONNECTING   broken           GONE     link_down: connect_failed
 *   UP           a message        UP       link_message
 *   UP           end, broken      GONE     link_down: server_died
 *   any          close            GONE     what is queued is still written
 */
#include <stdlib.h>

#include "tcp.h"

typedef struct conn {
    const weir_host_t *host;
    weir_link_t *link; /* NULL: gone */
    weir_stream_t *stream;
    const weir_framing_t *framing;
    bool is_up;
    uint16_t depth;
    _Alignas(16) char state[]; /* of the framing */
} conn_t;

/* ---- the end of a link ---- */

static void conn_release(conn_t *c)
{
    if (c->depth == 0 && c->link == NULL)
        free(c);
}

static void conn_forget(conn_t *c)
{
    c->link->carrier = NULL;
    c->link = NULL;
    if (c->framing->finish != NULL)
        c->framing->finish(c->state);
    c->framing->end(c->state);
    c->host->stream_finish(c->stream);
}

static void conn_down(conn_t *c, weir_reason_t reason, const char *why)
{
    weir_link_t *link = c->link;
    c->depth++;
    conn_forget(c);
    c->host->link_down(link, reason, "%s", why);
    c->depth--;
}

/* ---- events ---- */

static void on_connected(void *owner)
{
    conn_t *c = owner;
    c->is_up = true;
    c->depth++;
    c->host->link_up(c->link);
    c->depth--;
    conn_release(c);
}

static void conn_messages(conn_t *c)
{
    weir_chunk_t message;
    weir_found_t found;
    while (c->link != NULL && (found = c->framing->next(c->state, &message)) != WEIR_FOUND_MORE) {
        const weir_server_t *server = c->link->server;
        if (found == WEIR_FOUND_BROKEN)
            conn_down(c, WEIR_REASON_BAD_REPLY, "what it sends is no frame");
        else if (found == WEIR_FOUND_TOO_LONG)
            c->host->log(WEIR_LOG_WARN, "%s: %s: skipped a message longer than max_message (%llu bytes)",
                         server->upstream->name, server->name, (unsigned long long)server->upstream->max_message);
        else if (found == WEIR_FOUND_LOST)
            c->host->link_lost(c->link, message.bytes);
        else
            (void)c->host->link_message(c->link, message.bytes); /* what is no message has been logged */
    }
}

static void on_readable(void *owner)
{
    conn_t *c = owner;
    c->depth++;
    long n = c->framing->fill(c->state, c->stream);
    if (n > 0)
        conn_messages(c);
    else if (n != WEIR_EAGAIN)
        conn_down(c, WEIR_REASON_SERVER_DIED,
                  n == 0 ? "the server closed the connection" : "the connection cannot be read");
    c->depth--;
    conn_release(c);
}

static void on_drained(void *owner)
{
    conn_t *c = owner;
    if (c->framing->drained != NULL)
        c->framing->drained(c->state);
}

static void on_broken(void *owner, const char *why)
{
    conn_t *c = owner;
    c->depth++;
    conn_down(c, c->is_up ? WEIR_REASON_SERVER_DIED : WEIR_REASON_CONNECT_FAILED, why);
    c->depth--;
    conn_release(c);
}

/* ---- what the host calls ---- */

static int conn_open(weir_link_t *link, weir_error_t *err)
{
    static const weir_stream_events_t events = {
        .connected = on_connected, .readable = on_readable, .drained = on_drained, .broken = on_broken};
    const weir_host_t *host = link->server->carrier;
    const weir_upstream_t *up = link->server->upstream;
    const tcp_upstream_options_t *options = up->options;
    const weir_framing_t *framing = framing_of(host, options->framing);
    conn_t *c = calloc(1, sizeof(*c) + framing->state_size);
    if (c == NULL)
        return weir_error(err, "no memory for a link");
    c->host = host;
    c->link = link;
    c->framing = framing;
    c->stream = host->stream_connect(link, &events, c, err);
    if (c->stream == NULL) {
        free(c);
        return WEIR_EFAIL;
    }
    weir_framing_place_t place = {.host = host, .stream = c->stream, .link = link, .max_message = up->max_message};
    if (framing->begin(c->state, &place, err) != WEIR_OK) {
        framing->end(c->state);
        host->stream_close(c->stream);
        free(c);
        return WEIR_EFAIL;
    }
    host->stream_limit(c->stream, up->buffer_limit, options->send_timeout_ms);
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
    return c == NULL ? WEIR_ECLOSED : c->framing->write(c->state, c->stream, parts, n);
}

static void conn_pause(weir_link_t *link, bool is_paused)
{
    conn_t *c = link->carrier;
    if (c != NULL)
        c->host->stream_pause(c->stream, is_paused);
}

static void server_close(weir_server_t *server)
{
    server->carrier = NULL;
}

static const weir_connect_t *variant(const void *options)
{
    return ((const tcp_upstream_options_t *)options)->framing == FRAMING_MUX ? &mux_connect : &tcp_connect;
}

const weir_connect_t tcp_connect = {
    .flags = WEIR_CONNECT_STREAM | WEIR_CONNECT_KEPT,
    .variant = variant,
    .upstream_options = tcp_upstream_options,
    .upstream_options_size = sizeof(tcp_upstream_options_t),
    .server_options = tcp_server_options,
    .server_options_size = sizeof(tcp_server_options_t),
    .server_open = tcp_server_open,
    .server_close = server_close,
    .open = conn_open,
    .close = conn_close,
    .write = conn_write,
    .pause = conn_pause,
    .link_modules = tcp_link_modules,
};
