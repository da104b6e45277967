/* compress.c: payloads are packed by a codec before they are framed, when that makes them smaller.
 *
 * `adaptive` goes between three steps by what packing costs: nothing, the codec of the configuration, the denser one. The share of
 * the process's time that goes into packing is looked at every WINDOW_MS; beyond `budget` it goes a step down, and a step up when the
 * next one would stay within it. A lane whose payloads hardly get smaller is let alone for a while that doubles each time.
 *
 * Of HTTP whole bodies are packed: there the module only says which content codings are offered, and the peer chooses.
 */
#include <weir/module.h>

#include <stdlib.h>
#include <time.h>

#define WINDOW_MS 100
/* What the dense codec is taken to cost, in the other's time, until it has been seen. */
#define DENSE_COST 4
/* Less saved than one part in this many is not worth the reader's time. */
#define WORTH 10
/* So many payloads are let alone after those that hardly got smaller, at most. */
#define IDLE_MAX 64
/* Scratch memory beyond this is given back. */
#define SCRATCH_KEPT (1u << 20)

typedef struct compress_options {
    const char *codec, *dense;
    int64_t level;
    uint64_t min_size;
    bool is_adaptive;
    double budget;
    weir_strings_t codings;
    int64_t max_open;
} compress_options_t;

/* A codec with its one context, which serves all lanes of this instance: frames do not depend on each other. */
typedef struct packer {
    const weir_codec_t *codec;
    void *context;
    int level;
    double ns_per_byte; /* lately */
} packer_t;

typedef enum step { STEP_NONE, STEP_CODEC, STEP_DENSE, STEPS } step_t;

/* In shared memory. The steps' are in the order of step_t. */
enum {
    GAUGE_AT_STEP, /* processes */
    GAUGES = STEPS,
    COUNT_BY_STEP = GAUGES, /* payloads */
    COUNT_IN_VAIN = COUNT_BY_STEP + STEPS,
    COUNTERS,
};

typedef struct compress {
    const weir_host_t *host;
    compress_options_t options;
    packer_t packers[STEPS]; /* of STEP_NONE: nothing */
    step_t step, highest;
    char *scratch;
    size_t scratch_size;
    uint64_t window_ms;       /* when it began */
    uint64_t spent_ns, bytes; /* in it */
    weir_counters_t counters;
    int64_t own[COUNTERS];
    bool is_at_work; /* it has packed something, and so counts as being at its step */
} compress_t;

typedef struct compress_lane {
    uint16_t idle, next_idle; /* payloads to let alone, and the next time */
} compress_lane_t;

/* Of this thread alone: on a busy machine packing does not cost what others take meanwhile. */
static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the instance ---- */

static void compress_destroy(void *self)
{
    compress_t *c = self;
    if (c->is_at_work)
        c->counters.mine[GAUGE_AT_STEP + (int)c->step]--;
    for (size_t i = STEP_CODEC; i < STEPS; i++)
        if (c->packers[i].codec != NULL)
            c->packers[i].codec->packer_free(c->packers[i].context);
    free(c->scratch);
    free(c);
}

static int level_check(const weir_codec_t *codec, int64_t level, weir_error_t *err)
{
    if (level == 0 || (level >= codec->level_min && level <= codec->level_max))
        return WEIR_OK;
    return weir_error(err, "level %lld: %s has levels from %d to %d", (long long)level, codec->name, codec->level_min,
                      codec->level_max);
}

static int level_of(const weir_codec_t *codec, int64_t level)
{
    return level == 0 ? codec->level_default : (int)level;
}

/* The one that is named; lz4 where none is, or else one that is there. */
static const weir_codec_t *codec_find(const weir_host_t *host, const char *name, weir_error_t *err)
{
    const weir_codec_t *codec = host->codec(name == NULL ? "lz4" : name);
    if (codec == NULL && name == NULL)
        codec = host->codec_at(0);
    if (codec == NULL && name == NULL)
        (void)weir_error(err, "no codec is loaded; add one to `modules:`: codec_lz4, codec_zstd, codec_gzip");
    else if (codec == NULL)
        (void)weir_error(err, "there is no codec %s; is codec_%s in `modules:`?", name, name);
    return codec;
}

/* Its context is made when there is something to pack. */
static bool packer_ready(packer_t *packer)
{
    if (packer->context == NULL)
        packer->context = packer->codec->packer_new(packer->level, NULL);
    return packer->context != NULL;
}

