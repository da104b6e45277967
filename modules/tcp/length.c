/* length.c: the framing `length`: frames whose payload is one or more messages with newlines between them, plain or packed. What is
 * gathered and packed is the lane's to say; the reader takes apart whatever comes.
 */
#include "frames.h"
#include "tcp.h"

static int length_write(void *state, weir_stream_t *stream, const weir_chunk_t *parts, size_t n)
{
    (void)stream;
    return frames_write(state, parts, n, 0);
}

static void length_drained(void *state)
{
    frames_t *f = state;
    f->host->lane_drained(f->lane);
}

static void length_finish(void *state)
{
    frames_t *f = state;
    (void)f->host->lane_flush(f->lane, WEIR_FLUSH_DRAIN); /* the stream is being closed in any case */
}

static long length_fill(void *state, weir_stream_t *stream)
{
    (void)stream;
    return frames_fill(state);
}

static weir_found_t length_next(void *state, weir_chunk_t *message)
{
    frames_t *f = state;
    weir_error_t err;
    uint64_t tag;
    int result = frames_next(f, message, &tag, &err);
    if (result == WEIR_OK)
        return WEIR_FOUND_MESSAGE;
    if (result == WEIR_EAGAIN)
        return WEIR_FOUND_MORE;
    f->host->log(WEIR_LOG_WARN, "tcp: a frame is broken: %s", err.text);
    return WEIR_FOUND_BROKEN;
}

static int length_begin(void *state, const weir_framing_place_t *place, weir_error_t *err)
{
    return frames_begin(state, place, place->host->joiner(WEIR_JOIN_LINES), place->max_message, err);
}

static void length_end(void *state)
{
    frames_end(state);
}

const weir_framing_t length_framing = {
    .state_size = sizeof(frames_t),
    .begin = length_begin,
    .fill = length_fill,
    .next = length_next,
    .write = length_write,
    .drained = length_drained,
    .finish = length_finish,
    .end = length_end,
};
