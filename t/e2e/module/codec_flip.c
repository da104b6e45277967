/* codec_flip.c: a codec of a third party, which makes nothing smaller: every bit is turned over. A frame is "FLIP", then pieces, each
 * with its length before it in two bytes; a length of 0 ends it.
 */
#include <weir/module.h>

#include <stdlib.h>

#define PIECE_MAX 65535
#define MARK "FLIP"
#define MARK_SIZE 4

typedef struct packer {
    bool is_begun;
} packer_t;

typedef struct expander {
    size_t at; /* bytes of the mark, then of a length, that have been read */
    size_t left;
    bool is_marked;
} expander_t;

static void *flip_packer_new(int level, weir_error_t *err)
{
    (void)level;
    packer_t *packer = calloc(1, sizeof(*packer));
    if (packer == NULL)
        weir_error(err, "flip: no memory for a context");
    return packer;
}

static void *flip_expander_new(weir_error_t *err)
{
    expander_t *expander = calloc(1, sizeof(*expander));
    if (expander == NULL)
        weir_error(err, "flip: no memory for a context");
    return expander;
}

/* A length for each piece that is given, and for each one that is too long for it. */
static size_t flip_packed_bound(size_t n)
{
    return MARK_SIZE + n + 2 * (n / PIECE_MAX) + 2 * (WEIR_PACK_PIECES + 2);
}

static int flip_pack_begin(void *context, uint64_t size)
{
    packer_t *packer = context;
    (void)size;
    packer->is_begun = false;
    return WEIR_OK;
}

static char *put_length(char *p, size_t n)
{
    *p++ = (char)(n >> 8);
    *p++ = (char)n;
    return p;
}

static long flip_pack(void *context, weir_slice_t in, weir_pack_t how, char *out, size_t room)
{
    packer_t *packer = context;
    char *p = out;
    if (room < flip_packed_bound(in.n))
        return WEIR_EFAIL;
    if (!packer->is_begun) {
        memcpy(p, MARK, MARK_SIZE);
        p += MARK_SIZE;
        packer->is_begun = true;
    }
    while (in.n > 0) {
        size_t n = in.n < PIECE_MAX ? in.n : PIECE_MAX;
        p = put_length(p, n);
        for (size_t i = 0; i < n; i++)
            *p++ = (char)~in.p[i];
        in = weir_slice(in.p + n, in.n - n);
    }
    if (how == WEIR_PACK_END)
        p = put_length(p, 0);
    return p - out;
}

static uint64_t flip_expanded_size(weir_slice_t payload)
{
    (void)payload;
    return 0;
}

static int flip_expand_begin(void *context, size_t limit)
{
    (void)limit;
    *(expander_t *)context = (expander_t){0};
    return WEIR_OK;
}

/* WEIR_OK: the length that ends a frame. */
static int flip_byte(expander_t *e, unsigned char byte, weir_error_t *err)
{
    if (!e->is_marked) {
        if (byte != (unsigned char)MARK[e->at])
            return weir_error(err, "flip: that is no frame");
        e->is_marked = ++e->at == MARK_SIZE;
        e->at = e->is_marked ? 0 : e->at;
        return WEIR_EAGAIN;
    }
    e->left = e->left << 8 | byte;
    if (++e->at < 2)
        return WEIR_EAGAIN;
    e->at = 0;
    return e->left == 0 ? WEIR_OK : WEIR_EAGAIN;
}

static int flip_expand(void *context, weir_slice_t *in, char *out, size_t room, size_t *filled, weir_error_t *err)
{
    expander_t *e = context;
    size_t n = 0;
    while (in->n > 0) {
        bool is_data = e->is_marked && e->at == 0 && e->left > 0;
        if (is_data && n == room)
            break;
        unsigned char byte = (unsigned char)*in->p++;
        in->n--;
        if (is_data) {
            out[n++] = (char)~byte;
            e->left--;
            continue;
        }
        int rc = flip_byte(e, byte, err);
        if (rc != WEIR_EAGAIN) {
            *filled += n;
            return rc;
        }
    }
    *filled += n;
    return WEIR_EAGAIN;
}

static const weir_codec_t flip = {
    .name = "flip",
    .magic = {MARK, MARK_SIZE},
    .coding = {"flip", 4},
    .level_min = 1,
    .level_max = 1,
    .level_default = 1,
    .packer_new = flip_packer_new,
    .packer_free = free,
    .packed_bound = flip_packed_bound,
    .pack_begin = flip_pack_begin,
    .pack = flip_pack,
    .expander_new = flip_expander_new,
    .expander_free = free,
    .expanded_size = flip_expanded_size,
    .expand_begin = flip_expand_begin,
    .expand = flip_expand,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "codec_flip",
    .doc = "the codec flip, which hides little and saves nothing",
    .codec = &flip,
};
