/* tcp_compression.c: what compress makes of batches of real MCP messages, and how fast, against the codec's library called directly.
 *
 * Messages of bench/corpus/ are shuffled, again and again, and joined to payloads of up to 64 KiB. Three ways take turns on the same
 * payloads, in one process and on one thread:
 *
 *   directly   the library's own call, its context reused, from one buffer into another
 *   compress   a lane whose chain is [compress]: the payload is handed in as one message
 *   batch      a lane whose chain is [batch, compress]: message by message, joined by the lane
 *
 * The frames of the lanes are counted and dropped: there is no socket here.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <ev.h>
#include <lz4.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "buf.h"
#include "host.h"
#include "lane.h"
#include "modules.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

#define PAYLOAD 65536u
#define SHUFFLES 40
#define ROUNDS 15
#define MESSAGES_MAX 65536

static void die(const char *what)
{
    fprintf(stderr, "tcp_compression: %s\n", what);
    exit(1);
}

/* ---- messages and payloads ---- */

static weir_slice_t messages[MESSAGES_MAX];
static size_t nmessages;

static struct payload {
    char *bytes;
    size_t n, first, count; /* its messages, in `order` */
} payloads[4096];
static size_t npayloads;
static uint32_t order[MESSAGES_MAX];
static size_t norder;

static void read_file(const char *name)
{
    char path[512], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "bench/corpus/%s", name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        die("run it from the root of the tree");
    for (ssize_t n; (n = getline(&line, &size, f)) > 0 && nmessages < MESSAGES_MAX;) {
        n -= line[n - 1] == '\n';
        messages[nmessages++] = weir_slice(strndup(line, (size_t)n), (size_t)n);
    }
    free(line);
    fclose(f);
}

