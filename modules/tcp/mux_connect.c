/* mux_connect.c: the edge's end of a link between two weirs: a link of the host's that carries whole exchanges, many at a time. See the
 * tables in mux.h. The links live in the worker that uses them: nothing on them has to outlive it.
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

#include "mux.h"
#include "mux_figures.h"
#include "tcp.h"

#define SPARE_MAX 1024
#define CHANNELS_FIRST 64u
#define REASON_OF(number) ((number) < WEIR_REASONS && (number) > 0 ? (weir_reason_t)(number) : WEIR_REASON_BAD_REPLY)

typedef enum channel_state {
    CHANNEL_QUEUED,
    CHANNEL_OPEN,
    CHANNEL_REPLYING,
    CHANNEL_CANCELLED,
} channel_state_t;

typedef struct conn conn_t;

/* What the links of a server share. */
typedef struct target {
    const weir_host_t *host;
    weir_counters_t counters; /* of the upstream: mux_figure_t */
    weir_list_t spare;        /* channels */
    size_t nspare;
    weir_head_t head; /* of the reply at hand */
    mux_out_t out;    /* the OPEN at hand */
    char room[MUX_HEAD_ROOM];
} target_t;

typedef struct channel {
    weir_list_t node; /* in conn.sent or conn.queued, or target.spare */
    conn_t *conn;
    weir_exchange_t *ex; /* NULL: cancelled */
    uint32_t number;     /* 0: queued */
    uint8_t state;       /* channel_state_t */
    bool is_held;        /* its client is full */
    bool is_headed;      /* HEAD has come */
    int64_t left;        /* bytes of the body to come, -1: not known */
    uint64_t taken;      /* bytes that no CREDIT was given for */
    uint64_t mark;       /* bytes that were written to the stream before its OPEN */
} channel_t;

struct conn {
    target_t *target;
    weir_link_t *link; /* NULL: gone */
    weir_stream_t *stream;
    frames_t frames;
    bool is_up, is_full, is_pinged, is_left;
    uint16_t depth;
    weir_timer_t timer; /* connect_timeout, then ping_interval */
    weir_timeouts_t *pings;
    uint64_t window, max_channels, max_message;
    weir_list_t sent, queued;
    channel_t **channels; /* by number */
    uint32_t nchannels;
    uint32_t *free_numbers;
    uint32_t nfree;
};

static const tcp_upstream_options_t *options_of(const conn_t *c)
{
    return c->link->server->upstream->options;
}

static void count(const conn_t *c, mux_figure_t figure, int64_t change)
{
    c->target->counters.mine[figure] += change;
}

/* ---- channels ---- */

static channel_t *channel_take(target_t *target)
{
    if (weir_list_empty(&target->spare))
        return calloc(1, sizeof(channel_t));
    channel_t *ch = WEIR_CONTAINER(target->spare.next, channel_t, node);
    weir_list_remove(&ch->node);
    target->nspare--;
    memset(ch, 0, sizeof(*ch));
    return ch;
}

/* Nobody finds it any more; its number is free again. */
static void channel_give_back(channel_t *ch)
{
    conn_t *c = ch->conn;
    target_t *target = c->target;
    weir_list_remove(&ch->node);
    if (ch->ex != NULL)
        ch->ex->carrier = NULL;
    count(c, ch->number > 0 ? MUX_CHANNELS : MUX_QUEUED, -1);
    if (ch->number > 0) {
        c->channels[ch->number] = NULL;
        c->free_numbers[c->nfree++] = ch->number;
    }
    if (target->nspare >= SPARE_MAX) {
        free(ch);
        return;
    }
    weir_list_prepend(&target->spare, &ch->node);
    target->nspare++;
}

