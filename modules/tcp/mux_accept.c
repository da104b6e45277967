/* mux_accept.c: the inner weir's end of a link between two weirs: reads records, begins and abandons exchanges. See the tables in mux.h.
 *
 * A mux_link_t is its house's from mux_house_open() to link_forget(); while a call that may end it is on the stack (`depth`) its memory
 * stays.
 *
 *   state    event                             next     what happens
 *   NEW      HELLO                             OPEN     HELLO
 *   NEW      anything else                     GONE     logged
 *   OPEN     OPEN, CREDIT, CANCEL, PING        OPEN     see mux.h
 *   OPEN     what is no record, or unasked     GONE     logged, its exchanges are abandoned
 *   OPEN     the listener drains               OPEN     LEAVE: the other weir closes it when its last channel has ended
 *   any      end, broken, idle_timeout, cut    GONE     its exchanges are abandoned
 */
#include <stdlib.h>

#include "mux_room.h"

#define SPARE_MAX 1024
#define CHANNELS_FIRST 64u
#define WINDOW_LEAST 1024u

void mux_count(mux_house_t *house, mux_figure_t figure, int64_t change)
{
    house->counters.mine[figure] += change;
}

/* ---- channels ---- */

void mux_channel_release_head(mux_channel_t *c)
{
    mux_house_t *house = c->link->house;
    if (c->head == NULL)
        return;
    if (c->ex != NULL)
        c->ex->head = NULL;
    if (house->nheads < house->heads_room)
        house->heads[house->nheads++] = c->head;
    else
        free(c->head);
    c->head = NULL;
}

static weir_head_t *head_take(mux_house_t *house)
{
    return house->nheads > 0 ? house->heads[--house->nheads] : malloc(sizeof(weir_head_t));
}

static mux_channel_t *channel_take(mux_house_t *house)
{
    if (weir_list_empty(&house->spare))
        return calloc(1, sizeof(mux_channel_t));
    mux_channel_t *c = WEIR_CONTAINER(house->spare.next, mux_channel_t, node);
    weir_list_remove(&c->node);
    house->nspare--;
    memset(c, 0, sizeof(*c));
    return c;
}

void mux_channel_close(mux_channel_t *c)
{
    mux_house_t *house = c->link->house;
    if (house->out_of == c)
        house->out_of = NULL;
    mux_channel_release_head(c);
    c->link->channels[c->number] = NULL;
    c->link->nopen--;
    mux_count(house, MUX_CHANNELS, -1);
    if (house->nspare >= SPARE_MAX) {
        free(c);
        return;
    }
    weir_list_prepend(&house->spare, &c->node);
    house->nspare++;
}

void mux_channel_go_on(mux_channel_t *c)
{
    if (!c->is_full || c->link->is_full || c->under_way >= c->link->window / 2)
        return;
    c->is_full = false;
    c->link->house->host->exchange_drained(c->ex);
}

static bool channels_grow(mux_link_t *link, uint64_t number)
{
    uint32_t room = link->nchannels == 0 ? CHANNELS_FIRST : link->nchannels;
    while (room <= number)
        room *= 2;
    mux_channel_t **channels = realloc(link->channels, room * sizeof(*channels));
    if (channels == NULL)
        return false;
    memset(channels + link->nchannels, 0, (room - link->nchannels) * sizeof(*channels));
    link->channels = channels;
    link->nchannels = room;
    return true;
}

static mux_channel_t *channel_of(const mux_link_t *link, uint64_t number)
{
    return number < link->nchannels ? link->channels[number] : NULL;
}

/* ---- the end of a link ---- */

static void link_release(mux_link_t *link)
{
    if (link->depth > 0 || link->stream != NULL)
        return;
    free(link->channels);
    free(link);
}

static void link_abandon_all(mux_link_t *link)
{
    for (uint32_t i = 0; i < link->nchannels; i++) {
        mux_channel_t *c = link->channels[i];
        if (c == NULL)
            continue;
        weir_exchange_t *ex = c->ex;
        mux_channel_close(c);
        link->house->host->exchange_abandon(ex);
    }
}

