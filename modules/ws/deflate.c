/* deflate.c: see ws.h. */
#include <stdlib.h>
#include <zlib.h>

#include "ws.h"

#define WINDOW_BITS (-15) /* raw deflate */
#define DEFLATE_MIN 1024  /* smaller messages are sent as they are */

/* Of the sockets that agreed on it, in messages and bytes of them; what frames them is not in it. */
enum {
    COUNT_OUT,
    COUNT_PACKED,
    COUNT_BYTES_BEFORE,
    COUNT_BYTES_AFTER,
    COUNT_IN,
    COUNT_BYTES_IN,
    COUNT_BYTES_EXPANDED,
    COUNTERS
};

struct deflater {
    const weir_host_t *host;
    weir_counters_t counters;
    int64_t own[COUNTERS]; /* where they are when nobody shares them */
    z_stream out, in;
    char *room;
    size_t size;
};

static deflater_t *deflater_make(void)
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

deflater_t *deflater_new(const weir_host_t *host, weir_upstream_t *upstream, const weir_listener_t *listener,
                         weir_error_t *err)
{
    deflater_t *d = deflater_make();
    if (d == NULL) {
        (void)weir_error(err, "ws: no memory for permessage_deflate");
        return NULL;
    }
    d->host = host;
    int result = upstream != NULL ? host->counters(&d->counters, upstream, NULL, "ws", 0, COUNTERS, err)
                                  : host->listener_counters(&d->counters, d->own, listener, "ws", 0, COUNTERS, err);
    if (result == WEIR_OK)
        return d;
    deflater_free(d);
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
static weir_slice_t pack(deflater_t *d, weir_slice_t bytes)
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

static void count_out(deflater_t *d, size_t before, size_t after)
{
    int64_t *counts = d->counters.mine;
    counts[COUNT_OUT]++;
    counts[COUNT_PACKED] += after < before;
    counts[COUNT_BYTES_BEFORE] += (int64_t)before;
    counts[COUNT_BYTES_AFTER] += (int64_t)after;
}

weir_slice_t deflater_pack(deflater_t *d, weir_slice_t bytes)
{
    weir_slice_t packed = bytes.n < DEFLATE_MIN ? weir_slice(NULL, 0) : pack(d, bytes);
    if (packed.n >= bytes.n)
        packed = weir_slice(NULL, 0);
    count_out(d, bytes.n, packed.n > 0 ? packed.n : bytes.n);
    return packed;
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

static void count_in(deflater_t *d, size_t bytes, size_t expanded)
{
    int64_t *counts = d->counters.mine;
    counts[COUNT_IN]++;
    counts[COUNT_BYTES_IN] += (int64_t)bytes;
    counts[COUNT_BYTES_EXPANDED] += (int64_t)expanded;
}

void deflater_passed(deflater_t *d, size_t bytes)
{
    count_in(d, bytes, bytes);
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
    if (is_whole)
        count_in(d, bytes.n, used);
    return is_whole ? weir_slice(d->room, used) : nothing;
}

/* ---- what is told ---- */

void deflater_tell(const deflater_t *d, weir_status_t *status)
{
    static const char *const names[COUNTERS] = {
        [COUNT_OUT] = "messages_out",
        [COUNT_PACKED] = "messages_compressed",
        [COUNT_BYTES_BEFORE] = "bytes_before_compression",
        [COUNT_BYTES_AFTER] = "bytes_after_compression",
        [COUNT_IN] = "messages_in",
        [COUNT_BYTES_IN] = "bytes_in",
        [COUNT_BYTES_EXPANDED] = "bytes_in_expanded",
    };
    int64_t sum[COUNTERS];
    if (d == NULL)
        return;
    d->host->counters_sum(&d->counters, sum);
    for (int i = 0; i < COUNTERS; i++)
        status->number(status, names[i], (double)sum[i]);
    status->number(status, "compression_ratio",
                   sum[COUNT_BYTES_AFTER] == 0 ? 0 : (double)sum[COUNT_BYTES_BEFORE] / (double)sum[COUNT_BYTES_AFTER]);
}

#define BYTES(at, name, text)                                                                                          \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_COUNTER, .metric = name, .doc = text                                           \
    }

const weir_figure_t ws_figures[] = {
    WEIR_COUNTER("messages_out", "Messages written where permessage-deflate was agreed on"),
    WEIR_COUNTER("messages_compressed", "Of them, those that were written compressed"),
    BYTES("bytes_before_compression", "before_compression_bytes",
          "Bytes of these messages before they were compressed"),
    BYTES("bytes_after_compression", "after_compression_bytes", "Bytes of these messages as they were written"),
    WEIR_GAUGE("compression_ratio", "Bytes before by bytes after compression"),
    WEIR_COUNTER("messages_in", "Messages read where permessage-deflate was agreed on"),
    BYTES("bytes_in", "read_bytes", "Bytes of these messages as they came"),
    BYTES("bytes_in_expanded", "expanded_bytes", "Bytes of these messages after they were expanded"),
    {.path = NULL},
};
