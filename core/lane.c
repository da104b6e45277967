/* lane.c: see the table in lane.h. The lane does the work, the link modules decide: how long messages wait, what is packed. */
#include "lane.h"

#include <stdlib.h>

#include "buf.h"
#include "codec.h"
#include "link.h"
#include "listener.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

/* What stands around a message or a payload besides its own bytes, at most. */
#define ROOM_EXTRA WEIR_JOIN_MAX

struct weir_lane {
    const lane_chain_t *chain;
    weir_lane_spec_t spec;
    /* out */
    weir_buf_t *buf; /* what has been gathered; NULL: nothing */
    size_t filled;
    uint32_t messages;
    weir_gather_t gather;
    size_t last_size; /* of the payload before: about as much room the next one will need */
    uint64_t first_us;
    weir_timer_t timer;
    bool is_timed; /* the timer is the wait that the gathering module asked for, not the turn's end */
    bool is_full;  /* the stream wants no more for now */
    /* in */
    weir_chunk_t payload;
    weir_slice_t rest;
    uint32_t taken;
    /* Of the link modules. */
    _Alignas(16) char states[];
};

static void lane_ripe(void *arg);

static void *state_of(weir_lane_t *lane, const lane_module_t *item)
{
    return lane->states + item->state_offset;
}

/* ---- a lane's life ---- */

weir_lane_t *lane_new_on(const lane_chain_t *chain, const weir_lane_spec_t *spec, weir_error_t *err)
{
    weir_lane_t *lane = aligned_alloc(16, (sizeof(*lane) + chain->state_size + 15) & ~(size_t)15);
    if (lane == NULL) {
        weir_error(err, "no memory for a lane");
        return NULL;
    }
    memset(lane, 0, sizeof(*lane) + chain->state_size);
    lane->chain = chain;
    lane->spec = *spec;
    lane->gather = (weir_gather_t){.max_messages = 1, .max_bytes = 0};
    lane->timer = (weir_timer_t){.fire = lane_ripe, .arg = lane};
    weir_list_init(&lane->timer.node);
    for (uint32_t i = 0; i < chain->nmodules; i++) {
        const lane_module_t *item = &chain->modules[i];
        if (item->ops->open != NULL)
            item->ops->open(item->self, state_of(lane, item), &lane->gather);
    }
    return lane;
}

weir_lane_t *lane_new(const weir_lane_spec_t *spec, weir_error_t *err)
{
    const lane_chain_t *chain =
        spec->link != NULL ? &upstream_of(spec->link->server->upstream)->lanes : &spec->listener->first->lanes;
    return lane_new_on(chain, spec, err);
}

static void lane_forget_payload(weir_lane_t *lane)
{
    buf_unref(lane->payload.buf);
    lane->payload = (weir_chunk_t){.buf = NULL};
    lane->rest = (weir_slice_t){NULL, 0};
}

static void lane_forget_gathered(weir_lane_t *lane)
{
    buf_unref(lane->buf);
    lane->buf = NULL;
    lane->filled = 0;
    lane->messages = 0;
    lane->is_timed = false;
    timer_stop(&lane->timer);
}

void lane_free(weir_lane_t *lane)
{
    if (lane == NULL)
        return;
    lane_forget_gathered(lane);
    lane_forget_payload(lane);
    for (uint32_t i = lane->chain->nmodules; i-- > 0;) {
        const lane_module_t *item = &lane->chain->modules[i];
        if (item->ops->close != NULL)
            item->ops->close(item->self, state_of(lane, item));
    }
    free(lane);
}

/* ---- out ---- */

/* The frame of one payload: packed, when a module of the chain finds that it pays. */
static int lane_send(weir_lane_t *lane, const weir_chunk_t *chunks, size_t n, size_t bytes, uint32_t messages)
{
    struct stats_lanes *stats = lane->chain->stats;
    weir_chunk_t packed = {.buf = NULL};
    for (uint32_t i = 0; packed.bytes.p == NULL && i < lane->chain->nmodules; i++) {
        const lane_module_t *item = &lane->chain->modules[i];
        if (item->ops->flags & WEIR_LINK_PACKS)
            item->ops->pack(item->self, state_of(lane, item), chunks, n, bytes, &packed);
    }
    stats->messages_out += messages;
    stats->payloads_out++;
    stats->bytes_joined += bytes;
    stats->bytes_sent += packed.bytes.p == NULL ? bytes : packed.bytes.n;
    stats->packed += packed.bytes.p != NULL;
    int rc = packed.bytes.p == NULL ? lane->spec.frame(lane->spec.owner, chunks, n)
                                    : lane->spec.frame(lane->spec.owner, &packed, 1);
    buf_unref(packed.buf);
    lane->is_full = rc == WEIR_EFULL;
    return rc;
}

/* Put what stands around `count` messages around the chunks from `chunks[1]` on, of which there are n. Moves `chunks` past what it
 * does not need. */
