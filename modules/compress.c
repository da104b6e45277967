/* compress.c: payloads are packed by a codec before they are framed, when that makes them smaller.
 *
 * `adaptive` goes between three steps by what packing costs: nothing, the codec of the configuration, the denser one. The share of
 * the process's time that goes into packing is looked at every WINDOW_MS; beyond `budget` it goes a step down, and a step up when the
 * next one would stay within it. A lane whose payloads hardly get smaller is let alone for a while that doubles each time.
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
} compress_options_t;

/* A codec with its one context, which serves all lanes of this instance: frames do not depend on each other. */
typedef struct packer {
    const weir_codec_t *codec;
    void *context;
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

static int packer_make(const weir_host_t *host, packer_t *packer, const char *name, int64_t level, weir_error_t *err)
{
    const weir_codec_t *codec = host->codec(name);
    if (codec == NULL)
        return weir_error(err, "there is no codec %s; is codec_%s in `modules:`?", name, name);
    if (level != 0 && (level < codec->level_min || level > codec->level_max))
        return weir_error(err, "level %lld: %s has levels from %d to %d", (long long)level, name, codec->level_min,
                          codec->level_max);
    packer->context = codec->packer_new(level == 0 ? codec->level_default : (int)level, err);
    if (packer->context == NULL)
        return WEIR_EFAIL;
    packer->codec = codec;
    return WEIR_OK;
}

/* The denser codec is a wish: without it there is one step less. */
static int compress_packers(compress_t *c, weir_error_t *err)
{
    if (packer_make(c->host, &c->packers[STEP_CODEC], c->options.codec, c->options.level, err) != WEIR_OK)
        return WEIR_EFAIL;
    c->step = c->highest = STEP_CODEC;
    if (!c->options.is_adaptive || c->host->codec(c->options.dense) == NULL ||
        c->host->codec(c->options.dense) == c->packers[STEP_CODEC].codec)
        return WEIR_OK;
    c->highest = STEP_DENSE;
    return packer_make(c->host, &c->packers[STEP_DENSE], c->options.dense, 0, err);
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
    if (step == STEP_NONE || !scratch_make(c, packer->codec->packed_bound(bytes)))
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

#define AT(member) offsetof(compress_options_t, member)

static const weir_option_t options[] = {
    {.name = "codec",
     .type = WEIR_TYPE_STRING,
     .offset = AT(codec),
     .fallback = "lz4",
     .doc = "the codec: lz4, zstd, gzip, or one of a module of your own; its module must be loaded"},
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
     .doc = "smaller payloads are sent as they are"},
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
    {.name = NULL},
};

static const weir_link_module_t compress_link = {
    .flags = WEIR_LINK_PACKS,
    .state_size = sizeof(compress_lane_t),
    .create = compress_create,
    .destroy = compress_destroy,
    .pack = compress_pack,
    .status = compress_status,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "compress",
    .doc = "frames are sent compressed where that makes them smaller",
    .options = options,
    .options_size = sizeof(compress_options_t),
    .link = &compress_link,
    .figures = figures,
};