/* Twice as many numbers, as far as the other weir serves them. */
static bool numbers_grow(conn_t *c)
{
    uint64_t room = c->nchannels == 0 ? CHANNELS_FIRST : 2 * (uint64_t)c->nchannels;
    room = room > c->max_channels + 1 ? c->max_channels + 1 : room;
    if (room <= c->nchannels)
        return false;
    channel_t **channels = realloc(c->channels, room * sizeof(*channels));
    if (channels != NULL)
        c->channels = channels;
    uint32_t *numbers = realloc(c->free_numbers, room * sizeof(*numbers));
    if (numbers != NULL)
        c->free_numbers = numbers;
    if (channels == NULL || numbers == NULL)
        return false;
    uint32_t first = c->nchannels == 0 ? 1 : c->nchannels;
    memset(channels + c->nchannels, 0, (room - c->nchannels) * sizeof(*channels));
    for (uint32_t number = (uint32_t)room - 1; number >= first; number--)
        numbers[c->nfree++] = number;
    c->nchannels = (uint32_t)room;
    return true;
}

static void conn_note(conn_t *c, int result)
{
    c->is_full = c->is_full || result == WEIR_EFULL;
}

/* ---- OPEN ---- */

static bool exchange_is_read_here(const weir_exchange_t *ex)
{
    return ex->wants_messages || ex->is_watched;
}

static void open_make(target_t *target, const weir_exchange_t *ex)
{
    mux_open_t open = {
        .verb = ex->verb,
        .era = ex->era,
        .is_tls = ex->is_tls,
        .is_checkup = ex->is_checkup,
        .session = ex->server_session,
        .peer = ex->peer,
        .target = ex->head == NULL ? ex->target : ex->head->target,
        .principal = ex->principal,
        .host = ex->host,
        .last_event_id = ex->last_event_id,
        .authorization = ex->authorization,
        .revision = ex->revision,
    };
    target->out.n = 0;
    target->out.is_over = false;
    mux_out_open(&target->out, &open, ex->head, exchange_is_read_here(ex));
}

static void channel_open(channel_t *ch)
{
    conn_t *c = ch->conn;
    target_t *target = c->target;
    weir_exchange_t *ex = ch->ex;
    const char *server = c->link->server->name;
    open_make(target, ex);
    if (target->out.is_over || ex->body.bytes.n > c->max_message) {
        bool is_head = target->out.is_over;
        channel_give_back(ch);
        target->host->exchange_fail(
            ex, is_head ? WEIR_REASON_HEAD_TOO_LARGE : WEIR_REASON_TOO_LARGE,
            is_head ? "%s: the head of the request is larger than a link takes (%llu bytes)"
                    : "%s: the message is larger than the max_message of the other weir (%llu bytes)",
            server, (unsigned long long)(is_head ? MUX_HEAD_ROOM : c->max_message));
        return;
    }
    ch->number = c->free_numbers[--c->nfree];
    ch->state = CHANNEL_OPEN;
    count(c, MUX_QUEUED, -1);
    count(c, MUX_CHANNELS, 1);
    count(c, MUX_OPENED, 1);
    c->channels[ch->number] = ch;
    weir_list_remove(&ch->node);
    weir_list_append(&c->sent, &ch->node);
    weir_chunk_t parts[] = {{.bytes = weir_slice(target->out.p, target->out.n)}, ex->body};
    ch->mark = target->host->stream_written(c->stream);
    bool has_body = ex->verb == WEIR_VERB_MESSAGE && ex->body.bytes.n > 0;
    conn_note(c, frames_write(&c->frames, parts, has_body ? 2 : 1, ch->number));
}

/* What waits in the queue, as far as there is room for it. */
static void conn_send_queued(conn_t *c)
{
    while (c->link != NULL && !c->is_full && !weir_list_empty(&c->queued) && (c->nfree > 0 || numbers_grow(c)))
        channel_open(WEIR_CONTAINER(c->queued.next, channel_t, node));
}

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
    count(c, MUX_QUEUED, 1);
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
    count(c, MUX_LINKS, c->is_up ? -1 : 0);
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
    count(c, MUX_BROKEN, was_up && !(c->is_left && weir_list_empty(&c->sent)));
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
        count(c, MUX_MOVED, was_up);
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
    count(ch->conn, MUX_CANCELLED, 1);
    (void)mux_write_word(&ch->conn->frames, ch->number, MUX_CANCEL);
}

