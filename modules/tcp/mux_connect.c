/* mux_connect.c: the edge's end of a link between two weirs: a link of the host's that carries whole exchanges, many at a time. See the
 * tables in mux.h; the channels are mux_channel.c's, what comes back on them mux_back.c's. The links live in the worker that uses
 * them: nothing on them has to outlive it.
 *
 * A conn_t is its link's, as its `carrier`, from conn_open() to conn_forget(). What is told to the host may end in conn_close(); while a
 * call that may is on the stack (`depth`) the memory stays, and conn.link says whether the link is still there. An exchange finds its channel
 * as its `carrier`.
 *
 *   state     event                          next     what happens
 *   OPENING   connected                      OPENING  HELLO
 *   OPENING   HELLO                          UP       link_up
 *   OPENING   broken, connect_timeout,       GONE     link_down: connect_failed
 *             anything else
 *   UP        send, hold, abandon, records   UP       see mux.h
 *   UP        LEAVE                          UP       link_retire: closes with the last of its exchanges
 *   UP        drained                        UP       what was queued is sent
 *   UP        silent for ping_interval       UP       PING
 *   UP        still silent, end, broken,     GONE     what was sent fails, what was queued, or has
 *             what is no record or unasked            not left, goes to another link
 */
#include <stdlib.h>

#include "mux_channel.h"
#include "tcp.h"

static const tcp_upstream_options_t *options_of(const conn_t *c)
{
    return c->link->server->upstream->options;
}

/* ---- the exchanges of a link ---- */

static int conn_send(weir_link_t *link, weir_exchange_t *ex)
{
    conn_t *c = link->carrier;
    channel_t *ch = c == NULL ? NULL : channel_take(c->target);
    if (ch == NULL)
        return WEIR_EFAIL;
    ch->conn = c;
    ch->ex = ex;
    ex->carrier = ch;
    weir_list_append(&c->queued, &ch->node);
    conn_count(c, MUX_QUEUED, 1);
    c->depth++;
    conn_send_queued(c);
    c->depth--;
    return WEIR_OK;
}

/* ---- the end of a link ---- */

static void conn_release(conn_t *c)
{
    if (c->depth > 0 || c->link != NULL)
        return;
    free(c->channels);
    free(c->free_numbers);
    free(c);
}

/* Take the connection from its link. The exchanges on it still have their channels. What is still to be written is, unless the link is
 * broken. */
static void conn_let_go(conn_t *c, bool is_broken)
{
    const weir_host_t *host = c->target->host;
    c->link->carrier = NULL;
    c->link = NULL;
    conn_count(c, MUX_LINKS, c->is_up ? -1 : 0);
    host->timer_stop(&c->timer);
    if (!is_broken)
        (void)host->lane_flush(c->frames.lane, WEIR_FLUSH_DRAIN); /* it is being closed in any case */
    frames_end(&c->frames);
    if (is_broken)
        host->stream_close(c->stream);
    else
        host->stream_finish(c->stream);
}

static void channels_forget(weir_list_t *list)
{
    while (!weir_list_empty(list))
        channel_give_back(WEIR_CONTAINER(list->next, channel_t, node));
}

/* Of what was sent that which no kernel has seen is as if it were queued still: it will not leave here any more. */
static void conn_take_back(conn_t *c)
{
    uint64_t taken = c->target->host->stream_taken(c->stream);
    WEIR_LIST_EACH(&c->sent, it) {
        channel_t *ch = WEIR_CONTAINER(it, channel_t, node);
        if (ch->state != CHANNEL_OPEN || ch->mark < taken)
            continue;
        weir_list_remove(&ch->node);
        weir_list_append(&c->queued, &ch->node);
    }
}

/* The link is broken: what the other weir may have seen fails; link_down() sends the others elsewhere. */
static void conn_down(conn_t *c, weir_reason_t reason, const char *why)
{
    weir_link_t *link = c->link;
    const weir_host_t *host = c->target->host;
    const weir_server_t *server = link->server;
    bool was_up = c->is_up;
    c->depth++;
    conn_count(c, MUX_BROKEN, was_up && !(c->is_left && weir_list_empty(&c->sent)));
    conn_take_back(c);
    conn_let_go(c, true);
    if (was_up)
        host->link_retire(link, why);
    while (!weir_list_empty(&c->sent)) {
        channel_t *ch = WEIR_CONTAINER(c->sent.next, channel_t, node);
        weir_exchange_t *ex = ch->ex;
        channel_give_back(ch);
        if (ex != NULL)
            host->exchange_fail(ex, reason, "%s: %s: %s", server->upstream->name, server->name, why);
    }
    WEIR_LIST_EACH(&c->queued, it)
        conn_count(c, MUX_MOVED, was_up);
    channels_forget(&c->queued);
    host->link_down(link, was_up ? WEIR_REASON_NONE : reason, "%s", why);
    c->depth--;
}