/* The denser codec is a wish: without it there is one step less. */
static int compress_packers(compress_t *c, weir_error_t *err)
{
    const weir_codec_t *codec = codec_find(c->host, c->options.codec, err), *dense = c->host->codec(c->options.dense);
    if (codec == NULL || level_check(codec, c->options.level, err) != WEIR_OK)
        return WEIR_EFAIL;
    c->packers[STEP_CODEC] = (packer_t){.codec = codec, .level = level_of(codec, c->options.level)};
    c->step = c->highest = STEP_CODEC;
    if (!c->options.is_adaptive || dense == NULL || dense == codec)
        return WEIR_OK;
    c->highest = STEP_DENSE;
    c->packers[STEP_DENSE] = (packer_t){.codec = dense, .level = dense->level_default};
    return WEIR_OK;
}

static void *compress_create(const weir_host_t *host, const char *where, const void *options, weir_error_t *err)
{
    compress_t *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)weir_error(err, "no memory");
        return NULL;
    }
    c->host = host;
    c->options = *(const compress_options_t *)options;
    c->window_ms = host->now_ms();
    if (host->link_counters(&c->counters, c->own, where, "compress", GAUGES, COUNTERS - GAUGES, err) == WEIR_OK &&
        compress_packers(c, err) == WEIR_OK)
        return c;
    compress_destroy(c);
    return NULL;
}

/* ---- what packing costs ---- */

/* What all that passed in this window would have cost at a step. */
static double step_cost(const compress_t *c, step_t step)
{
    double ns_per_byte = c->packers[step].ns_per_byte;
    if (step == STEP_DENSE && ns_per_byte == 0)
        ns_per_byte = DENSE_COST * c->packers[STEP_CODEC].ns_per_byte;
    return ns_per_byte * (double)c->bytes;
}

static void compress_step(compress_t *c, int change)
{
    int64_t *at = c->counters.mine + GAUGE_AT_STEP;
    at[c->step] -= c->is_at_work;
    c->step = (step_t)((int)c->step + change);
    c->is_at_work = true;
    at[c->step]++;
}

static void compress_adapt(compress_t *c)
{
    uint64_t now = c->host->now_ms(), elapsed = now - c->window_ms;
    if (elapsed < WINDOW_MS)
        return;
    double allowed = c->options.budget * (double)elapsed * 1e6;
    if ((double)c->spent_ns > allowed && c->step > STEP_NONE)
        compress_step(c, -1);
    else if (c->step < c->highest && step_cost(c, c->step + 1) < allowed / 2)
        compress_step(c, 1);
    c->window_ms = now;
    c->spent_ns = c->bytes = 0;
}

static void packer_cost(packer_t *packer, uint64_t ns, size_t bytes)
{
    double now = (double)ns / (double)bytes;
    packer->ns_per_byte = packer->ns_per_byte == 0 ? now : (7 * packer->ns_per_byte + now) / 8;
}

/* A lane that was let alone is tried again; one that pays is not let alone any more. */
static void lane_learn(compress_lane_t *lane, size_t bytes, size_t packed)
{
    if (packed < bytes - bytes / WORTH) {
        lane->next_idle = 0;
        return;
    }
    lane->next_idle = (uint16_t)(lane->next_idle == 0         ? 1
                                 : lane->next_idle < IDLE_MAX ? 2 * lane->next_idle
                                                              : IDLE_MAX);
    lane->idle = lane->next_idle;
}

static step_t compress_choose(compress_t *c, compress_lane_t *lane, size_t bytes)
{
    if (bytes < c->options.min_size)
        return STEP_NONE;
    if (!c->options.is_adaptive)
        return STEP_CODEC;
    compress_adapt(c);
    c->bytes += bytes;
    if (lane->idle > 0) {
        lane->idle--;
        return STEP_NONE;
    }
    return c->step == STEP_DENSE && bytes < 4 * c->options.min_size ? STEP_CODEC : c->step;
}

/* ---- packing ---- */

static bool scratch_make(compress_t *c, size_t size)
{
    if (size <= c->scratch_size)
        return true;
    free(c->scratch);
    c->scratch = malloc(size);
    c->scratch_size = c->scratch == NULL ? 0 : size;
    return c->scratch != NULL;
}

