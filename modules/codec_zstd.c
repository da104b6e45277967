/* codec_zstd.c: Zstandard frames (RFC 8878), by libzstd. */
#include <weir/module.h>

#include <stdlib.h>
#include <zstd.h>

/* RFC 8878 asks of every reader to take windows of 8 MiB: who does not know the size of what is coming asks for one. */
#define WINDOW_LOG_MIN 23
#define WINDOW_LOG_MAX 27
#define SMALL_WINDOW_LOG 16
#define SMALL_TABLE_LOG 13

static void *zstd_packer_new(int level, weir_error_t *err)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level))) {
        ZSTD_freeCCtx(context);
        weir_error(err, "zstd: no memory for a context");
        return NULL;
    }
    return context;
}

/* A window of 64 KiB, and tables to match. */
static void *zstd_packer_new_small(int level, weir_error_t *err)
{
    void *context = zstd_packer_new(level, err);
    if (context != NULL && (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, SMALL_WINDOW_LOG)) ||
                            ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, SMALL_TABLE_LOG)) ||
                            ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_chainLog, SMALL_TABLE_LOG)))) {
        ZSTD_freeCCtx(context);
        weir_error(err, "zstd: a small context cannot be made");
        return NULL;
    }
    return context;
}

static void zstd_packer_free(void *packer)
{
    ZSTD_freeCCtx(packer);
}

static size_t zstd_packed_bound(size_t n)
{
    return ZSTD_compressBound(n) + 64;
}

static int zstd_pack_begin(void *packer, uint64_t size)
{
    size_t rc = ZSTD_CCtx_reset(packer, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setPledgedSrcSize(packer, size == 0 ? ZSTD_CONTENTSIZE_UNKNOWN : size);
    return ZSTD_isError(rc) ? WEIR_EFAIL : WEIR_OK;
}

static long zstd_pack(void *packer, weir_slice_t in, weir_pack_t how, char *out, size_t room)
{
    static const ZSTD_EndDirective directives[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer from = {in.p, in.n, 0};
    ZSTD_outBuffer to = {out, room, 0};
    size_t left = ZSTD_compressStream2(packer, &to, &from, directives[how]);
    if (ZSTD_isError(left) || from.pos < from.size || (how != WEIR_PACK_MORE && left != 0))
        return WEIR_EFAIL;
    return (long)to.pos;
}

typedef struct expander {
    ZSTD_DCtx *context;
    uint64_t taken; /* bytes of the frame */
    bool is_skippable;
} expander_t;

static void *zstd_expander_new(weir_error_t *err)
{
    expander_t *e = calloc(1, sizeof(*e));
    if (e != NULL && (e->context = ZSTD_createDCtx()) != NULL)
        return e;
    free(e);
    weir_error(err, "zstd: no memory for a context");
    return NULL;
}

static void zstd_expander_free(void *expander)
{
    expander_t *e = expander;
    if (e == NULL)
        return;
    ZSTD_freeDCtx(e->context);
    free(e);
}

/* Frames of RFC 8878, and skippable ones. The library may know formats from before it, for which the bounds of this file do not hold. */
static bool is_frame(expander_t *e, weir_slice_t in)
{
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skippable[] = {0x50, 0x2a, 0x4d, 0x18};
    for (uint64_t at = e->taken; at < sizeof(frame) && at - e->taken < in.n; at++) {
        uint8_t byte = (uint8_t)in.p[at - e->taken];
        if (at == 0) {
            e->is_skippable = (byte & 0xf0) == skippable[0];
            byte = e->is_skippable ? skippable[0] : byte;
        }
        if (byte != (e->is_skippable ? skippable : frame)[at])
            return false;
    }
    return true;
}

static uint64_t zstd_expanded_size(weir_slice_t payload)
{
    unsigned long long size = ZSTD_getFrameContentSize(payload.p, payload.n);
    return size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ? 0 : size;
}

/* The window is memory that a frame's head asks for before a byte has come of it. */
static int zstd_expand_begin(void *expander, size_t limit)
{
    int window_log = WINDOW_LOG_MIN;
    while (window_log < WINDOW_LOG_MAX && (size_t)1 << window_log < limit)
        window_log++;
    expander_t *e = expander;
    e->taken = 0;
    size_t rc = ZSTD_DCtx_reset(e->context, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc))
        rc = ZSTD_DCtx_setParameter(e->context, ZSTD_d_windowLogMax, window_log);
    return ZSTD_isError(rc) ? WEIR_EFAIL : WEIR_OK;
}

static int zstd_expand(void *expander, weir_slice_t *in, char *out, size_t room, size_t *filled, weir_error_t *err)
{
    expander_t *e = expander;
    ZSTD_inBuffer from = {in->p, in->n, 0};
    ZSTD_outBuffer to = {out, room, 0};
    if (!is_frame(e, *in))
        return weir_error(err, "zstd: no frame begins like this");
    size_t hint = ZSTD_decompressStream(e->context, &to, &from);
    if (ZSTD_isError(hint))
        return weir_error(err, "zstd: %s", ZSTD_getErrorName(hint));
    in->p += from.pos;
    in->n -= from.pos;
    *filled += to.pos;
    e->taken = hint == 0 ? 0 : e->taken + from.pos;
    return hint == 0 ? WEIR_OK : WEIR_EAGAIN;
}

static const weir_codec_t zstd = {
    .name = "zstd",
    .magic = {"\x28\xb5\x2f\xfd", 4},
    .coding = {"zstd", 4},
    .level_min = -7,
    .level_max = 19,
    .level_default = 1,
    .packer_new = zstd_packer_new,
    .packer_free = zstd_packer_free,
    .packed_bound = zstd_packed_bound,
    .pack_begin = zstd_pack_begin,
    .pack = zstd_pack,
    .expander_new = zstd_expander_new,
    .expander_free = zstd_expander_free,
    .expanded_size = zstd_expanded_size,
    .expand_begin = zstd_expand_begin,
    .expand = zstd_expand,
    .packer_new_small = zstd_packer_new_small,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "codec_zstd",
    .doc = "the codec zstd",
    .codec = &zstd,
};
