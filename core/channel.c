/* channel.c: a worker's ends of the channels to its keepers: where the exchanges of kept upstreams go, and where their answers
 * come from. A channel that breaks fails what is on it; the master sends a new one when the keeper is back.
 */
#include "channel.h"

#include <stdlib.h>

#include "carrier.h"
#include "exchanges.h"
#include "grant.h"
#include "ids.h"
#include "log.h"
#include "param.h"
#include "places.h"
#include "proc.h"

#define CHANNEL_LIMIT (64u << 20) /* unsent bytes to a keeper that does not read */

typedef struct channel {
    wire_t wire;
    uint8_t keeper;
    ids_t ids;
    weir_list_t exchanges; /* exchange.on_link */
} channel_t;

typedef struct channels {
    size_t n, next;
    const channel_post_t *post;
    channel_t channel[];
} channels_t;

static void channel_frame(void *owner, const frame_t *frame, weir_slice_t payload);
static void channel_gone(void *owner, const char *why);

static void channel_init(channel_t *channel, size_t keeper)
{
    channel->keeper = (uint8_t)keeper;
    channel->wire.owner = channel;
    channel->wire.frame = channel_frame;
    channel->wire.gone = channel_gone;
    weir_list_init(&channel->exchanges);
    ids_init(&channel->ids, IDS_MAX);
}

int channel_connect(size_t keeper, int fd, weir_error_t *err)
{
    channel_t *channel = &proc->channels->channel[keeper];
    wire_close(&channel->wire);
    return wire_open(&channel->wire, fd, CHANNEL_LIMIT, err);
}

int channels_new(const int *fds, size_t n, const channel_post_t *post)
{
    channels_t *channels = calloc(1, sizeof(*channels) + n * sizeof(channel_t));
    if (channels == NULL)
        return WEIR_EFAIL;
    channels->n = n;
    channels->post = post;
    proc->channels = channels;
    for (size_t i = 0; i < n; i++) {
        weir_error_t err;
        channel_init(&channels->channel[i], i);
        if (fds[i] >= 0 && channel_connect(i, fds[i], &err) != WEIR_OK)
            log_write(WEIR_LOG_ERROR, "keeper/%zu cannot be reached: %s", i, err.text);
    }
    return WEIR_OK;
}

void channels_free(void)
{
    channels_t *channels = proc->channels;
    for (size_t i = 0; i < channels->n; i++) {
        wire_close(&channels->channel[i].wire);
        ids_free(&channels->channel[i].ids);
    }
    free(channels);
    proc->channels = NULL;
}

bool channels_are_up(void)
{
    const channels_t *channels = proc->channels;
    for (size_t i = 0; i < channels->n; i++)
        if (channels->channel[i].wire.stream != NULL)
            return true;
    return false;
}

/* A session stays with its keeper; everything else goes to the next one that is up. */
static channel_t *channel_choose(const exchange_t *ex)
{
    channels_t *channels = proc->channels;
    if (ex->has_session)
        return ex->keeper < channels->n ? &channels->channel[ex->keeper] : NULL;
    for (size_t i = 0; i < channels->n; i++) {
        channel_t *channel = &channels->channel[channels->next++ % channels->n];
        if (channel->wire.stream != NULL)
            return channel;
    }
    return NULL;
}

int channel_relay(uint32_t number, frame_t *frame, const weir_chunk_t *parts, size_t n)
{
    channels_t *channels = proc->channels;
    for (size_t i = 0; i < channels->n; i++) {
        channel_t *channel = &channels->channel[(number + i) % channels->n];
        if (wire_write(&channel->wire, frame, parts, n) != WEIR_ECLOSED)
            return channel->keeper;
    }
    return -1;
}

static void channel_detach(exchange_t *ex)
{
    ids_remove(&ex->channel->ids, ex->channel_id);
    weir_list_remove(&ex->on_link);
    ex->channel = NULL;
}

/* Who the client is, where it matters; empty: it does not. An address is shorter than a byte can say, and so is a principal. */
static weir_slice_t channel_names(const exchange_t *ex, char room[2 * (1 + UINT8_MAX)])
{
    weir_slice_t names[] = {ex->pub.principal, ex->pub.peer};
    size_t n = 0;
    if (ex->has_session || (names[0].n == 0 && ex->upstream->pub.nservers < 2))
        return weir_slice(NULL, 0);
    for (size_t i = 0; i < 2; i++) {
        size_t length = names[i].n <= UINT8_MAX ? names[i].n : 0;
        room[n++] = (char)length;
        if (length > 0)
            memcpy(room + n, names[i].p, length);
        n += length;
    }
    return weir_slice(room, n);
}

