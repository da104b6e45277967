/* codec_lz4.c: the LZ4 frame format, by liblz4. Each piece is packed as it comes, as a block of its own, and nothing is copied
 * inside the library: for blocks that lean on those before them it allocates 64 KiB anew with each frame.
 */
#include <weir/module.h>

#include <lz4frame.h>
#include <stdlib.h>

/* Frame header of the largest kind, end mark, checksum. */
#define FRAME_EXTRA 32
/* Header and checksum of a block. */
#define BLOCK_EXTRA 8

typedef struct lz4_packer {
    LZ4F_cctx *context;
    LZ4F_preferences_t preferences;
    bool is_begun; /* the header has been written */
} lz4_packer_t;

static void lz4_packer_free(void *arg)
{
    lz4_packer_t *packer = arg;
    if (packer == NULL)
        return;
    LZ4F_freeCompressionContext(packer->context);
    free(packer);
}

static void *lz4_packer_new(int level, weir_error_t *err)
{
    lz4_packer_t *packer = calloc(1, sizeof(*packer));
    if (packer == NULL || LZ4F_isError(LZ4F_createCompressionContext(&packer->context, LZ4F_VERSION))) {
        lz4_packer_free(packer);
        weir_error(err, "lz4: no memory for a context");
        return NULL;
    }
    packer->preferences.compressionLevel = level;
    packer->preferences.autoFlush = 1;
    packer->preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    return packer;
}

/* What cannot be packed stands as it is, in blocks of 64 KiB at least, and every piece ends one. */
static size_t lz4_packed_bound(size_t n)
{
    return n + n / 4096 + FRAME_EXTRA + WEIR_PACK_PIECES * BLOCK_EXTRA;
}

static LZ4F_blockSizeID_t block_for(uint64_t size)
{
    if (size <= 64u << 10)
        return LZ4F_max64KB;
    if (size <= 256u << 10)
        return LZ4F_max256KB;
    return size <= 1u << 20 ? LZ4F_max1MB : LZ4F_max4MB;
}

/* The header is written with the first piece, which has room for it. */
static int lz4_pack_begin(void *arg, uint64_t size)
{
    lz4_packer_t *packer = arg;
    packer->preferences.frameInfo.contentSize = size;
    packer->preferences.frameInfo.blockSizeID = block_for(size);
    packer->is_begun = false;
    return WEIR_OK;
}

static size_t lz4_head(lz4_packer_t *packer, char *out, size_t room)
{
    if (packer->is_begun)
        return 0;
    packer->is_begun = true;
    return LZ4F_compressBegin(packer->context, out, room, &packer->preferences);
}

static long lz4_pack(void *arg, weir_slice_t in, weir_pack_t how, char *out, size_t room)
{
    lz4_packer_t *packer = arg;
    size_t at = lz4_head(packer, out, room);
    if (LZ4F_isError(at))
        return WEIR_EFAIL;
    size_t n = in.n == 0 ? 0 : LZ4F_compressUpdate(packer->context, out + at, room - at, in.p, in.n, NULL);
    if (LZ4F_isError(n))
        return WEIR_EFAIL;
    at += n;
    if (how == WEIR_PACK_END) {
        n = LZ4F_compressEnd(packer->context, out + at, room - at, NULL);
        if (LZ4F_isError(n))
            return WEIR_EFAIL;
        at += n;
    }
    return (long)at;
}

static void *lz4_expander_new(weir_error_t *err)
{
    LZ4F_dctx *context;
    if (!LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return context;
    weir_error(err, "lz4: no memory for a context");
    return NULL;
}

static void lz4_expander_free(void *arg)
{
    LZ4F_freeDecompressionContext(arg);
}

/* FLG tells whether the size stands at byte 6. */
static uint64_t lz4_expanded_size(weir_slice_t payload)
{
    const unsigned char *p = (const unsigned char *)payload.p;
    uint64_t size = 0;
    if (payload.n < 14 || (p[4] & 0x08) == 0)
        return 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | p[6 + i];
    return size;
}

/* A context of this format never takes more than two blocks of 4 MiB. */
static int lz4_expand_begin(void *arg, size_t limit)
{
    (void)limit;
    LZ4F_resetDecompressionContext(arg);
    return WEIR_OK;
}

static int lz4_expand(void *arg, weir_slice_t *in, char *out, size_t room, size_t *filled, weir_error_t *err)
{
    size_t read = in->n, wrote = room;
    size_t hint = LZ4F_decompress(arg, out, &wrote, in->p, &read, NULL);
    if (LZ4F_isError(hint))
        return weir_error(err, "lz4: %s", LZ4F_getErrorName(hint));
    in->p += read;
    in->n -= read;
    *filled += wrote;
    return hint == 0 ? WEIR_OK : WEIR_EAGAIN;
}

static const weir_codec_t lz4 = {
    .name = "lz4",
    .magic = {"\x04\x22\x4d\x18", 4},
    .level_min = -64,
    .level_max = 12,
    .packer_new = lz4_packer_new,
    .packer_free = lz4_packer_free,
    .packed_bound = lz4_packed_bound,
    .pack_begin = lz4_pack_begin,
    .pack = lz4_pack,
    .expander_new = lz4_expander_new,
    .expander_free = lz4_expander_free,
    .expanded_size = lz4_expanded_size,
    .expand_begin = lz4_expand_begin,
    .expand = lz4_expand,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "codec_lz4",
    .doc = "the codec lz4 (frame format)",
    .codec = &lz4,
};
