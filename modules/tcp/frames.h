/* frames.h: frames of four bytes of length, big-endian, and a payload, which a lane makes and takes apart: what the framings `length` and
 * `mux` have in common. */
#ifndef WEIR_TCP_FRAMES_H
#define WEIR_TCP_FRAMES_H

#include <weir/module.h>

typedef struct frames {
    const weir_host_t *host;
    weir_lane_t *lane;
    weir_stream_t *stream;
    uint64_t max_payload;
    weir_buf_t *buf; /* what has been read: from `at` to `filled` it is not taken yet */
    size_t at, filled;
} frames_t;

/* Of a link's stream, or of a client's of the listener. What was begun is ended by frames_end(), also when it failed. */
int frames_begin(frames_t *f, const weir_framing_place_t *place, const weir_joiner_t *joiner, uint64_t max_payload,
                 weir_error_t *err);
void frames_end(frames_t *f);

/* One message; result as of stream_write. */
static inline int frames_write(frames_t *f, const weir_chunk_t *parts, size_t n, uint64_t tag)
{
    return f->host->lane_write(f->lane, parts, n, tag);
}

/* Read once, as weir_framing_t.fill. */
long frames_fill(frames_t *f);

/* The next message of what was read, good until the next call. WEIR_EAGAIN: none is whole; WEIR_EFAIL: what comes is broken, and the
 * error says how. */
int frames_next(frames_t *f, weir_chunk_t *message, uint64_t *tag, weir_error_t *err);

#endif
