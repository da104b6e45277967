/* length.c: the framing `length`: four bytes of length, big-endian, then a payload of one or more messages with newlines between them,
 * plain or packed. What is gathered and packed is the lane's to say; the reader takes apart whatever comes.
 */
#include "tcp.h"

#define HEAD_SIZE 4

typedef struct length {
    const weir_host_t *host;
    weir_lane_t *lane;
    weir_stream_t *stream;
    uint64_t max_message; /* and payload */
    weir_buf_t *buf;      /* what has been read: from `at` to `filled` it is not taken yet */
    size_t at, filled;
} length_t;

/* ---- writing ---- */

static int write_frame(void *owner, const weir_chunk_t *chunks, size_t n)
{
    length_t *l = owner;
    weir_chunk_t framed[WEIR_LANE_CHUNKS + 1];
    size_t size = 0;
    if (n > WEIR_LANE_CHUNKS)
        return WEIR_ECLOSED;
    for (size_t i = 0; i < n; i++) {
        framed[i + 1] = chunks[i];
        size += chunks[i].bytes.n;
    }
    char head[HEAD_SIZE] = {(char)(size >> 24), (char)(size >> 16), (char)(size >> 8), (char)size};
    framed[0] = (weir_chunk_t){.bytes = weir_slice(head, HEAD_SIZE)};
    return size > UINT32_MAX ? WEIR_ECLOSED : l->host->stream_write(l->stream, framed, n + 1);
}

static int length_write(void *state, weir_stream_t *stream, const weir_chunk_t *parts, size_t n)
{
    length_t *l = state;
    (void)stream;
    return l->host->lane_write(l->lane, parts, n, 0);
}

static void length_drained(void *state)
{
    length_t *l = state;
    l->host->lane_drained(l->lane);
}

static void length_finish(void *state)
{
    length_t *l = state;
    (void)l->host->lane_flush(l->lane, WEIR_FLUSH_DRAIN); /* the stream is being closed in any case */
}

/* ---- reading ---- */

/* The size of the payload that the frame at hand announces; false while its head is not whole. */
static bool head_read(const length_t *l, size_t *size)
{
    if (l->filled - l->at < HEAD_SIZE)
        return false;
    const unsigned char *p = (const unsigned char *)l->buf->data + l->at;
    *size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return true;
}

/* Have room for the frame at hand. A buffer that a message still refers to is not written over. */
static bool make_room(length_t *l)
{
    size_t have = l->filled - l->at, size = 0;
    size_t need = have >= HEAD_SIZE && head_read(l, &size) ? HEAD_SIZE + size : HEAD_SIZE;
    if (l->buf != NULL && l->at + need <= l->buf->size && l->filled < l->buf->size)
        return true;
    weir_buf_t *buf = l->host->buf_new(need);
    if (buf == NULL)
        return false;
    if (have > 0)
        memcpy(buf->data, l->buf->data + l->at, have);
    l->host->buf_unref(l->buf);
    l->buf = buf;
    l->at = 0;
    l->filled = have;
    return true;
}

static void give_back(length_t *l)
{
    l->host->buf_unref(l->buf);
    l->buf = NULL;
    l->at = l->filled = 0;
}

static long length_fill(void *state, weir_stream_t *stream)
{
    length_t *l = state;
    if (!make_room(l))
        return WEIR_EFAIL;
    long n = l->host->stream_read(stream, l->buf->data + l->filled, l->buf->size - l->filled);
    if (n > 0)
        l->filled += (size_t)n;
    else if (l->at == l->filled)
        give_back(l);
    return n;
}

/* Hand the frame at hand to the lane. */
static weir_found_t frame_take(length_t *l)
{
    size_t size;
    if (l->buf == NULL || !head_read(l, &size))
        return WEIR_FOUND_MORE;
    if (size > l->max_message)
        return WEIR_FOUND_BROKEN;
    if (l->filled - l->at < HEAD_SIZE + size)
        return WEIR_FOUND_MORE;
    weir_chunk_t payload = {.bytes = weir_slice(l->buf->data + l->at + HEAD_SIZE, size), .buf = l->buf};
    weir_error_t err;
    l->at += HEAD_SIZE + size;
    if (size == 0 || l->host->lane_read(l->lane, &payload, &err) == WEIR_OK)
        return WEIR_FOUND_MESSAGE;
    l->host->log(WEIR_LOG_WARN, "tcp: a frame of %zu bytes is broken: %s", size, err.text);
    return WEIR_FOUND_BROKEN;
}

static weir_found_t length_next(void *state, weir_chunk_t *message)
{
    length_t *l = state;
    weir_error_t err;
    uint64_t tag;
    for (;;) {
        int result = l->host->lane_next(l->lane, message, &tag, &err);
        if (result == WEIR_OK)
            return WEIR_FOUND_MESSAGE;
        if (result != WEIR_EAGAIN) {
            l->host->log(WEIR_LOG_WARN, "tcp: a frame is broken: %s", err.text);
            return WEIR_FOUND_BROKEN;
        }
        weir_found_t found = frame_take(l);
        if (found != WEIR_FOUND_MESSAGE) {
            if (l->buf != NULL && l->at == l->filled)
                give_back(l);
            return found;
        }
    }
}

/* ---- life ---- */

static int length_begin(void *state, const weir_framing_place_t *place, weir_error_t *err)
{
    length_t *l = state;
    l->host = place->host;
    weir_lane_spec_t spec = {
        .link = place->link,
        .listener = place->listener,
        .joiner = l->host->joiner(WEIR_JOIN_LINES),
        .max_message = place->max_message,
        .frame = write_frame,
        .owner = l,
    };
    l->stream = place->stream;
    l->max_message = place->max_message;
    l->lane = l->host->lane_new(&spec, err);
    return l->lane == NULL ? WEIR_EFAIL : WEIR_OK;
}

static void length_end(void *state)
{
    length_t *l = state;
    if (l->host == NULL)
        return;
    l->host->lane_free(l->lane);
    l->lane = NULL;
    give_back(l);
}

const weir_framing_t length_framing = {
    .state_size = sizeof(length_t),
    .begin = length_begin,
    .fill = length_fill,
    .next = length_next,
    .write = length_write,
    .drained = length_drained,
    .finish = length_finish,
    .end = length_end,
};
