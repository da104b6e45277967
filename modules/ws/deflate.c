/* deflate.c: see ws.h. */
#include <stdlib.h>
#include <zlib.h>

#include "ws.h"

#define WINDOW_BITS (-15) /* raw deflate */

struct deflater {
    z_stream out, in;
    char *room;
    size_t size;
};

deflater_t *deflater_new(void)
{
    deflater_t *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    if (deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(d);
        return NULL;
    }
    if (inflateInit2(&d->in, WINDOW_BITS) == Z_OK)
        return d;
    deflateEnd(&d->out);
    free(d);
    return NULL;
}

void deflater_free(deflater_t *d)
{
    if (d == NULL)
        return;
    deflateEnd(&d->out);
    inflateEnd(&d->in);
    free(d->room);
    free(d);
}

static bool room_for(deflater_t *d, size_t need)
{
    if (need <= d->size)
        return true;
    char *room = realloc(d->room, need);
    if (room == NULL)
        return false;
    d->room = room;
    d->size = need;
    return true;
}

/* RFC 7692, 7.2.1: flushed to a byte boundary, and without the four bytes that such a flush ends with. */
weir_slice_t deflater_pack(deflater_t *d, weir_slice_t bytes)
{
    const weir_slice_t nothing = {NULL, 0};
    if (bytes.n > UINT32_MAX / 2 || deflateReset(&d->out) != Z_OK || !room_for(d, deflateBound(&d->out, bytes.n) + 16))
        return nothing;
    d->out.next_in = (Bytef *)bytes.p;
    d->out.avail_in = (uInt)bytes.n;
    d->out.next_out = (Bytef *)d->room;
    d->out.avail_out = (uInt)d->size;
    if (deflate(&d->out, Z_SYNC_FLUSH) != Z_OK || d->out.avail_out == 0)
        return nothing;
    size_t n = d->size - d->out.avail_out;
    return n < 5 ? nothing : weir_slice(d->room, n - 4);
}

/* Expand into room that grows as long as the limit allows. */
static bool unpack_some(deflater_t *d, const void *bytes, size_t n, uint64_t limit, size_t *used)
{
    d->in.next_in = (Bytef *)bytes;
    d->in.avail_in = (uInt)n;
    while (d->in.avail_in > 0) {
        if (*used == d->size &&
            (d->size >= limit + 1 || !room_for(d, d->size * 2 < limit + 1 ? d->size * 2 : limit + 1)))
            return false;
        d->in.next_out = (Bytef *)d->room + *used;
        d->in.avail_out = (uInt)(d->size - *used);
        int result = inflate(&d->in, Z_SYNC_FLUSH);
        *used = d->size - d->in.avail_out;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return result == Z_STREAM_END && d->in.avail_in == 0;
        if (result == Z_BUF_ERROR && *used < d->size)
            return false;
    }
    return *used <= limit;
}

weir_slice_t deflater_unpack(deflater_t *d, weir_slice_t bytes, uint64_t limit, bool *is_too_large)
{
    static const unsigned char tail[] = {0, 0, 0xff, 0xff};
    const weir_slice_t nothing = {NULL, 0};
    size_t used = 0;
    *is_too_large = false;
    if (bytes.n > UINT32_MAX || inflateReset(&d->in) != Z_OK || !room_for(d, 16384))
        return nothing;
    bool is_whole = unpack_some(d, bytes.p, bytes.n, limit, &used) && unpack_some(d, tail, sizeof(tail), limit, &used);
    *is_too_large = used > limit;
    return is_whole ? weir_slice(d->room, used) : nothing;
}
