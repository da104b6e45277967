/* fuzz_coding.c: what a peer of HTTP says of codings, and bodies that come in one. The first byte chooses:
 *
 *   0       the rest is an Accept-Encoding: what is chosen is a coding that is taken, and nobody is told twice what he did not say
 *   others  a body in a coding, given in pieces of so many bytes: it says the same as when it is given whole, or is broken; a whole body
 *           that codec_expand() takes is taken in pieces too
 */
#include "fuzz.h"

#include <dlfcn.h>

#include "buf.h"
#include "codec.h"
#include "coding.h"
#include "decode.h"
#include "host.h"
#include "lane.h"
#include "modules.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

#define LIMIT (256u << 10)

static const char *const names[] = {"codec_gzip", "codec_lz4", "codec_zstd"};
static lane_chain_t chain;
static stats_lanes_t stats;

static void load(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "build/modules/%s.so", name);
    void *handle = dlopen(file, RTLD_NOW);
    module_t *module = calloc(1, sizeof(*module));
    FUZZ_CHECK(handle != NULL && module != NULL);
    module->desc = dlsym(handle, "weir_module");
    module->next = proc->modules->first;
    proc->modules->first = module;
}

static void setup(void)
{
    static proc_t context;
    if (proc != NULL)
        return;
    proc = &context;
    proc->kind = PROC_WORKER;
    proc->timers = timers_new(NULL);
    proc->bufs = bufs_new(0);
    proc->modules = modules_new();
    proc->host = host_table();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        load(names[i]);
    chain = (lane_chain_t){.stats = &stats, .codings = {.count = 2, .min_size = 1, .max_open = 1}};
    chain.codings.items[0] = (weir_coding_t){codec_named("gzip"), 6};
    chain.codings.items[1] = (weir_coding_t){codec_named("zstd"), 1};
}

/* ---- Accept-Encoding ---- */

static void choose(const char *p, size_t n)
{
    static weir_head_t head;
    char *value = fuzz_copy(p, n);
    bool is_needed = false;
    memset(&head, 0, sizeof(head));
    for (size_t i = 0; i < WEIR_FIELDS_KNOWN; i++)
        head.known[i] = -1;
    head.known[WEIR_FIELD_ACCEPT_ENCODING] = 0;
    head.nfields = 1;
    head.fields[0] =
        (weir_field_t){WEIR_LIT("Accept-Encoding"), weir_slice_trim(weir_slice(value, n)), WEIR_FIELD_ACCEPT_ENCODING};
    const weir_coding_t *coding = coding_choose(&chain.codings, &head, &is_needed);
    FUZZ_CHECK(coding == NULL || coding_is_taken(&head, coding->codec->coding));
    FUZZ_CHECK(coding != NULL || !is_needed);
    FUZZ_CHECK(!is_needed || !coding_is_taken(&head, WEIR_LIT("identity")));
    fuzz_free(value, n);
}

/* ---- bodies ---- */

typedef struct said {
    char bytes[LIMIT + 1];
    size_t n;
} said_t;

static int on_piece(void *owner, const weir_chunk_t *piece)
{
    said_t *said = owner;
    if (piece->bytes.n > sizeof(said->bytes) - said->n)
        return WEIR_ECLOSED;
    memcpy(said->bytes + said->n, piece->bytes.p, piece->bytes.n);
    said->n += piece->bytes.n;
    return WEIR_OK;
}

static bool unpack(const weir_codec_t *codec, const char *p, size_t n, size_t step, said_t *said)
{
    decoder_t *decoder = decode_new(codec, LIMIT);
    int rc = WEIR_OK;
    weir_error_t err;
    said->n = 0;
    for (size_t at = 0; at < n && rc == WEIR_OK; at += step) {
        size_t some = n - at < step ? n - at : step;
        char *piece = fuzz_copy(p + at, some);
        weir_chunk_t chunk = {.bytes = weir_slice(piece, some)};
        rc = decode_bytes(decoder, &chunk, 1, on_piece, said, &err);
        fuzz_free(piece, some);
    }
    bool is_whole = rc == WEIR_OK && decode_end(decoder, &err) == WEIR_OK;
    decode_free(decoder);
    return is_whole;
}

static void read_body(const char *p, size_t n, size_t step)
{
    static said_t whole, pieces;
    for (uint32_t c = 0; c < chain.codings.count; c++) {
        const weir_codec_t *codec = chain.codings.items[c].codec;
        bool is_whole = unpack(codec, p, n, n == 0 ? 1 : n, &whole);
        bool is_whole_in_pieces = unpack(codec, p, n, step, &pieces);
        if (is_whole) /* given at a time, and so bounded at a time, is less of it in pieces */
            FUZZ_CHECK(is_whole_in_pieces);
        size_t same = whole.n < pieces.n ? whole.n : pieces.n;
        FUZZ_CHECK(memcmp(whole.bytes, pieces.bytes, same) == 0);
        FUZZ_CHECK(!is_whole || whole.n == pieces.n);
        weir_chunk_t plain = {.buf = NULL};
        if (decode(&chain.codings, codec, weir_slice(p, n), LIMIT, &plain, NULL) == WEIR_OK) {
            FUZZ_CHECK(is_whole && plain.bytes.n == whole.n && memcmp(plain.bytes.p, whole.bytes, whole.n) == 0);
            buf_unref(plain.buf);
        }
    }
}

static void fuzz_one(const char *p, size_t n)
{
    setup();
    if (n == 0)
        return;
    if (p[0] == 0)
        choose(p + 1, n - 1);
    else
        read_body(p + 1, n - 1, (unsigned char)p[0]);
}
