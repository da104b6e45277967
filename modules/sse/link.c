/* link.c: the connect side: a link is one event stream of a server, and with it one session there.
 *
 * A conn_t is its link's from conn_open() to conn_forget(). Any call of the host may close the link: while one runs, a conn_t that is
 * closed is kept (`depth`).
 *
 *   state       event                            next        what happens
 *   CONNECTING  connected                        OPENING     the GET is sent
 *   CONNECTING  broken                           GONE        link_down: connect_failed
 *   OPENING     the endpoint event               UP          link_up
 *   OPENING     no event stream, end, late, an   GONE        link_down: connect_failed
 *               endpoint of another origin
 *   UP          a message event                  UP          link_message
 *   UP          end, broken, too large an event  GONE        link_down: server_died, bad_reply
 *   any         close                            GONE        the connections are closed
 */
#include <stdio.h>
#include <stdlib.h>

#include "link.h"

typedef struct conn {
    target_t *target;
    weir_link_t *link; /* NULL: gone */
    weir_stream_t *stream;
    reader_t reader;
    weir_events_t *events;
    posts_t *posts; /* NULL: there is no endpoint yet */
    weir_timer_t timer, go_on;
    uint16_t depth;
    bool is_paused;
} conn_t;

/* ---- the end of a link ---- */

static void conn_release(conn_t *c)
{
    if (c->depth == 0 && c->link == NULL)
        free(c);
}

static void conn_forget(conn_t *c)
{
    const weir_host_t *host = c->target->host;
    c->link->carrier = NULL;
    c->link = NULL;
    host->timer_stop(&c->timer);
    host->timer_stop(&c->go_on);
    host->stream_close(c->stream);
    reader_free(&c->reader);
    host->events_free(c->events);
    posts_end(c->posts);
    c->posts = NULL;
}

/* The memory goes when the callback that noticed it returns. */
static void conn_down(conn_t *c, weir_reason_t reason, const char *why)
{
    const weir_host_t *host = c->target->host;
    weir_link_t *link = c->link;
    if (c->posts == NULL)
        reason = WEIR_REASON_CONNECT_FAILED;
    conn_forget(c);
    host->link_down(link, reason, "%s", why);
}

/* ---- the stream ---- */

static void conn_ask(conn_t *c)
{
    const target_t *t = c->target;
    char text[4096];
    int n = snprintf(text, sizeof(text),
                     "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n",
                     WEIR_FMT(t->url.target), WEIR_FMT(t->url.authority));
    weir_chunk_t chunk = {.bytes = weir_slice(text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0)};
    if (chunk.bytes.n == 0)
        conn_down(c, WEIR_REASON_CONNECT_FAILED, "its url is too long");
    else
        (void)t->host->stream_write(c->stream, &chunk, 1); /* `broken` follows when it has gone */
}

static void conn_check_head(conn_t *c)
{
    static const char type[] = "text/event-stream";
    const weir_head_t *head = &c->target->head;
    weir_slice_t value = weir_head_value(head, WEIR_FIELD_CONTENT_TYPE);
    char why[256];
    bool is_stream = value.n >= sizeof(type) - 1 &&
                     weir_slice_ieq(weir_slice(value.p, sizeof(type) - 1), weir_slice(type, sizeof(type) - 1));
    if (head->status == 200 && is_stream)
        return;
    if (head->status != 200)
        (void)snprintf(why, sizeof(why), "it answered the GET for its event stream with HTTP status %u", head->status);
    else
        (void)snprintf(why, sizeof(why), "its reply to the GET is no event stream but %.*s",
                       (int)(value.n < 64 ? value.n : 64), value.p == NULL ? "" : value.p);
    conn_down(c, WEIR_REASON_CONNECT_FAILED, why);
}

static void conn_endpoint(conn_t *c, weir_slice_t reference)
{
    const weir_host_t *host = c->target->host;
    char target[ENDPOINT_MAX];
    weir_slice_t endpoint;
    weir_error_t err;
    if (c->posts != NULL)
        return; /* it has been told once */
    if (host->url_resolve(&c->target->url, reference, target, sizeof(target), &endpoint, &err) != WEIR_OK) {
        conn_down(c, WEIR_REASON_CONNECT_FAILED, err.text);
        return;
    }
    c->posts = posts_new(c->target, c->link, endpoint);
    if (c->posts == NULL) {
        conn_down(c, WEIR_REASON_CONNECT_FAILED, "no memory for its endpoint");
        return;
    }
    host->timer_stop(&c->timer);
    host->link_up(c->link);
}