static size_t lane_wrap(const weir_joiner_t *joiner, uint32_t count, char *marks, weir_chunk_t **chunks, size_t n)
{
    size_t before = joiner->begin == NULL ? 0 : joiner->begin(marks, count);
    size_t after = joiner->end == NULL ? 0 : joiner->end(marks + WEIR_JOIN_MAX, count);
    if (after > 0)
        (*chunks)[1 + n++] = (weir_chunk_t){.bytes = weir_slice(marks + WEIR_JOIN_MAX, after)};
    if (before == 0)
        ++*chunks;
    else
        (*chunks)[0] = (weir_chunk_t){.bytes = weir_slice(marks, before)};
    return n + (before > 0);
}

static size_t bytes_of(const weir_chunk_t *chunks, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].bytes.n;
    return bytes;
}

int lane_flush(weir_lane_t *lane, weir_flush_t why)
{
    if (lane->messages == 0)
        return WEIR_OK;
    weir_gathered_t gathered = {lane->messages, lane->filled, clock_us() - lane->first_us, lane->is_full};
    weir_chunk_t chunks[3] = {[1] = {.bytes = weir_slice(lane->buf->data, lane->filled), .buf = lane->buf}};
    weir_chunk_t *first = chunks;
    char marks[2 * WEIR_JOIN_MAX];
    size_t n = lane_wrap(lane->spec.joiner, lane->messages, marks, &first, 1);
    struct stats_lanes *stats = lane->chain->stats;
    stats->flushes[why]++;
    stats->waited_us += gathered.waited_us;
    int rc = lane_send(lane, first, n, bytes_of(first, n), lane->messages);
    lane->last_size = lane->filled;
    lane_forget_gathered(lane);
    const lane_module_t *gatherer = lane->chain->gatherer;
    if (gatherer->ops->flushed != NULL)
        gatherer->ops->flushed(gatherer->self, state_of(lane, gatherer), &gathered, why, &lane->gather);
    return rc;
}

void lane_drained(weir_lane_t *lane)
{
    lane->is_full = false;
    (void)lane_flush(lane, WEIR_FLUSH_EXPLICIT); /* what becomes of the stream, its owner hears from the stream */
}

/* The end of the turn in which the first message came, or of the time that it was given then. */
static void lane_ripe(void *arg)
{
    weir_lane_t *lane = arg;
    const lane_module_t *gatherer = lane->chain->gatherer;
    weir_gathered_t gathered = {lane->messages, lane->filled, 0, lane->is_full};
    uint64_t wait_ms = 0;
    if (!lane->is_timed && gatherer->ops->wait != NULL)
        wait_ms = gatherer->ops->wait(gatherer->self, state_of(lane, gatherer), &gathered);
    weir_timeouts_t *queue = wait_ms == 0 ? NULL : timers_get(wait_ms);
    if (queue == NULL) {
        (void)lane_flush(lane, lane->is_timed ? WEIR_FLUSH_TIME : WEIR_FLUSH_TURN);
        return;
    }
    lane->is_timed = true;
    timer_start(queue, &lane->timer);
}

/* Room for `more` bytes. A new payload gets about as much as the last one needed. */
static bool lane_make_room(weir_lane_t *lane, size_t more)
{
    size_t need = lane->filled + more;
    if (lane->buf != NULL && need <= lane->buf->size)
        return true;
    size_t size = lane->buf != NULL ? 2 * lane->buf->size : lane->last_size + lane->last_size / 4;
    size_t most = lane->gather.max_bytes + ROOM_EXTRA;
    size = size > most ? most : size;
    weir_buf_t *buf = buf_new(size > need ? size : need);
    if (buf == NULL)
        return false;
    if (lane->filled > 0)
        memcpy(buf->data, lane->buf->data, lane->filled);
    buf_unref(lane->buf);
    lane->buf = buf;
    return true;
}

static char *unfold(char *p, size_t n)
{
    for (char *at = p; (at = memchr(at, '\n', n - (size_t)(at - p))) != NULL;)
        *at = ' ';
    return p + n;
}

/* Behind what is in the buffer, which has the room. */
static void lane_append(weir_lane_t *lane, const weir_chunk_t *parts, size_t n)
{
    char *p = lane->buf->data + lane->filled;
    for (size_t i = 0; i < n; i++) {
        memcpy(p, parts[i].bytes.p, parts[i].bytes.n);
        p = lane->spec.joiner->is_lines ? unfold(p, parts[i].bytes.n) : p + parts[i].bytes.n;
    }
    lane->filled = (size_t)(p - lane->buf->data);
}

static int lane_gather(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, size_t bytes, uint64_t tag)
{
    char mark[WEIR_JOIN_MAX];
    const weir_joiner_t *joiner = lane->spec.joiner;
    size_t marked = joiner->before == NULL ? 0 : joiner->before(mark, lane->messages, tag, bytes);
    if (!lane_make_room(lane, marked + bytes))
        return WEIR_ECLOSED;
    memcpy(lane->buf->data + lane->filled, mark, marked);
    lane->filled += marked;
    lane_append(lane, parts, n);
    if (lane->messages++ == 0) {
        lane->first_us = clock_us();
        timer_at_turn_end(&lane->timer);
    }
    if (lane->messages >= lane->gather.max_messages)
        return lane_flush(lane, WEIR_FLUSH_SIZE);
    if (lane->filled >= lane->gather.max_bytes)
        return lane_flush(lane, WEIR_FLUSH_BYTES);
    return lane->is_full ? WEIR_EFULL : WEIR_OK;
}