static void channel_send(exchange_t *ex)
{
    if (ex->upstream->pub.nservers == 1)
        ex->server = ex->upstream->servers; /* for the log: the keeper does not say which one it took */
    channel_t *channel = channel_choose(ex);
    if (channel == NULL || channel->wire.stream == NULL) {
        exchange_fail(&ex->pub, WEIR_REASON_SERVER_DIED, "%s: its keeper is down; it is being started again",
                      ex->upstream->pub.name);
        return;
    }
    ex->channel_id = ids_put(&channel->ids, ex);
    if (ex->channel_id == 0) {
        exchange_fail(&ex->pub, WEIR_REASON_POOL_FULL, "%s: %u exchanges are in flight to one keeper already",
                      ex->upstream->pub.name, IDS_MAX);
        return;
    }
    ex->channel = channel;
    weir_list_append(&channel->exchanges, &ex->on_link);
    call_head_t head = {.upstream = ex->upstream->digest};
    memcpy(head.session, ex->session_id, sizeof(head.session));
    bool is_mirrored = params_concern(ex);
    weir_slice_t extra = is_mirrored ? params_fields(ex) : ex->pub.last_event_id;
    places_t places;
    bool is_scanned =
        ex->pub.verb == WEIR_VERB_MESSAGE && places_of(&ex->pub.message.envelope, ex->pub.body.bytes, &places);
    char room[2 * (1 + UINT8_MAX)];
    weir_slice_t names = channel_names(ex, room);
    frame_t frame = {
        .word = FRAME_CALL,
        .flags = (ex->has_session ? FRAME_HAS_SESSION : 0) | (is_mirrored ? FRAME_MIRRORED : 0) |
                 (is_scanned ? FRAME_SCANNED : 0) | (names.n > 0 ? FRAME_NAMED : 0),
        .arg = (uint16_t)(ex->pub.verb | ex->pub.era << 8),
        .id = ex->channel_id,
        .extra = (uint32_t)extra.n,
    };
    weir_chunk_t parts[] = {{.bytes = weir_slice((const char *)&head, sizeof(head))},
                            {.bytes = weir_slice((const char *)&places, is_scanned ? sizeof(places) : 0)},
                            {.bytes = names},
                            {.bytes = extra},
                            ex->pub.body};
    wire_write(&channel->wire, &frame, parts, 5);
}

/* Its exchange has ended here. */
static void channel_forget(exchange_t *ex, weir_reason_t reason)
{
    channel_t *channel = ex->channel;
    if (channel == NULL)
        return;
    frame_t frame = {.word = FRAME_CANCEL, .arg = (uint16_t)reason, .id = ex->channel_id};
    channel_detach(ex);
    if (reason != WEIR_REASON_NONE)
        wire_write(&channel->wire, &frame, NULL, 0);
}

static void channel_pause(exchange_t *ex, bool is_paused)
{
    frame_t frame = {.word = FRAME_PAUSE, .arg = is_paused, .id = ex->channel_id};
    if (ex->channel != NULL)
        wire_write(&ex->channel->wire, &frame, NULL, 0);
}

const carrier_t channel_carrier = {.send = channel_send, .forget = channel_forget, .pause = channel_pause};

static void channel_message(exchange_t *ex, const frame_t *frame, weir_slice_t payload)
{
    weir_slice_t event_id = weir_slice(payload.p, frame->extra);
    weir_chunk_t part = {.bytes = weir_slice(payload.p + frame->extra, payload.n - frame->extra)};
    bool is_final = frame->flags & FRAME_FINAL;
    ex->pub.reply_status = frame->arg;
    if (is_final)
        channel_detach(ex);
    reply_message(ex, &part, 1, event_id, is_final);
}

static void channel_session(exchange_t *ex, const frame_t *frame, weir_slice_t payload)
{
    size_t n = payload.n - frame->extra;
    grant_kept(ex, ex->channel->keeper, (const uint8_t *)payload.p, n, weir_slice(payload.p + n, frame->extra));
}

static void channel_failed(exchange_t *ex, const frame_t *frame, weir_slice_t payload)
{
    uint32_t retry_after_s = 0;
    if (frame->extra == sizeof(retry_after_s))
        memcpy(&retry_after_s, payload.p, sizeof(retry_after_s));
    if (retry_after_s > 0)
        exchange_retry_after(&ex->pub, retry_after_s * 1000u);
    channel_detach(ex);
    exchange_fail_over(&ex->pub, frame->arg < WEIR_REASONS ? frame->arg : WEIR_REASON_INTERNAL, "%.*s",
                       (int)(payload.n - frame->extra), payload.p + frame->extra);
}

static void channel_frame(void *owner, const frame_t *frame, weir_slice_t payload)
{
    channel_t *channel = owner;
    if (frame->word >= FRAME_POST) {
        proc->channels->post->frame(&channel->wire, frame, payload);
        return;
    }
    exchange_t *ex = ids_get(&channel->ids, frame->id);
    if (ex == NULL || frame->extra > payload.n)
        return;
    switch (frame->word) {
    case FRAME_MESSAGE:
        channel_message(ex, frame, payload);
        break;
    case FRAME_SESSION:
        channel_session(ex, frame, payload);
        break;
    case FRAME_ACCEPTED:
        channel_detach(ex);
        reply_accepted(ex, frame->arg);
        break;
    case FRAME_STREAM:
        reply_stream(ex);
        break;
    case FRAME_END:
        channel_detach(ex);
        reply_end(&ex->pub);
        break;
    case FRAME_FAIL:
        channel_failed(ex, frame, payload);
        break;
    default:
        log_write(WEIR_LOG_ERROR, "keeper/%u: skipped a frame of an unknown kind (%u)", channel->keeper, frame->word);
    }
}

static void channel_gone(void *owner, const char *why)
{
    channel_t *channel = owner;
    log_write(WEIR_LOG_WARN, "keeper/%u is down: %s", channel->keeper, why);
    while (!weir_list_empty(&channel->exchanges)) {
        exchange_t *ex = WEIR_CONTAINER(channel->exchanges.next, exchange_t, on_link);
        channel_detach(ex);
        exchange_fail(&ex->pub, WEIR_REASON_SERVER_DIED, "%s: its keeper died; it is being started again",
                      ex->upstream->pub.name);
    }
    proc->channels->post->lost(channel->keeper);
}
