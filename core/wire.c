/* wire.c: frames on the stream between a worker and a keeper; see channel.h. An idle wire owns no buffer.
 *
 * Small frames of one turn of the loop leave together at its end: one system call, and one time that the other process is woken,
 * for all of them.
 */
#include "buf.h"
#include "channel.h"
#include "stream.h"
#include "timer.h"

#define WIRE_PARTS_MAX 16
/* A larger frame is not copied: it leaves at once, behind those before it. */
#define WIRE_JOINED_MAX 4096u

/* Room for at least `need` bytes from `from` on, with what is there moved to its beginning. */
static int wire_reserve(wire_t *wire, size_t need)
{
    size_t have = wire->to - wire->from;
    if (wire->in != NULL && wire->from + need <= wire->in->size && wire->to < wire->in->size)
        return WEIR_OK;
    weir_buf_t *buf = buf_new(need > BUF_SIZE ? need : 0);
    if (buf == NULL)
        return WEIR_EFAIL;
    if (have > 0)
        memcpy(buf->data, wire->in->data + wire->from, have);
    buf_unref(wire->in);
    wire->in = buf;
    wire->from = 0;
    wire->to = have;
    return WEIR_OK;
}

/* How many bytes the frame at hand needs in all. */
static size_t wire_need(const wire_t *wire)
{
    size_t have = wire->to - wire->from;
    frame_t frame;
    if (have < sizeof(frame))
        return sizeof(frame);
    memcpy(&frame, wire->in->data + wire->from, sizeof(frame));
    return sizeof(frame) + frame.n;
}

static void wire_take(wire_t *wire)
{
    while (wire->stream != NULL && wire->to - wire->from >= wire_need(wire) &&
           wire->to - wire->from >= sizeof(frame_t)) {
        frame_t frame;
        memcpy(&frame, wire->in->data + wire->from, sizeof(frame));
        weir_slice_t payload = weir_slice(wire->in->data + wire->from + sizeof(frame), frame.n);
        wire->from += sizeof(frame) + frame.n;
        wire->frame(wire->owner, &frame, payload);
    }
}

static void wire_gone(wire_t *wire, const char *why)
{
    wire_close(wire);
    wire->gone(wire->owner, why);
}

static void wire_readable(void *owner)
{
    wire_t *wire = owner;
    if (wire_reserve(wire, wire_need(wire)) != WEIR_OK) {
        wire_gone(wire, "no memory");
        return;
    }
    long n = stream_read(wire->stream, wire->in->data + wire->to, wire->in->size - wire->to);
    if (n == WEIR_EAGAIN)
        return;
    if (n <= 0) {
        wire_gone(wire, "the other end has gone");
        return;
    }
    wire->to += (size_t)n;
    wire_take(wire);
    if (wire->stream != NULL && wire->from == wire->to) {
        buf_unref(wire->in);
        wire->in = NULL;
        wire->from = wire->to = 0;
    }
}

static void wire_drained(void *owner)
{
    wire_t *wire = owner;
    if (wire->drained != NULL)
        wire->drained(wire->owner);
}

static void wire_broken(void *owner, const char *why)
{
    wire_gone(owner, why);
}

static const weir_stream_events_t wire_events = {
    .readable = wire_readable,
    .drained = wire_drained,
    .broken = wire_broken,
};

/* Write what has been joined. A stream that breaks says so itself. */
static void wire_flush(wire_t *wire)
{
    weir_buf_t *joined = wire->joined;
    if (joined == NULL)
        return;
    weir_chunk_t chunk = {weir_slice(joined->data, wire->njoined), joined};
    wire->joined = NULL;
    wire->njoined = 0;
    (void)stream_write(wire->stream, &chunk, 1);
    buf_unref(joined);
}

static void wire_turn_ends(void *arg)
{
    wire_flush(arg);
}

/* Put a frame behind those that wait for the end of the turn; false when it is to be written on its own. */
static bool wire_join(wire_t *wire, const weir_chunk_t *chunks, size_t n, size_t bytes)
{
    if (bytes > WIRE_JOINED_MAX)
        return false;
    if (wire->joined != NULL && wire->njoined + bytes > wire->joined->size)
        wire_flush(wire);
    if (wire->joined == NULL && (wire->joined = buf_new(0)) == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (chunks[i].bytes.n > 0)
            memcpy(wire->joined->data + wire->njoined, chunks[i].bytes.p, chunks[i].bytes.n);
        wire->njoined += chunks[i].bytes.n;
    }
    if (!timer_is_running(&wire->flush))
        timer_at_turn_end(&wire->flush);
    return true;
}

int wire_open(wire_t *wire, int fd, uint64_t limit, weir_error_t *err)
{
    wire->stream = stream_fd(fd, err);
    if (wire->stream == NULL)
        return WEIR_EFAIL;
    wire->flush = (weir_timer_t){.fire = wire_turn_ends, .arg = wire};
    stream_limit(wire->stream, limit, 0);
    stream_own(wire->stream, &wire_events, wire);
    return WEIR_OK;
}

void wire_close(wire_t *wire)
{
    if (wire->stream == NULL)
        return;
    wire_flush(wire);
    timer_stop(&wire->flush);
    stream_close(wire->stream);
    wire->stream = NULL;
    buf_unref(wire->in);
    wire->in = NULL;
    wire->from = wire->to = 0;
}

int wire_write(wire_t *wire, frame_t *frame, const weir_chunk_t *parts, size_t n)
{
    weir_chunk_t chunks[WIRE_PARTS_MAX + 1];
    if (wire->stream == NULL || n > WIRE_PARTS_MAX)
        return WEIR_ECLOSED;
    frame->n = 0;
    for (size_t i = 0; i < n; i++) {
        chunks[i + 1] = parts[i];
        frame->n += (uint32_t)parts[i].bytes.n;
    }
    chunks[0] = (weir_chunk_t){.bytes = weir_slice((const char *)frame, sizeof(*frame))};
    if (wire_join(wire, chunks, n + 1, sizeof(*frame) + frame->n))
        return WEIR_OK;
    wire_flush(wire);
    return stream_write(wire->stream, chunks, n + 1);
}
