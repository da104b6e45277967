/* decode.c: see decode.h. */
#include "decode.h"

#include <stdlib.h>

#include "buf.h"
#include "codec.h"

struct decoder {
    codec_context_t *context;
    size_t limit;
    bool is_open; /* within a frame */
};

decoder_t *decode_new(const weir_codec_t *codec, size_t limit)
{
    decoder_t *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->limit = limit;
    d->context = codec_take(codec, CODEC_EXPANDS, 0, NULL);
    if (d->context != NULL)
        return d;
    free(d);
    return NULL;
}

void decode_free(decoder_t *d)
{
    if (d == NULL)
        return;
    codec_give(d->context);
    free(d);
}

/* Expand as much of `in` as fits into the buffer. WEIR_OK: all that can be said for now has been. */
static int decode_step(decoder_t *d, weir_slice_t *in, weir_buf_t *buf, size_t *filled, weir_error_t *err)
{
    const weir_codec_t *codec = d->context->codec;
    size_t left = in->n;
    if (!d->is_open && codec->expand_begin(d->context->context, d->limit) != WEIR_OK)
        return weir_error(err, "%s: a frame cannot be begun", codec->name);
    int rc = codec->expand(d->context->context, in, buf->data, buf->size, filled, err);
    if (rc == WEIR_EFAIL)
        return rc;
    d->is_open = rc != WEIR_OK;
    bool is_stuck = in->n == left && *filled == 0, has_more = d->is_open && *filled == buf->size;
    return has_more || (in->n > 0 && !is_stuck) ? WEIR_EAGAIN : WEIR_OK;
}

typedef struct unpacking {
    weir_buf_t *buf;
    size_t expanded; /* of what is given at a time */
    bool is_full;    /* the owner's */
    decode_take_fn take;
    void *owner;
} unpacking_t;

static int decode_chunk(decoder_t *d, unpacking_t *u, weir_slice_t in, weir_error_t *err)
{
    int rc = in.n > 0 ? WEIR_EAGAIN : WEIR_OK;
    while (rc == WEIR_EAGAIN) {
        size_t filled = 0;
        rc = decode_step(d, &in, u->buf, &filled, err);
        u->expanded += filled;
        if (rc == WEIR_EFAIL)
            return rc;
        if (u->expanded > d->limit)
            return weir_error(err, "%s: what came of it at a time holds more than max_message (%zu bytes)",
                              d->context->codec->name, d->limit);
        weir_chunk_t piece = {.bytes = weir_slice(u->buf->data, filled)};
        int taken = filled == 0 ? WEIR_OK : u->take(u->owner, &piece);
        if (taken == WEIR_ECLOSED)
            return taken;
        u->is_full = u->is_full || taken == WEIR_EFULL;
    }
    return rc;
}

int decode_bytes(decoder_t *d, const weir_chunk_t *chunks, size_t n, decode_take_fn take, void *owner,
                 weir_error_t *err)
{
    unpacking_t u = {.buf = buf_new(0), .take = take, .owner = owner};
    int rc = WEIR_OK;
    if (u.buf == NULL)
        return weir_error(err, "no memory to unpack it");
    for (size_t i = 0; i < n && rc == WEIR_OK; i++)
        rc = decode_chunk(d, &u, chunks[i].bytes, err);
    buf_unref(u.buf);
    return rc == WEIR_OK && u.is_full ? WEIR_EFULL : rc;
}

int decode_end(const decoder_t *d, weir_error_t *err)
{
    if (!d->is_open)
        return WEIR_OK;
    return weir_error(err, "%s: it breaks off", d->context->codec->name);
}