static long packer_run(const packer_t *packer, const weir_chunk_t *chunks, size_t n, size_t bytes, char *out,
                       size_t room)
{
    const weir_codec_t *codec = packer->codec;
    size_t at = 0;
    if (codec->pack_begin(packer->context, bytes) != WEIR_OK)
        return WEIR_EFAIL;
    for (size_t i = 0; i < n; i++) {
        long wrote = codec->pack(packer->context, chunks[i].bytes, i + 1 == n ? WEIR_PACK_END : WEIR_PACK_MORE,
                                 out + at, room - at);
        if (wrote < 0)
            return wrote;
        at += (size_t)wrote;
    }
    return (long)at;
}

static void compress_pack(void *self, void *state, const weir_chunk_t *chunks, size_t n, size_t bytes,
                          weir_chunk_t *packed)
{
    compress_t *c = self;
    compress_lane_t *lane = state;
    if (c->scratch_size > SCRATCH_KEPT) { /* what it held has been written */
        free(c->scratch);
        c->scratch = NULL;
        c->scratch_size = 0;
    }
    if (!c->is_at_work)
        compress_step(c, 0);
    step_t step = compress_choose(c, lane, bytes);
    packer_t *packer = &c->packers[step];
    c->counters.mine[COUNT_BY_STEP + (int)step]++;
    if (step == STEP_NONE || !packer_ready(packer) || !scratch_make(c, packer->codec->packed_bound(bytes)))
        return;
    uint64_t begun = c->options.is_adaptive ? clock_ns() : 0;
    long size = packer_run(packer, chunks, n, bytes, c->scratch, c->scratch_size);
    if (c->options.is_adaptive) {
        uint64_t ns = clock_ns() - begun;
        c->spent_ns += ns;
        packer_cost(packer, ns, bytes);
        lane_learn(lane, bytes, size < 0 ? bytes : (size_t)size);
    }
    if (size > 0 && (size_t)size < bytes)
        packed->bytes = weir_slice(c->scratch, (size_t)size);
    c->counters.mine[COUNT_IN_VAIN] += size <= 0 || (size_t)size >= bytes;
}

static void compress_status(void *self, weir_status_t *status)
{
    const compress_t *c = self;
    int64_t sum[COUNTERS];
    c->host->counters_sum(&c->counters, sum);
    status->number(status, "let_alone", (double)sum[COUNT_BY_STEP + STEP_NONE]);
    status->number(status, "by_codec", (double)sum[COUNT_BY_STEP + STEP_CODEC]);
    status->number(status, "by_dense", (double)sum[COUNT_BY_STEP + STEP_DENSE]);
    status->number(status, "in_vain", (double)sum[COUNT_IN_VAIN]);
    status->enter(status, "processes");
    status->number(status, "none", (double)sum[GAUGE_AT_STEP + STEP_NONE]);
    status->number(status, "codec", (double)sum[GAUGE_AT_STEP + STEP_CODEC]);
    status->number(status, "dense", (double)sum[GAUGE_AT_STEP + STEP_DENSE]);
    status->leave(status);
}

static const weir_figure_t figures[] = {
    WEIR_COUNTER("let_alone", "Payloads that no codec was tried on"),
    WEIR_COUNTER("by_codec", "Payloads that `codec` was tried on"),
    WEIR_COUNTER("by_dense", "Payloads that `dense` was tried on"),
    WEIR_COUNTER("in_vain", "Of them, those that got no smaller, and were sent as they are"),
    {.path = "processes/{step}",
     .metric = "processes",
     .doc = "Processes that pack with nothing, with `codec`, with `dense` for now"},
    {.path = NULL},
};

/* ---- HTTP ---- */

static void coding_add(const compress_t *c, weir_codings_t *codings, const weir_codec_t *codec)
{
    if (codec == NULL || codec->coding.n == 0 || codings->count == WEIR_CODINGS_MAX)
        return;
    for (uint32_t i = 0; i < codings->count; i++)
        if (codings->items[i].codec == codec)
            return;
    bool is_leveled = codec == c->packers[STEP_CODEC].codec;
    codings->items[codings->count++] =
        (weir_coding_t){codec, is_leveled ? c->packers[STEP_CODEC].level : codec->level_default};
}