static int conn_refuse(conn_t *c, const weir_error_t *err)
{
    const weir_server_t *server = c->link->server;
    c->target->host->log(WEIR_LOG_WARN, "%s: %s: the link is closed: %s", server->upstream->name, server->name,
                         err->text);
    conn_down(c, c->is_up ? WEIR_REASON_BAD_REPLY : WEIR_REASON_CONNECT_FAILED, err->text);
    return WEIR_EFAIL;
}

static void conn_close(weir_link_t *link)
{
    conn_t *c = link->carrier;
    if (c == NULL)
        return;
    conn_let_go(c, false);
    channels_forget(&c->sent);
    channels_forget(&c->queued);
    conn_release(c);
}

static void conn_abandon(weir_link_t *link, weir_exchange_t *ex)
{
    channel_t *ch = ex->carrier;
    (void)link;
    if (ch == NULL)
        return;
    if (ch->state == CHANNEL_QUEUED || ch->conn->link == NULL) {
        channel_give_back(ch);
        return;
    }
    ch->ex = NULL;
    ex->carrier = NULL;
    ch->state = CHANNEL_CANCELLED;
    conn_count(ch->conn, MUX_CANCELLED, 1);
    (void)mux_write_word(&ch->conn->frames, ch->number, MUX_CANCEL);
}

static void conn_hold(weir_link_t *link, weir_exchange_t *ex, bool is_held)
{
    channel_t *ch = ex->carrier;
    (void)link;
    if (ch == NULL || ch->conn->link == NULL)
        return;
    conn_count(ch->conn, MUX_STALLED, is_held && !ch->is_held);
    ch->is_held = is_held;
    channel_credit(ch);
}

/* ---- events ---- */

static void conn_records(conn_t *c)
{
    weir_chunk_t record;
    weir_error_t err = {""};
    uint64_t number;
    int result = WEIR_OK;
    while (c->link != NULL && (result = frames_next(&c->frames, &record, &number, &err)) == WEIR_OK)
        if (conn_record(c, number, &record, &err) != WEIR_OK) {
            (void)conn_refuse(c, &err);
            return;
        }
    if (c->link != NULL && result != WEIR_EAGAIN)
        (void)conn_refuse(c, &err);
    else if (c->link != NULL)
        conn_send_queued(c);
}

static void on_connected(void *owner)
{
    conn_t *c = owner;
    mux_hello_t hello = {
        .version = MUX_VERSION,
        .max_message = c->link->server->upstream->max_message,
        .window = c->window,
    };
    (void)mux_write_hello(&c->frames, &hello);
}

static void on_readable(void *owner)
{
    conn_t *c = owner;
    c->depth++;
    long n = frames_fill(&c->frames);
    c->is_pinged = c->is_pinged && n <= 0;
    if (n > 0) {
        if (c->is_up)
            c->target->host->timer_start(c->pings, &c->timer);
        conn_records(c);
    } else if (n != WEIR_EAGAIN) {
        conn_down(c, c->is_up ? WEIR_REASON_SERVER_DIED : WEIR_REASON_CONNECT_FAILED,
                  n == 0 ? "the other weir closed the link" : "the link cannot be read");
    }
    c->depth--;
    conn_release(c);
}

static void on_drained(void *owner)
{
    conn_t *c = owner;
    c->depth++;
    c->is_full = false;
    c->target->host->lane_drained(c->frames.lane);
    conn_send_queued(c);
    c->depth--;
    conn_release(c);
}

static void on_broken(void *owner, const char *why)
{
    conn_t *c = owner;
    c->depth++;
    conn_down(c, c->is_up ? WEIR_REASON_SERVER_DIED : WEIR_REASON_CONNECT_FAILED, why);
    c->depth--;
    conn_release(c);
}