/* The stream has been closed by now. */
static void link_forget(mux_link_t *link)
{
    mux_house_t *house = link->house;
    link->stream = NULL;
    house->host->timer_stop(&link->idle);
    weir_list_remove(&link->node);
    house->nlinks--;
    mux_count(house, MUX_LINKS, link->has_greeted ? -1 : 0);
    link->depth++;
    link_abandon_all(link);
    link->depth--;
    frames_end(&link->frames);
    link_release(link);
}

static void link_close(mux_link_t *link)
{
    if (link->stream == NULL)
        return;
    link->house->host->stream_close(link->stream);
    link_forget(link);
}

static void link_finish(mux_link_t *link)
{
    const weir_host_t *host = link->house->host;
    (void)host->lane_flush(link->frames.lane, WEIR_FLUSH_DRAIN); /* it is being closed in any case */
    host->stream_finish(link->stream);
    link_forget(link);
}

static int link_refuse(mux_link_t *link, const weir_error_t *err)
{
    const weir_host_t *host = link->house->host;
    weir_slice_t peer = host->stream_peer(link->stream);
    host->log(WEIR_LOG_WARN, "tcp: the link from %.*s is closed: %s", WEIR_FMT(peer), err->text);
    mux_count(link->house, MUX_BROKEN, 1);
    link_close(link);
    return WEIR_EFAIL;
}

/* ---- OPEN ---- */

static bool exchange_keep(mux_channel_t *c, weir_slice_t *to, weir_slice_t from)
{
    char *copy = c->link->house->host->exchange_alloc(c->ex, from.n);
    if (copy == NULL)
        return false;
    if (from.n > 0)
        memcpy(copy, from.p, from.n);
    *to = weir_slice(copy, from.n);
    return true;
}

/* Whose word is taken is the configuration's to say: whoever may connect could name any client. */
static bool link_is_believed(const mux_link_t *link, weir_slice_t principal)
{
    const weir_strings_t *edges = &link->house->bounds.edges;
    for (size_t i = 0; i < edges->count && principal.n > 0; i++) {
        weir_slice_t edge = weir_slice_str(edges->items[i]);
        if (weir_slice_eq(edge, principal) || weir_slice_eq(edge, WEIR_LIT("any")))
            return true;
    }
    return false;
}

/* Said once for each link. */
static void link_doubt(mux_link_t *link)
{
    const weir_host_t *host = link->house->host;
    weir_slice_t peer = host->stream_peer(link->stream), principal = host->stream_principal(link->stream);
    if (link->is_doubted)
        return;
    link->is_doubted = true;
    host->log(WEIR_LOG_INFO,
              "tcp: the link from %.*s says who its clients are and is not believed: %s%.*s (see `edges` and "
              "`client_ca` of the listener)",
              WEIR_FMT(peer), principal.n == 0 ? "it had to show no certificate" : "it is ", WEIR_FMT(principal));
}

/* What outlives the request is copied; all else lies in the record's buffer, which the exchange has a reference to. */
static bool exchange_fill(mux_channel_t *c, const mux_open_t *open, const weir_chunk_t *record, weir_slice_t message)
{
    const weir_host_t *host = c->link->house->host;
    weir_exchange_t *ex = c->ex;
    if (!exchange_keep(c, &ex->peer, open->peer))
        return false;
    if (open->principal.n > 0 && !c->link->is_believed)
        link_doubt(c->link);
    else if (open->principal.n > 0 && !exchange_keep(c, &ex->principal, open->principal))
        return false;
    ex->verb = open->verb;
    ex->era = open->era;
    ex->is_tls = open->is_tls;
    ex->session_token = open->session;
    ex->body = (weir_chunk_t){message, record->buf};
    host->buf_ref(record->buf);
    if (open->has_head) {
        ex->head = c->head;
        ex->last_event_id = weir_head_value(c->head, WEIR_FIELD_LAST_EVENT_ID);
        return true;
    }
    ex->host = open->host;
    ex->target = open->target;
    ex->last_event_id = open->last_event_id;
    ex->authorization = open->authorization;
    ex->revision = open->revision;
    return true;
}

