/* codec_gzip.c: gzip (RFC 1952), by zlib. */
#include <weir/module.h>

#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* 32 KiB, with a gzip head and trailer: 256 KiB of memory to pack */
#define MEMORY_LEVEL 8
#define SMALL_WINDOW (13 + 16) /* 8 KiB: 64 KiB of memory */
#define SMALL_MEMORY_LEVEL 6

static void *packer_of(int level, int window, int memory_level, weir_error_t *err)
{
    z_stream *z = calloc(1, sizeof(*z));
    if (z != NULL && deflateInit2(z, level, Z_DEFLATED, window, memory_level, Z_DEFAULT_STRATEGY) == Z_OK)
        return z;
    free(z);
    weir_error(err, "gzip: no memory for a context");
    return NULL;
}

static void *gzip_packer_new(int level, weir_error_t *err)
{
    return packer_of(level, GZIP_WINDOW, MEMORY_LEVEL, err);
}

static void *gzip_packer_new_small(int level, weir_error_t *err)
{
    return packer_of(level, SMALL_WINDOW, SMALL_MEMORY_LEVEL, err);
}

static void gzip_packer_free(void *packer)
{
    if (packer != NULL)
        deflateEnd(packer);
    free(packer);
}

/* deflate's own bound for whatever window and memory level, the gzip head and trailer, and the marks of a flush. */
static size_t gzip_packed_bound(size_t n)
{
    return n + (n >> 3) + (n >> 8) + (n >> 9) + 7 + 18 + 16;
}

static int gzip_pack_begin(void *packer, uint64_t size)
{
    (void)size;
    return deflateReset(packer) == Z_OK ? WEIR_OK : WEIR_EFAIL;
}

static long gzip_pack(void *packer, weir_slice_t in, weir_pack_t how, char *out, size_t room)
{
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    z_stream *z = packer;
    if (in.n > UINT32_MAX || room > UINT32_MAX)
        return WEIR_EFAIL;
    z->next_in = (Bytef *)in.p;
    z->avail_in = (uInt)in.n;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int rc = deflate(z, flushes[how]);
    if (rc == Z_BUF_ERROR) /* nothing was given and nothing was left */
        rc = how == WEIR_PACK_END ? Z_BUF_ERROR : Z_OK;
    if (z->avail_in > 0 || rc != (how == WEIR_PACK_END ? Z_STREAM_END : Z_OK) ||
        (how == WEIR_PACK_FLUSH && z->avail_out == 0))
        return WEIR_EFAIL;
    return (long)(room - z->avail_out);
}

static void *gzip_expander_new(weir_error_t *err)
{
    z_stream *z = calloc(1, sizeof(*z));
    if (z != NULL && inflateInit2(z, GZIP_WINDOW) == Z_OK)
        return z;
    free(z);
    weir_error(err, "gzip: no memory for a context");
    return NULL;
}

static void gzip_expander_free(void *expander)
{
    if (expander != NULL)
        inflateEnd(expander);
    free(expander);
}

/* The last four bytes of a member, when the payload ends with one: deflate cannot do better than 1032 : 1. */
static uint64_t gzip_expanded_size(weir_slice_t payload)
{
    const unsigned char *p = (const unsigned char *)payload.p + payload.n;
    if (payload.n < 18)
        return 0;
    uint64_t size = (uint64_t)p[-1] << 24 | (uint64_t)p[-2] << 16 | (uint64_t)p[-3] << 8 | p[-4];
    return size / 1032 > payload.n ? 0 : size;
}

/* Its window is 32 KiB, whatever the frame says. */
static int gzip_expand_begin(void *expander, size_t limit)
{
    (void)limit;
    return inflateReset(expander) == Z_OK ? WEIR_OK : WEIR_EFAIL;
}

static int gzip_expand(void *expander, weir_slice_t *in, char *out, size_t room, size_t *filled, weir_error_t *err)
{
    z_stream *z = expander;
    uInt avail = in->n > UINT32_MAX ? UINT32_MAX : (uInt)in->n, space = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
    z->next_in = (Bytef *)in->p;
    z->avail_in = avail;
    z->next_out = (Bytef *)out;
    z->avail_out = space;
    int rc = inflate(z, Z_NO_FLUSH);
    in->p += avail - z->avail_in;
    in->n -= avail - z->avail_in;
    *filled += space - z->avail_out;
    if (rc == Z_STREAM_END)
        return WEIR_OK;
    if (rc == Z_OK || rc == Z_BUF_ERROR)
        return WEIR_EAGAIN;
    return weir_error(err, "gzip: %s",
                      z->msg != NULL      ? z->msg
                      : rc == Z_NEED_DICT ? "asks for a dictionary"
                                          : "broken");
}

static const weir_codec_t gzip = {
    .name = "gzip",
    .magic = {"\x1f\x8b\x08", 3},
    .coding = {"gzip", 4},
    .level_min = 1,
    .level_max = 9,
    .level_default = 6,
    .packer_new = gzip_packer_new,
    .packer_free = gzip_packer_free,
    .packed_bound = gzip_packed_bound,
    .pack_begin = gzip_pack_begin,
    .pack = gzip_pack,
    .expander_new = gzip_expander_new,
    .expander_free = gzip_expander_free,
    .expanded_size = gzip_expanded_size,
    .expand_begin = gzip_expand_begin,
    .expand = gzip_expand,
    .packer_new_small = gzip_packer_new_small,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "codec_gzip",
    .doc = "the codec gzip",
    .codec = &gzip,
};
