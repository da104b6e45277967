/* frames.c: see frames.h. A buffer is owned only while a frame is incomplete or its messages are in use. */
#include "frames.h"

#define HEAD_SIZE 4

/* ---- writing ---- */

static int write_frame(void *owner, const weir_chunk_t *chunks, size_t n)
{
    frames_t *f = owner;
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
    return size > UINT32_MAX ? WEIR_ECLOSED : f->host->stream_write(f->stream, framed, n + 1);
}

/* ---- reading ---- */

/* The size of the payload that the frame at hand announces; false while its head is not whole. */
static bool head_read(const frames_t *f, size_t *size)
{
    if (f->filled - f->at < HEAD_SIZE)
        return false;
    const unsigned char *p = (const unsigned char *)f->buf->data + f->at;
    *size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return true;
}

/* Have room for the frame at hand. A buffer that a message still refers to is not written over. */
static bool make_room(frames_t *f)
{
    size_t have = f->filled - f->at, size = 0;
    size_t need = have >= HEAD_SIZE && head_read(f, &size) ? HEAD_SIZE + size : HEAD_SIZE;
    if (f->buf != NULL && f->at + need <= f->buf->size && f->filled < f->buf->size)
        return true;
    weir_buf_t *buf = f->host->buf_new(need);
    if (buf == NULL)
        return false;
    if (have > 0)
        memcpy(buf->data, f->buf->data + f->at, have);
    f->host->buf_unref(f->buf);
    f->buf = buf;
    f->at = 0;
    f->filled = have;
    return true;
}

static void give_back(frames_t *f)
{
    f->host->buf_unref(f->buf);
    f->buf = NULL;
    f->at = f->filled = 0;
}

long frames_fill(frames_t *f)
{
    if (!make_room(f))
        return WEIR_EFAIL;
    long n = f->host->stream_read(f->stream, f->buf->data + f->filled, f->buf->size - f->filled);
    if (n > 0)
        f->filled += (size_t)n;
    else if (f->at == f->filled)
        give_back(f);
    return n;
}

/* Hand the frame at hand to the lane. */
static int frame_take(frames_t *f, weir_error_t *err)
{
    size_t size;
    if (f->buf == NULL || !head_read(f, &size))
        return WEIR_EAGAIN;
    if (size > f->max_payload)
        return weir_error(err,
                          "a frame announces %zu bytes, more than max_message allows (%llu): it is no frame, or the "
                          "other end must gather less or this end take more",
                          size, (unsigned long long)f->max_payload);
    if (f->filled - f->at < HEAD_SIZE + size)
        return WEIR_EAGAIN;
    weir_chunk_t payload = {.bytes = weir_slice(f->buf->data + f->at + HEAD_SIZE, size), .buf = f->buf};
    f->at += HEAD_SIZE + size;
    return size == 0 ? WEIR_OK : f->host->lane_read(f->lane, &payload, err);
}

int frames_next(frames_t *f, weir_chunk_t *message, uint64_t *tag, weir_error_t *err)
{
    for (;;) {
        int result = f->host->lane_next(f->lane, message, tag, err);
        if (result != WEIR_EAGAIN)
            return result;
        result = frame_take(f, err);
        if (result == WEIR_OK)
            continue;
        if (f->buf != NULL && f->at == f->filled)
            give_back(f);
        return result;
    }
}

/* ---- life ---- */

int frames_begin(frames_t *f, const weir_framing_place_t *place, const weir_joiner_t *joiner, uint64_t max_payload,
                 weir_error_t *err)
{
    *f = (frames_t){.host = place->host, .stream = place->stream, .max_payload = max_payload};
    weir_lane_spec_t spec = {
        .link = place->link,
        .listener = place->listener,
        .joiner = joiner,
        .max_message = max_payload,
        .frame = write_frame,
        .owner = f,
    };
    f->lane = f->host->lane_new(&spec, err);
    return f->lane == NULL ? WEIR_EFAIL : WEIR_OK;
}

void frames_end(frames_t *f)
{
    if (f->host == NULL)
        return;
    f->host->lane_free(f->lane);
    f->lane = NULL;
    give_back(f);
}