static void exchange_begin(mux_channel_t *c)
{
    const weir_host_t *host = c->link->house->host;
    weir_exchange_t *ex = c->ex;
    weir_scan_t scan = WEIR_SCAN_OK;
    if (ex->verb == WEIR_VERB_MESSAGE) {
        ex->message.bytes = ex->body.bytes;
        scan = host->message_scan(ex->message.bytes, &ex->message.envelope);
    }
    if (scan == WEIR_SCAN_OK)
        host->exchange_start(ex);
    else
        host->exchange_refuse(ex, scan == WEIR_SCAN_NOT_JSON ? WEIR_REASON_NOT_JSON : WEIR_REASON_NOT_JSONRPC,
                              "what came over the link is no JSON-RPC message");
}

static int channel_new(mux_link_t *link, uint64_t number, mux_channel_t **out, weir_error_t *err)
{
    mux_house_t *house = link->house;
    if (number > (uint64_t)house->bounds.max_channels)
        return weir_error(err, "an OPEN of channel %llu, beyond max_channels (%lld)", (unsigned long long)number,
                          (long long)house->bounds.max_channels);
    if (channel_of(link, number) != NULL)
        return weir_error(err, "an OPEN of channel %llu, which is open", (unsigned long long)number);
    mux_channel_t *c = channel_take(house);
    if (c == NULL || (number >= link->nchannels && !channels_grow(link, number)) ||
        (c->head = head_take(house)) == NULL) {
        free(c);
        return weir_error(err, "no memory for a channel");
    }
    c->link = link;
    c->number = (uint32_t)number;
    weir_list_init(&c->node);
    link->channels[number] = c;
    link->nopen++;
    mux_count(house, MUX_CHANNELS, 1);
    mux_count(house, MUX_OPENED, 1);
    *out = c;
    return WEIR_OK;
}

/* The other weir asks after this one, and that it answers is the answer. */
static int answer_checkup(mux_link_t *link, uint64_t number)
{
    char room[64];
    mux_out_t out = {.p = room, .size = sizeof(room)};
    weir_reply_t reply = {.status = 200};
    mux_out_reply(&out, &reply);
    weir_chunk_t part = {.bytes = weir_slice(room, out.n)};
    (void)frames_write(&link->frames, &part, 1, number);
    return WEIR_OK;
}

static int on_open(mux_link_t *link, uint64_t number, const weir_chunk_t *record, mux_in_t *in, weir_error_t *err)
{
    mux_house_t *house = link->house;
    mux_channel_t *c = NULL;
    mux_open_t open;
    if (channel_new(link, number, &c, err) != WEIR_OK)
        return WEIR_EFAIL;
    int result = mux_in_open(in, &open, c->head, err);
    if (result == WEIR_OK && open.is_checkup) {
        mux_channel_close(c);
        return answer_checkup(link, number);
    }
    if (result == WEIR_OK && (c->ex = house->host->exchange_new(house->listener, c)) == NULL)
        result = weir_error(err, "no memory for an exchange");
    if (result != WEIR_OK) {
        mux_channel_close(c);
        return result;
    }
    if (!open.has_head)
        mux_channel_release_head(c);
    if (exchange_fill(c, &open, record, in->rest))
        exchange_begin(c);
    else
        house->host->exchange_refuse(c->ex, WEIR_REASON_INTERNAL, "no memory for an exchange");
    return WEIR_OK;
}

/* ---- other records ---- */