/* ---- credit ---- */

static void channel_credit(channel_t *ch)
{
    if (ch->is_held || ch->taken < ch->conn->window / 4)
        return;
    (void)mux_write_credit(&ch->conn->frames, ch->number, ch->taken);
    ch->taken = 0;
}

static void conn_hold(weir_link_t *link, weir_exchange_t *ex, bool is_held)
{
    channel_t *ch = ex->carrier;
    (void)link;
    if (ch == NULL || ch->conn->link == NULL)
        return;
    count(ch->conn, MUX_STALLED, is_held && !ch->is_held);
    ch->is_held = is_held;
    channel_credit(ch);
}

/* The other weir goes on without credit: no queue may grow for it. */
static bool channel_overruns(const channel_t *ch)
{
    const conn_t *c = ch->conn;
    return ch->is_held && ch->taken > c->window + c->link->server->upstream->max_message + MUX_BESIDE;
}

/* ---- the way back ---- */

/* The channel has had its last record. */
static void channel_end(channel_t *ch)
{
    const weir_host_t *host = ch->conn->target->host;
    weir_exchange_t *ex = ch->ex;
    bool is_whole = ch->is_headed && ch->left <= 0;
    channel_give_back(ch);
    if (ex == NULL)
        return;
    if (is_whole)
        host->reply_end(ex);
    else
        host->exchange_fail(ex, WEIR_REASON_BAD_REPLY, "%s: the reply from the other weir is not whole",
                            ex->upstream->name);
}

/* Whether the channel still answers this exchange, after the host was told something. */
static bool is_at_work(const conn_t *c, const channel_t *ch, const weir_exchange_t *ex)
{
    return c->link != NULL && ch->ex == ex && ex != NULL;
}

static void body_in(conn_t *c, channel_t *ch, weir_slice_t bytes, weir_buf_t *buf)
{
    const weir_host_t *host = c->target->host;
    weir_exchange_t *ex = ch->ex;
    weir_chunk_t chunk = {bytes, buf};
    if (ch->left >= 0)
        ch->left -= (int64_t)bytes.n;
    ch->taken += bytes.n;
    if (ex != NULL)
        (void)host->reply_bytes(ex, &chunk, bytes.n > 0);
    if (c->link == NULL)
        return;
    if (ch->left == 0)
        channel_end(ch);
    else if (is_at_work(c, ch, ex) && channel_overruns(ch))
        host->exchange_fail(ex, WEIR_REASON_BAD_REPLY, "%s: the other weir sends more than window (%llu bytes)",
                            ex->upstream->name, (unsigned long long)c->window);
    else
        channel_credit(ch);
}

static int on_head(conn_t *c, channel_t *ch, mux_in_t *in, weir_buf_t *buf, weir_error_t *err)
{
    weir_head_t *head = &c->target->head;
    weir_exchange_t *ex = ch->ex;
    if (mux_in_reply(in, head, err) != WEIR_OK)
        return WEIR_EFAIL;
    ch->is_headed = true;
    ch->left = head->content_length;
    if (ch->left >= 0 && in->rest.n > (uint64_t)ch->left)
        return weir_error(err, "a reply is longer than its head says");
    if (ex != NULL) {
        ch->state = CHANNEL_REPLYING;
        (void)c->target->host->reply_head(ex, head);
    }
    if (c->link != NULL)
        body_in(c, ch, in->rest, buf);
    return WEIR_OK;
}

static int on_data(conn_t *c, channel_t *ch, mux_in_t *in, weir_buf_t *buf, weir_error_t *err)
{
    if (!ch->is_headed)
        return weir_error(err, "the body of a reply comes before its head");
    if (ch->left >= 0 && in->rest.n > (uint64_t)ch->left)
        return weir_error(err, "a reply is longer than its head says");
    body_in(c, ch, in->rest, buf);
    return WEIR_OK;
}