static bool conn_event(void *owner, const weir_event_t *event)
{
    conn_t *c = owner;
    bool is_message = event->name.n == 0 || weir_slice_eq(event->name, WEIR_LIT("message"));
    if (weir_slice_eq(event->name, WEIR_LIT("endpoint")))
        conn_endpoint(c, event->data);
    else if (is_message && event->data.n > 0 && c->posts != NULL)
        (void)c->target->host->link_message(c->link, event->data); /* what is no message has been logged */
    return c->link != NULL;
}

static void conn_take(conn_t *c)
{
    weir_slice_t bytes;
    const char *why = NULL;
    while (c->link != NULL && !c->is_paused) {
        switch (reader_next(&c->reader, &bytes, &why)) {
        case READING_MORE:
            return;
        case READING_HEAD:
            conn_check_head(c);
            break;
        case READING_BYTES:
            if (c->target->host->events_read(c->events, bytes, conn_event, c) == WEIR_EFULL)
                conn_down(c, WEIR_REASON_BAD_REPLY, "an event of its stream is larger than max_message");
            break;
        case READING_END:
            conn_down(c, WEIR_REASON_SERVER_DIED, "it ended the event stream");
            break;
        case READING_BROKEN:
            conn_down(c, WEIR_REASON_BAD_REPLY, why);
            break;
        }
    }
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
    long n = reader_fill(&c->reader, c->stream);
    if (n > 0)
        conn_take(c);
    else if (n != WEIR_EAGAIN)
        conn_down(c, WEIR_REASON_SERVER_DIED, "it closed the connection of the event stream");
    c->depth--;
    conn_release(c);
}

static void on_broken(void *owner, const char *why)
{
    conn_t *c = owner;
    c->depth++;
    conn_down(c, WEIR_REASON_SERVER_DIED, why);
    c->depth--;
    conn_release(c);
}

static void on_timer(void *arg)
{
    conn_t *c = arg;
    c->depth++;
    conn_down(c, WEIR_REASON_CONNECT_FAILED, "it named no endpoint within connect_timeout");
    c->depth--;
    conn_release(c);
}

static void on_go_on(void *arg)
{
    conn_t *c = arg;
    c->depth++;
    conn_take(c);
    if (c->link != NULL && !c->is_paused)
        c->target->host->stream_pause(c->stream, false);
    c->depth--;
    conn_release(c);
}

/* ---- what the host calls ---- */

static int conn_connect(conn_t *c, weir_error_t *err)
{
    static const weir_stream_events_t events = {
        .connected = on_connected, .readable = on_readable, .broken = on_broken};
    const weir_host_t *host = c->target->host;
    const weir_upstream_t *up = c->link->server->upstream;
    c->events = host->events_new(up->max_message);
    if (c->events == NULL)
        return weir_error(err, "no memory for a link");
    c->stream = host->stream_connect(c->link, &events, c, err);
    if (c->stream == NULL) {
        host->events_free(c->events);
        return WEIR_EFAIL;
    }
    host->stream_limit(c->stream, up->buffer_limit, c->target->options->send_timeout_ms);
    host->timer_start(c->target->connect_timeouts, &c->timer);
    return WEIR_OK;
}

static int conn_open(weir_link_t *link, weir_error_t *err)
{
    conn_t *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return weir_error(err, "no memory for a link");
    c->target = link->server->carrier;
    c->link = link;
    c->timer = (weir_timer_t){.fire = on_timer, .arg = c};
    c->go_on = (weir_timer_t){.fire = on_go_on, .arg = c};
    weir_list_init(&c->timer.node);
    weir_list_init(&c->go_on.node);
    reader_begin(&c->reader, c->target);
    if (conn_connect(c, err) != WEIR_OK) {
        free(c);
        return WEIR_EFAIL;
    }
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
    return c == NULL || c->posts == NULL ? WEIR_ECLOSED : posts_write(c->posts, parts, n);
}

static void conn_pause(weir_link_t *link, bool is_paused)
{
    conn_t *c = link->carrier;
    if (c == NULL || c->is_paused == is_paused)
        return;
    c->is_paused = is_paused;
    if (is_paused)
        c->target->host->stream_pause(c->stream, true);
    else
        c->target->host->timer_at_turn_end(&c->go_on);
}

static uint32_t no_link_modules(const void *options, const char **why_not)
{
    (void)options;
    *why_not = "each message is a request, or an event, of its own";
    return 0;
}

const weir_connect_t sse_connect = {
    .flags = WEIR_CONNECT_STREAM | WEIR_CONNECT_KEPT,
    .upstream_options = upstream_option_table,
    .upstream_options_size = sizeof(upstream_options_t),
    .server_options = server_option_table,
    .server_options_size = sizeof(server_options_t),
    .server_open = server_open,
    .server_close = server_close,
    .open = conn_open,
    .close = conn_close,
    .write = conn_write,
    .pause = conn_pause,
    .link_modules = no_link_modules,
};