static int on_hello(mux_link_t *link, mux_in_t *in, weir_error_t *err)
{
    const mux_bounds_t *bounds = &link->house->bounds;
    mux_hello_t theirs,
        ours = {.version = MUX_VERSION, .channels = (uint64_t)bounds->max_channels, .max_message = bounds->max_message};
    if (mux_in_hello(in, &theirs, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (link->has_greeted)
        return weir_error(err, "a second HELLO");
    link->has_greeted = true;
    link->is_believed = link_is_believed(link, link->house->host->stream_principal(link->stream));
    mux_count(link->house, MUX_LINKS, 1);
    link->max_message = theirs.max_message > WINDOW_LEAST ? theirs.max_message : WINDOW_LEAST;
    link->window = theirs.window > WINDOW_LEAST ? theirs.window : WINDOW_LEAST;
    (void)mux_write_hello(&link->frames, &ours);
    if (link->house->is_draining)
        (void)mux_write_word(&link->frames, 0, MUX_LEAVE);
    return WEIR_OK;
}

static int on_link_record(mux_link_t *link, mux_word_t word, mux_in_t *in, weir_error_t *err)
{
    if (word == MUX_HELLO)
        return on_hello(link, in, err);
    if (!link->has_greeted)
        return weir_error(err, "it does not begin with HELLO (word %02x)", word);
    if (word != MUX_PING)
        return weir_error(err, "word %02x on channel 0 is none of an edge's", word);
    mux_count(link->house, MUX_PINGED, 1);
    (void)mux_write_word(&link->frames, 0, MUX_PONG);
    return WEIR_OK;
}

static void on_credit(mux_channel_t *c, uint64_t bytes)
{
    c->under_way -= bytes < c->under_way ? bytes : c->under_way;
    mux_channel_go_on(c);
}

static void on_cancel(mux_channel_t *c)
{
    weir_exchange_t *ex = c->ex;
    const weir_host_t *host = c->link->house->host;
    mux_count(c->link->house, MUX_CANCELLED, 1);
    if (!c->has_begun || c->left != 0)
        (void)mux_write_word(&c->link->frames, c->number, MUX_END);
    mux_channel_close(c);
    host->exchange_abandon(ex);
}

static int on_record(mux_link_t *link, uint64_t number, const weir_chunk_t *record, weir_error_t *err)
{
    mux_in_t in = {.rest = record->bytes};
    mux_word_t word = (mux_word_t)mux_in_byte(&in);
    if (number == 0)
        return on_link_record(link, word, &in, err);
    if (!link->has_greeted)
        return weir_error(err, "it does not begin with HELLO (word %02x on channel %llu)", word,
                          (unsigned long long)number);
    if (word == MUX_OPEN)
        return on_open(link, number, record, &in, err);
    mux_channel_t *c = channel_of(link, number);
    uint64_t credit = word == MUX_CREDIT ? mux_in_number(&in) : 0;
    if ((word != MUX_CREDIT && word != MUX_CANCEL) || in.is_broken)
        return weir_error(err, "word %02x on channel %llu is none of an edge's, or breaks off", word,
                          (unsigned long long)number);
    if (c != NULL && word == MUX_CREDIT)
        on_credit(c, credit);
    else if (c != NULL)
        on_cancel(c);
    return WEIR_OK;
}

/* ---- events ---- */

static void link_records(mux_link_t *link)
{
    weir_chunk_t record;
    weir_error_t err = {""};
    uint64_t number;
    int result = WEIR_OK;
    while (link->stream != NULL && (result = frames_next(&link->frames, &record, &number, &err)) == WEIR_OK)
        if (on_record(link, number, &record, &err) != WEIR_OK) {
            (void)link_refuse(link, &err);
            return;
        }
    if (link->stream != NULL && result != WEIR_EAGAIN)
        (void)link_refuse(link, &err);
}

static void on_readable(void *owner)
{
    mux_link_t *link = owner;
    link->depth++;
    long n = frames_fill(&link->frames);
    if (n > 0) {
        link->house->host->timer_start(link->house->idle_timeouts, &link->idle);
        link_records(link);
    } else if (n != WEIR_EAGAIN) {
        mux_count(link->house, MUX_BROKEN, link->nopen > 0);
        link_close(link);
    }
    link->depth--;
    link_release(link);
}

static void on_drained(void *owner)
{
    mux_link_t *link = owner;
    link->depth++;
    link->is_full = false;
    link->house->host->lane_drained(link->frames.lane);
    for (uint32_t i = 0; i < link->nchannels && link->stream != NULL; i++)
        if (link->channels[i] != NULL)
            mux_channel_go_on(link->channels[i]);
    link->depth--;
    link_release(link);
}

static void on_broken(void *owner, const char *why)
{
    mux_link_t *link = owner;
    weir_slice_t peer = link->house->host->stream_peer(link->stream);
    link->house->host->log(WEIR_LOG_INFO, "tcp: the link from %.*s has broken: %s", WEIR_FMT(peer), why);
    mux_count(link->house, MUX_BROKEN, 1);
    link_close(link);
}

static void on_idle(void *arg)
{
    weir_error_t err;
    mux_link_t *link = arg;
    (void)weir_error(&err, "nothing has come for idle_timeout (%llu ms), no PING either",
                     (unsigned long long)link->house->bounds.idle_timeout_ms);
    (void)link_refuse(link, &err);
}

/* ---- the listener's side ---- */

void mux_house_open(mux_house_t *house, weir_stream_t *stream)
{
    static const weir_stream_events_t events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};
    const weir_host_t *host = house->host;
    weir_error_t err = {"no memory for a link"};
    weir_framing_place_t place = {.host = host, .stream = stream, .listener = house->listener};
    mux_link_t *link = calloc(1, sizeof(*link));
    if (link == NULL ||
        frames_begin(&link->frames, &place, &mux_joiner, house->bounds.max_message + MUX_BESIDE, &err) != WEIR_OK) {
        host->log(WEIR_LOG_ERROR, "tcp: %s; its connection is closed", err.text);
        host->stream_close(stream);
        free(link);
        return;
    }
    link->house = house;
    link->stream = stream;
    link->idle = (weir_timer_t){.fire = on_idle, .arg = link};
    weir_list_init(&link->idle.node);
    weir_list_append(&house->links, &link->node);
    house->nlinks++;
    host->timer_start(house->idle_timeouts, &link->idle);
    host->stream_limit(stream, house->bounds.buffer_limit, house->bounds.send_timeout_ms);
    host->stream_own(stream, &events, link);
}

void mux_house_drain(mux_house_t *house, bool now)
{
    house->is_draining = true;
    WEIR_LIST_EACH(&house->links, it) {
        mux_link_t *link = WEIR_CONTAINER(it, mux_link_t, node);
        if (now)
            link_finish(link);
        else if (link->has_greeted)
            (void)mux_write_word(&link->frames, 0, MUX_LEAVE);
    }
}

size_t mux_house_links(const mux_house_t *house)
{
    return house->nlinks;
}

void mux_house_status(const mux_house_t *house, weir_status_t *status)
{
    mux_figures_tell(house->host, &house->counters, status);
}

mux_house_t *mux_house_new(const weir_host_t *host, weir_listener_t *listener, const mux_bounds_t *bounds,
                           weir_error_t *err)
{
    mux_house_t *house = calloc(1, sizeof(*house));
    weir_head_t **heads = calloc(SPARE_MAX, sizeof(weir_head_t *));
    weir_timeouts_t *idle_timeouts = host->timeouts(bounds->idle_timeout_ms);
    int result =
        house == NULL || heads == NULL || idle_timeouts == NULL
            ? weir_error(err, "tcp: no memory for a listener")
            : host->listener_counters(&house->counters, house->own, listener, "tcp", MUX_GAUGES, MUX_COUNTERS, err);
    if (result != WEIR_OK) {
        free(house);
        free(heads);
        return NULL;
    }
    house->host = host;
    house->listener = listener;
    house->bounds = *bounds;
    house->idle_timeouts = idle_timeouts;
    house->heads = heads;
    house->heads_room = SPARE_MAX;
    house->out = (mux_out_t){.p = house->room, .size = sizeof(house->room)};
    weir_list_init(&house->links);
    weir_list_init(&house->spare);
    return house;
}

void mux_house_free(mux_house_t *house)
{
    if (house == NULL)
        return;
    while (!weir_list_empty(&house->links))
        link_finish(WEIR_CONTAINER(house->links.next, mux_link_t, node));
    WEIR_LIST_EACH(&house->spare, it)
        free(WEIR_CONTAINER(it, mux_channel_t, node));
    while (house->nheads > 0)
        free(house->heads[--house->nheads]);
    free(house->heads);
    free(house);
}