static void read_corpus(void)
{
    struct dirent **names;
    int n = scandir("bench/corpus", &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        if (dot != NULL && strcmp(dot, ".jsonl") == 0)
            read_file(names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (nmessages == 0)
        die("bench/corpus has no messages");
}

static uint32_t number(uint32_t below)
{
    static uint32_t seed = 2463534242u;
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static void payload_add(struct payload *p, uint32_t i)
{
    if (p->count++ > 0)
        p->bytes[p->n++] = '\n';
    memcpy(p->bytes + p->n, messages[i].p, messages[i].n);
    p->n += messages[i].n;
}

static struct payload *payload_new(size_t first)
{
    struct payload *p = &payloads[npayloads++];
    *p = (struct payload){.bytes = malloc(2 * PAYLOAD), .first = first};
    return p;
}

/* A message that fills a payload by itself is left out: batches are what is looked at. */
static void payloads_make(void)
{
    struct payload *p = payload_new(0);
    for (int shuffle = 0; shuffle < SHUFFLES; shuffle++) {
        uint32_t deck[MESSAGES_MAX];
        for (uint32_t i = 0; i < nmessages; i++)
            deck[i] = i;
        for (uint32_t i = (uint32_t)nmessages; i > 1; i--) {
            uint32_t k = number(i), t = deck[k];
            deck[k] = deck[i - 1];
            deck[i - 1] = t;
        }
        for (uint32_t i = 0; i < nmessages && norder < MESSAGES_MAX; i++) {
            if (messages[deck[i]].n >= PAYLOAD / 2)
                continue;
            if (p->n + messages[deck[i]].n + WEIR_JOIN_MAX > PAYLOAD)
                p = payload_new(norder);
            payload_add(p, deck[i]);
            order[norder++] = deck[i];
        }
    }
    npayloads--; /* the last one is not full */
}

/* ---- the ways ---- */

static char out[4 * PAYLOAD];
static uint64_t sent;
static weir_lane_t *lane;

static int on_frame(void *owner, const weir_chunk_t *chunks, size_t n)
{
    (void)owner;
    for (size_t i = 0; i < n; i++)
        sent += chunks[i].bytes.n;
    return WEIR_OK;
}

static void lz4_block(void)
{
    for (size_t i = 0; i < npayloads; i++)
        sent += (uint64_t)LZ4_compress_default(payloads[i].bytes, out, (int)payloads[i].n, sizeof(out));
}

static void lz4_frame(void)
{
    for (size_t i = 0; i < npayloads; i++)
        sent += LZ4F_compressFrame(out, sizeof(out), payloads[i].bytes, payloads[i].n, NULL);
}

static ZSTD_CCtx *zstd;

static void zstd_1(void)
{
    for (size_t i = 0; i < npayloads; i++)
        sent += ZSTD_compressCCtx(zstd, out, sizeof(out), payloads[i].bytes, payloads[i].n, 1);
}

static z_stream deflater;

static void gzip_6(void)
{
    for (size_t i = 0; i < npayloads; i++) {
        deflateReset(&deflater);
        deflater.next_in = (Bytef *)payloads[i].bytes;
        deflater.avail_in = (uInt)payloads[i].n;
        deflater.next_out = (Bytef *)out;
        deflater.avail_out = sizeof(out);
        deflate(&deflater, Z_FINISH);
        sent += deflater.total_out;
    }
}

static void lane_payloads(void)
{
    for (size_t i = 0; i < npayloads; i++) {
        weir_chunk_t part = {.bytes = weir_slice(payloads[i].bytes, payloads[i].n)};
        (void)lane_write(lane, &part, 1, 0);
    }
}

static void lane_messages(void)
{
    for (size_t i = 0; i < npayloads; i++) {
        for (size_t k = 0; k < payloads[i].count; k++) {
            weir_chunk_t part = {.bytes = messages[order[payloads[i].first + k]]};
            (void)lane_write(lane, &part, 1, 0);
        }
        (void)lane_flush(lane, WEIR_FLUSH_EXPLICIT);
    }
}

/* ---- lanes ---- */

static struct {
    lane_chain_t chain;
    lane_module_t modules[2];
    stats_lanes_t stats;
} lanes;

static const weir_module_t *load(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "build/modules/%s.so", name);
    void *handle = dlopen(file, RTLD_NOW);
    module_t *module = calloc(1, sizeof(*module));
    if (handle == NULL || module == NULL)
        die(dlerror());
    module->desc = dlsym(handle, "weir_module");
    module->next = proc->modules->first;
    proc->modules->first = module;
    return module->desc;
}

static void lanes_add(const weir_module_t *module, const void *options)
{
    weir_error_t err = {""};
    lane_module_t *item = &lanes.modules[lanes.chain.nmodules++];
    *item = (lane_module_t){.module = module, .ops = module->link, .state_offset = lanes.chain.state_size};
    item->self = module->link->create(proc->host, "bench", options, &err);
    if (item->self == NULL)
        die(err.text);
    lanes.chain.state_size += (uint32_t)((module->link->state_size + 15) & ~(size_t)15);
    if (module->link->flags & WEIR_LINK_GATHERS)
        lanes.chain.gatherer = item;
}

/* The option structs of the two modules, as modules/batch.c and modules/compress.c have them. */
static void lanes_begin(const char *codec, int64_t level, bool is_gathering)
{
    struct {
        int64_t max_messages;
        uint64_t max_bytes, max_delay_ms;
        bool is_adaptive;
    } batch = {65536, 2 * PAYLOAD, 0, false};
    struct {
        const char *codec, *dense;
        int64_t level;
        uint64_t min_size;
        bool is_adaptive;
        double budget;
        weir_strings_t codings;
        int64_t max_open;
    } compress = {codec, "zstd", level, 1024, false, 0.2, {NULL, 0}, 1};
    memset(&lanes, 0, sizeof(lanes));
    lanes.chain.modules = lanes.modules;
    lanes.chain.stats = &lanes.stats;
    if (is_gathering)
        lanes_add(modules_find(proc->modules, "batch"), &batch);
    lanes_add(modules_find(proc->modules, "compress"), &compress);
    /* A payload that is handed in whole is no line: its newlines stay. */
    weir_join_t kind = is_gathering ? WEIR_JOIN_LINES : WEIR_JOIN_ARRAY;
    weir_lane_spec_t spec = {.joiner = joiner_of(kind), .max_message = 1 << 22, .frame = on_frame};
    lane = lane_new_on(&lanes.chain, &spec, NULL);
}

static void lanes_end(void)
{
    lane_free(lane);
    lane_chain_end(&lanes.chain);
}

/* ---- figures ---- */

static uint64_t total;

static double megabytes_per_s(void (*way)(void))
{
    struct timespec from, to;
    sent = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    way();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    return (double)total / s / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

/* The speeds are compared within each round, then the median is taken: a machine that slows down slows both sides. */
static void report(const char *what, const char *codec, int64_t level, bool is_gathering, void (*direct)(void),
                   const char *direct_name)
{
    double speeds[ROUNDS], directs[ROUNDS], against[ROUNDS];
    void (*way)(void) = is_gathering ? lane_messages : lane_payloads;
    lanes_begin(codec, level, is_gathering);
    (void)megabytes_per_s(way);
    double ratio = (double)total / (double)sent;
    (void)megabytes_per_s(direct);
    for (int i = 0; i < ROUNDS; i++) {
        speeds[i] = megabytes_per_s(way);
        directs[i] = megabytes_per_s(direct);
        against[i] = speeds[i] / directs[i];
    }
    double speed = median(speeds), usual = median(against);
    printf("| %s | %.2f : 1 | %.0f | %.0f (%s) | %.2f (%.2f … %.2f) |\n", what, ratio, speed, median(directs),
           direct_name, usual, against[0], against[ROUNDS - 1]);
    lanes_end();
}

static void setup(void)
{
    static proc_t context;
    static const char *const names[] = {"codec_lz4", "codec_zstd", "codec_gzip", "batch", "compress"};
    proc = &context;
    proc->kind = PROC_WORKER;
    proc->loop = ev_loop_new(EVFLAG_AUTO);
    proc->timers = timers_new(proc->loop);
    proc->bufs = bufs_new(16);
    proc->modules = modules_new();
    proc->host = host_table();
    zstd = ZSTD_createCCtx();
    if (proc->loop == NULL || proc->timers == NULL || proc->bufs == NULL || proc->modules == NULL || zstd == NULL ||
        deflateInit2(&deflater, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("no memory");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)load(names[i]);
}

int main(void)
{
    setup();
    read_corpus();
    payloads_make();
    size_t count = 0;
    for (size_t i = 0; i < npayloads; i++) {
        total += payloads[i].n;
        count += payloads[i].count;
    }
    printf("%zu batches of %.1f KiB and %.0f messages on average, from %zu different messages\n\n", npayloads,
           (double)total / (double)npayloads / 1024, (double)count / (double)npayloads, nmessages);
    printf("| | ratio | MB/s | directly, MB/s | against it |\n|---|---|---|---|---|\n");
    report("compress, lz4", "lz4", 0, false, lz4_frame, "LZ4F_compressFrame");
    report("compress, lz4", "lz4", 0, false, lz4_block, "LZ4_compress_default");
    report("batch, compress, lz4", "lz4", 0, true, lz4_frame, "LZ4F_compressFrame");
    report("batch, compress, lz4", "lz4", 0, true, lz4_block, "LZ4_compress_default");
    report("compress, zstd 1", "zstd", 1, false, zstd_1, "ZSTD_compressCCtx");
    report("batch, compress, zstd 1", "zstd", 1, true, zstd_1, "ZSTD_compressCCtx");
    report("batch, compress, gzip 6", "gzip", 6, true, gzip_6, "deflate");
    return 0;
}