static void on_timer(void *arg)
{
    conn_t *c = arg;
    c->depth++;
    if (!c->is_up) {
        conn_down(c, WEIR_REASON_CONNECT_FAILED,
                  "no HELLO came within connect_timeout; is the other end a weir of framing mux?");
    } else if (c->is_pinged) {
        conn_down(c, WEIR_REASON_SERVER_DIED, "the other weir did not answer a PING within ping_interval");
    } else {
        c->is_pinged = true;
        conn_count(c, MUX_PINGED, 1);
        c->target->host->timer_start(c->pings, &c->timer);
        (void)mux_write_word(&c->frames, 0, MUX_PING);
    }
    c->depth--;
    conn_release(c);
}

/* ---- what the host calls ---- */

static int conn_begin(conn_t *c, weir_error_t *err)
{
    static const weir_stream_events_t events = {
        .connected = on_connected, .readable = on_readable, .drained = on_drained, .broken = on_broken};
    const weir_host_t *host = c->target->host;
    const weir_upstream_t *up = c->link->server->upstream;
    const tcp_server_options_t *server = c->link->server->options;
    weir_timeouts_t *hello = host->timeouts(server->reach.connect_timeout_ms);
    c->pings = host->timeouts(options_of(c)->ping_interval_ms);
    if (hello == NULL || c->pings == NULL)
        return weir_error(err, "no memory for a link's timers");
    c->stream = host->stream_connect(c->link, &events, c, err);
    if (c->stream == NULL)
        return WEIR_EFAIL;
    weir_framing_place_t place = {.host = host, .stream = c->stream, .link = c->link};
    if (frames_begin(&c->frames, &place, &mux_joiner, up->max_message + MUX_BESIDE, err) != WEIR_OK) {
        host->stream_close(c->stream);
        return WEIR_EFAIL;
    }
    host->stream_limit(c->stream, up->buffer_limit, options_of(c)->send_timeout_ms);
    host->timer_start(hello, &c->timer);
    return WEIR_OK;
}

static int conn_open(weir_link_t *link, weir_error_t *err)
{
    target_t *target = link->server->carrier;
    conn_t *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return weir_error(err, "no memory for a link");
    c->target = target;
    c->link = link;
    c->window = options_of(c)->window;
    c->timer = (weir_timer_t){.fire = on_timer, .arg = c};
    weir_list_init(&c->timer.node);
    weir_list_init(&c->sent);
    weir_list_init(&c->queued);
    if (conn_begin(c, err) != WEIR_OK) {
        frames_end(&c->frames);
        free(c);
        return WEIR_EFAIL;
    }
    link->carrier = c;
    return WEIR_OK;
}

static int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    if (tcp_server_open(host, server, err) != WEIR_OK)
        return WEIR_EFAIL;
    target_t *target = calloc(1, sizeof(*target));
    server->carrier = target;
    if (target == NULL)
        return weir_error(err, "no memory for a server");
    target->host = host;
    if (host->counters(&target->counters, server->upstream, NULL, "tcp", MUX_GAUGES, MUX_COUNTERS, err) != WEIR_OK) {
        server->carrier = NULL;
        free(target);
        return WEIR_EFAIL;
    }
    target->out = (mux_out_t){.p = target->room, .size = sizeof(target->room)};
    weir_list_init(&target->spare);
    return WEIR_OK;
}

static void server_close(weir_server_t *server)
{
    target_t *target = server->carrier;
    server->carrier = NULL;
    if (target == NULL)
        return;
    WEIR_LIST_EACH(&target->spare, it)
        free(WEIR_CONTAINER(it, channel_t, node));
    free(target);
}

/* All servers of the upstream count in one place. */
static void mux_status(const weir_host_t *host, weir_upstream_t *upstream, weir_status_t *status)
{
    const target_t *target = host->upstream_server(upstream, 0)->carrier;
    mux_figures_tell(host, &target->counters, status);
}

const weir_connect_t mux_connect = {
    .flags = WEIR_CONNECT_EXCHANGES | WEIR_CONNECT_SHARED,
    .upstream_options = tcp_upstream_options,
    .upstream_options_size = sizeof(tcp_upstream_options_t),
    .server_options = tcp_server_options,
    .server_options_size = sizeof(tcp_server_options_t),
    .server_open = server_open,
    .server_close = server_close,
    .open = conn_open,
    .close = conn_close,
    .send = conn_send,
    .abandon = conn_abandon,
    .link_modules = tcp_link_modules,
    .hold = conn_hold,
    .status = mux_status,
};