/* As they are named, or the best of those that are loaded first. */
static int codings_add(const compress_t *c, weir_codings_t *codings, weir_error_t *err)
{
    const weir_codec_t *codec;
    if (c->options.codec != NULL && c->packers[STEP_CODEC].codec->coding.n == 0)
        return weir_error(err, "codec: %s is no content coding of HTTP; zstd and gzip are", c->options.codec);
    for (size_t i = 0; i < c->options.codings.count; i++) {
        const char *name = c->options.codings.items[i];
        codec = c->host->coding_of(weir_slice_str(name));
        if (codec == NULL)
            return weir_error(err, "codings: no codec that is loaded has the content coding %s", name);
        coding_add(c, codings, codec);
    }
    if (c->options.codings.count > 0)
        return WEIR_OK;
    coding_add(c, codings, c->packers[STEP_CODEC].codec);
    coding_add(c, codings, c->host->codec("zstd"));
    for (uint32_t i = 0; (codec = c->host->codec_at(i)) != NULL; i++)
        coding_add(c, codings, codec);
    return WEIR_OK;
}

static int compress_codings(void *self, weir_codings_t *codings, weir_error_t *err)
{
    const compress_t *c = self;
    *codings = (weir_codings_t){.min_size = c->options.min_size, .max_open = (uint32_t)c->options.max_open};
    if (c->options.is_adaptive)
        return weir_error(err, "adaptive: on HTTP the peer chooses, by Accept-Encoding");
    if (codings_add(c, codings, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (codings->count == 0)
        return weir_error(err, "no codec with a content coding of HTTP is loaded; add codec_gzip or codec_zstd to "
                               "`modules:`");
    return WEIR_OK;
}

#define AT(member) offsetof(compress_options_t, member)

static const weir_option_t options[] = {
    {.name = "codec",
     .type = WEIR_TYPE_STRING,
     .offset = AT(codec),
     .doc = "lz4, zstd, gzip, or one of a module of your own, which must be loaded; absent: lz4 when it is. On HTTP: "
            "the content coding that is preferred"},
    {.name = "level",
     .type = WEIR_TYPE_INT,
     .offset = AT(level),
     .fallback = "0",
     .min = -1000,
     .max = 1000,
     .doc = "as the codec counts; 0: its own default"},
    {.name = "min_size",
     .type = WEIR_TYPE_SIZE,
     .offset = AT(min_size),
     .fallback = "1KiB",
     .min = 1,
     .max = 1073741824,
     .doc = "smaller payloads, and bodies of HTTP, are sent as they are"},
    {.name = "adaptive",
     .type = WEIR_TYPE_BOOL,
     .offset = AT(is_adaptive),
     .fallback = "false",
     .doc =
         "choose for each payload between nothing, codec and dense: by its size, what packing saves and what it costs"},
    {.name = "dense",
     .type = WEIR_TYPE_STRING,
     .offset = AT(dense),
     .fallback = "zstd",
     .doc = "adaptive: the codec to use while there is time for it; not loaded: there is none"},
    {.name = "budget",
     .type = WEIR_TYPE_RATIO,
     .offset = AT(budget),
     .fallback = "0.2",
     .min = 0.001,
     .max = 1,
     .doc = "adaptive: the share of a process's time that packing may take"},
    {.name = "codings",
     .type = WEIR_TYPE_STRINGS,
     .offset = AT(codings),
     .doc =
         "HTTP: the content codings that are offered, the best first; absent: codec's, then those of all codecs that "
         "are loaded"},
    {.name = "max_open",
     .type = WEIR_TYPE_INT,
     .offset = AT(max_open),
     .fallback = "256",
     .min = 1,
     .max = 1000000,
     .doc =
         "HTTP: bodies, event streams above all, that each process packs at a time; more of them are sent as they are"},
    {.name = NULL},
};

static const weir_link_module_t compress_link = {
    .flags = WEIR_LINK_PACKS | WEIR_LINK_ENCODES,
    .state_size = sizeof(compress_lane_t),
    .create = compress_create,
    .destroy = compress_destroy,
    .pack = compress_pack,
    .status = compress_status,
    .codings = compress_codings,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "compress",
    .doc = "frames are sent compressed where that makes them smaller, bodies of HTTP to whoever takes them so",
    .options = options,
    .options_size = sizeof(compress_options_t),
    .link = &compress_link,
    .figures = figures,
};