static bool has_newline(const weir_chunk_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].bytes.n > 0 && memchr(parts[i].bytes.p, '\n', parts[i].bytes.n) != NULL)
            return true;
    return false;
}

/* A message that stands in the way of its own framing is written from a copy. */
static int lane_send_unfolded(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, size_t bytes)
{
    weir_buf_t *buf = buf_new(bytes);
    if (buf == NULL)
        return WEIR_ECLOSED;
    char *p = buf->data;
    for (size_t i = 0; i < n; i++) {
        memcpy(p, parts[i].bytes.p, parts[i].bytes.n);
        p = unfold(p, parts[i].bytes.n);
    }
    weir_chunk_t chunk = {.bytes = weir_slice(buf->data, bytes), .buf = buf};
    int rc = lane_send(lane, &chunk, 1, bytes, 1);
    buf_unref(buf);
    return rc;
}

/* One message as a payload of its own. */
static int lane_send_alone(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, size_t bytes, uint64_t tag)
{
    const weir_joiner_t *joiner = lane->spec.joiner;
    if (joiner->is_lines && has_newline(parts, n))
        return lane_send_unfolded(lane, parts, n, bytes);
    weir_chunk_t chunks[WEIR_LANE_CHUNKS], *first = chunks;
    char mark[WEIR_JOIN_MAX], marks[2 * WEIR_JOIN_MAX];
    size_t marked = joiner->before == NULL ? 0 : joiner->before(mark, 0, tag, bytes), count = n;
    if (marked > 0)
        chunks[1] = (weir_chunk_t){.bytes = weir_slice(mark, marked)};
    count += marked > 0;
    memcpy(&chunks[1 + (marked > 0)], parts, n * sizeof(*parts));
    count = lane_wrap(joiner, 1, marks, &first, count);
    return lane_send(lane, first, count, bytes_of(first, count), 1);
}

/* Messages that fill a payload by themselves do not wait, nor do those behind which none is waited for. */
int lane_write(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, uint64_t tag)
{
    size_t bytes = bytes_of(parts, n);
    if (n > WEIR_LANE_PARTS || bytes == 0)
        return WEIR_ECLOSED;
    if (lane->messages > 0 && lane->filled + bytes + WEIR_JOIN_MAX > lane->gather.max_bytes) {
        int rc = lane_flush(lane, WEIR_FLUSH_BYTES);
        if (rc == WEIR_ECLOSED)
            return rc;
    }
    if (lane->chain->gatherer == NULL)
        return lane_send_alone(lane, parts, n, bytes, tag);
    if (lane->messages > 0 || (bytes < lane->gather.max_bytes && lane->gather.max_messages > 1))
        return lane_gather(lane, parts, n, bytes, tag);
    lane->chain->stats->flushes[lane->gather.max_messages > 1 ? WEIR_FLUSH_BYTES : WEIR_FLUSH_SIZE]++;
    return lane_send_alone(lane, parts, n, bytes, tag);
}

/* ---- in ---- */

static int lane_broken(weir_lane_t *lane)
{
    lane->chain->stats->broken++;
    lane_forget_payload(lane);
    return WEIR_EFAIL;
}

int lane_read(weir_lane_t *lane, const weir_chunk_t *payload, weir_error_t *err)
{
    struct stats_lanes *stats = lane->chain->stats;
    const weir_codec_t *codec = codec_of(payload->bytes);
    lane_forget_payload(lane);
    lane->taken = 0;
    stats->payloads_in++;
    stats->bytes_read += payload->bytes.n;
    if (codec != NULL && codec_expand(codec, payload->bytes, lane->spec.max_message, &lane->payload, err) != WEIR_OK)
        return lane_broken(lane);
    if (codec == NULL) {
        lane->payload = *payload;
        if (payload->buf != NULL)
            buf_ref(payload->buf);
    }
    lane->rest = lane->payload.bytes;
    stats->bytes_expanded += lane->rest.n;
    return WEIR_OK;
}

int lane_next(weir_lane_t *lane, weir_chunk_t *message, uint64_t *tag, weir_error_t *err)
{
    if (lane->payload.bytes.p == NULL)
        return WEIR_EAGAIN;
    int rc = lane->spec.joiner->next(&lane->rest, lane->taken, &message->bytes, tag, err);
    if (rc == WEIR_EFAIL)
        return lane_broken(lane);
    if (rc != WEIR_OK) {
        lane_forget_payload(lane);
        return rc;
    }
    lane->taken++;
    lane->chain->stats->messages_in++;
    message->buf = lane->payload.buf;
    return WEIR_OK;
}