static int on_fail(channel_t *ch, mux_in_t *in, weir_error_t *err)
{
    const weir_host_t *host = ch->conn->target->host;
    const char *server = ch->conn->link->server->name;
    weir_exchange_t *ex = ch->ex;
    uint64_t reason = mux_in_number(in), retry_after_s = mux_in_number(in);
    if (in->is_broken)
        return weir_error(err, "a FAIL breaks off");
    channel_give_back(ch);
    if (ex == NULL)
        return WEIR_OK;
    if (retry_after_s > 0)
        host->exchange_retry_after(ex, (retry_after_s - 1) * 1000); /* rounded up once already */
    host->exchange_fail(ex, REASON_OF(reason), "%s: %.*s", server, WEIR_FMT(in->rest));
    return WEIR_OK;
}

/* ---- records ---- */

static int on_hello(conn_t *c, mux_in_t *in, weir_error_t *err)
{
    const weir_host_t *host = c->target->host;
    mux_hello_t hello;
    if (mux_in_hello(in, &hello, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (c->is_up)
        return weir_error(err, "a second HELLO");
    if (hello.channels == 0 || hello.channels > UINT16_MAX)
        return weir_error(err, "the other weir serves %llu channels", (unsigned long long)hello.channels);
    c->max_channels = hello.channels;
    c->max_message = hello.max_message;
    c->is_up = true;
    count(c, MUX_LINKS, 1);
    host->timer_start(c->pings, &c->timer);
    host->link_up(c->link);
    return WEIR_OK;
}

static int on_link_record(conn_t *c, mux_word_t word, mux_in_t *in, weir_error_t *err)
{
    if (word == MUX_HELLO)
        return on_hello(c, in, err);
    if (!c->is_up)
        return weir_error(err, "it does not begin with HELLO (word %02x)", word);
    c->is_left = c->is_left || word == MUX_LEAVE;
    if (word == MUX_LEAVE)
        c->target->host->link_retire(c->link, "the other weir is about to leave");
    else if (word != MUX_PONG)
        return weir_error(err, "word %02x on channel 0 is none of an inner weir's", word);
    return WEIR_OK;
}

static int on_record(conn_t *c, uint64_t number, const weir_chunk_t *record, weir_error_t *err)
{
    mux_in_t in = {.rest = record->bytes};
    mux_word_t word = (mux_word_t)mux_in_byte(&in);
    if (number == 0)
        return on_link_record(c, word, &in, err);
    channel_t *ch = number < c->nchannels ? c->channels[number] : NULL;
    if (ch == NULL)
        return weir_error(err, "word %02x on channel %llu, which is not open", word, (unsigned long long)number);
    switch (word) {
    case MUX_HEAD:
        return ch->is_headed ? weir_error(err, "a second head on channel %llu", (unsigned long long)number)
                             : on_head(c, ch, &in, record->buf, err);
    case MUX_DATA:
        return on_data(c, ch, &in, record->buf, err);
    case MUX_END:
        channel_end(ch);
        return WEIR_OK;
    case MUX_FAIL:
        return on_fail(ch, &in, err);
    default:
        return weir_error(err, "word %02x on channel %llu is none of an inner weir's", word,
                          (unsigned long long)number);
    }
}

static void conn_records(conn_t *c)
{
    weir_chunk_t record;
    weir_error_t err = {""};
    uint64_t number;
    int result = WEIR_OK;
    while (c->link != NULL && (result = frames_next(&c->frames, &record, &number, &err)) == WEIR_OK)
        if (on_record(c, number, &record, &err) != WEIR_OK) {
            (void)conn_refuse(c, &err);
            return;
        }
    if (c->link != NULL && result != WEIR_EAGAIN)
        (void)conn_refuse(c, &err);
    else if (c->link != NULL)
        conn_send_queued(c);
}

/* ---- events ---- */

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
        count(c, MUX_PINGED, 1);
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
