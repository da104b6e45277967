/* fuzz_lane.c: a payload as a peer may send it. The first byte chooses the joiner and what is done with the rest of it:
 *
 *   even   it is read as it is: expanded by its first bytes and cut into messages, which all lie within the payload, in order
 *   odd    its lines are messages: written through batch and compress, and read back as they were
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "host.h"
#include "lane.h"
#include "modules.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT (256u << 10)
#define MESSAGES_MAX 512

static const char *const codecs[] = {"lz4", "zstd", "gzip"};

static struct {
    lane_chain_t chain;
    lane_module_t modules[2];
} chains[3];
static stats_lanes_t stats;

static char wire[1u << 20];
static struct frame {
    size_t at, n;
} frames[MESSAGES_MAX];
static size_t nframes, wired;

static weir_slice_t lines[MESSAGES_MAX];
static size_t nlines;

static int on_frame(void *owner, const weir_chunk_t *chunks, size_t n)
{
    (void)owner;
    frames[nframes] = (struct frame){wired, 0};
    for (size_t i = 0; i < n; i++) {
        memcpy(wire + wired, chunks[i].bytes.p, chunks[i].bytes.n);
        wired += chunks[i].bytes.n;
    }
    frames[nframes].n = wired - frames[nframes].at;
    nframes++;
    return WEIR_OK;
}

/* ---- what is loaded once ---- */

static void load(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "build/modules/%s.so", name);
    void *handle = dlopen(file, RTLD_NOW);
    module_t *module = calloc(1, sizeof(*module));
    if (handle == NULL || module == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        abort();
    }
    module->desc = dlsym(handle, "weir_module");
    module->next = proc->modules->first;
    proc->modules->first = module;
}

static void chain_add(lane_chain_t *chain, lane_module_t *item, const char *name, const void *options)
{
    const weir_module_t *module = modules_find(proc->modules, name);
    *item = (lane_module_t){.module = module, .ops = module->link, .state_offset = chain->state_size};
    item->self = module->link->create(proc->host, "here", options, NULL);
    if (item->self == NULL)
        abort();
    chain->nmodules++;
    chain->state_size += (uint32_t)((module->link->state_size + 15) & ~(size_t)15);
    if (module->link->flags & WEIR_LINK_GATHERS)
        chain->gatherer = item;
}

/* The option structs as modules/batch.c and modules/compress.c have them. */
static void chain_make(size_t i)
{
    struct {
        int64_t max_messages;
        uint64_t max_bytes, max_delay_ms;
        bool is_adaptive;
    } batch = {7, 4096, 0, false};
    struct {
        const char *codec, *dense;
        int64_t level;
        uint64_t min_size;
        bool is_adaptive;
        double budget;
        weir_strings_t codings;
        int64_t max_open;
    } compress = {codecs[i], "zstd", 0, 1, false, 0.2, {NULL, 0}, 1};
    chains[i].chain = (lane_chain_t){.modules = chains[i].modules, .stats = &stats};
    chain_add(&chains[i].chain, &chains[i].modules[0], "batch", &batch);
    chain_add(&chains[i].chain, &chains[i].modules[1], "compress", &compress);
}

static void setup(void)
{
    static proc_t context;
    static const char *const names[] = {"codec_lz4", "codec_zstd", "codec_gzip", "batch", "compress"};
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
    for (size_t i = 0; i < 3; i++)
        chain_make(i);
}

/* ---- in ---- */

/* How many messages there were; each is asked for with `seen`. */
static size_t read_payload(weir_lane_t *lane, weir_slice_t payload, int *rc,
                           void (*seen)(weir_slice_t message, size_t i), size_t first)
{
    weir_chunk_t message = {.bytes = payload};
    weir_error_t err = {""};
    uint64_t tag;
    size_t n = 0;
    *rc = lane_read(lane, &message, &err);
    while (*rc == WEIR_OK && (*rc = lane_next(lane, &message, &tag, &err)) == WEIR_OK)
        seen(message.bytes, first + n++);
    if (*rc == WEIR_EFAIL && err.text[0] == '\0')
        abort();
    return n;
}

/* Every byte of it is there to be read. */
static void touch(weir_slice_t message, size_t i)
{
    static volatile char sum;
    (void)i;
    for (size_t k = 0; k < message.n; k++)
        sum = (char)(sum + message.p[k]);
}

static void is_line(weir_slice_t message, size_t i)
{
    if (i >= nlines || !weir_slice_eq(message, lines[i]))
        abort();
}

static void fuzz_read(weir_lane_t *lane, weir_slice_t payload)
{
    int rc;
    (void)read_payload(lane, payload, &rc, touch, 0);
    if (rc != WEIR_EAGAIN && rc != WEIR_EFAIL)
        abort();
}

/* ---- out, and in again ---- */

static void write_lines(weir_lane_t *lane, weir_slice_t rest)
{
    nlines = nframes = wired = 0;
    while (rest.n > 0 && nlines < MESSAGES_MAX - 1) {
        const char *lf = memchr(rest.p, '\n', rest.n);
        size_t n = lf == NULL ? rest.n : (size_t)(lf - rest.p);
        weir_slice_t line = weir_slice(rest.p, n);
        rest = lf == NULL ? weir_slice(lf, 0) : weir_slice(lf + 1, rest.n - n - 1);
        /* A message begins as an object does, and has no white space around it. */
        if (n < 2 || line.p[0] != '{' || line.p[n - 1] != '}' || memchr(line.p, '\r', n) != NULL)
            continue;
        weir_envelope_t envelope;
        weir_scan_t scan = proc->host->message_scan(line, &envelope);
        if (scan == WEIR_SCAN_NOT_JSON || scan == WEIR_SCAN_TOO_DEEP) /* how it goes on, nobody has looked at */
            continue;
        lines[nlines++] = line;
        weir_chunk_t parts[2] = {{.bytes = weir_slice(line.p, n / 2)},
                                 {.bytes = weir_slice(line.p + n / 2, n - n / 2)}};
        if (lane_write(lane, parts, 2, 0) != WEIR_OK)
            abort();
    }
    if (lane_flush(lane, WEIR_FLUSH_DRAIN) != WEIR_OK)
        abort();
}

static void fuzz_write(weir_lane_t *lane, weir_slice_t text)
{
    size_t seen = 0;
    int rc;
    write_lines(lane, text);
    for (size_t i = 0; i < nframes; i++) {
        char *copy = malloc(frames[i].n); /* of just this size, so that a sanitizer sees who reads on */
        if (copy == NULL)
            return;
        memcpy(copy, wire + frames[i].at, frames[i].n);
        seen += read_payload(lane, weir_slice(copy, frames[i].n), &rc, is_line, seen);
        free(copy);
        if (rc != WEIR_EAGAIN)
            abort();
    }
    if (seen != nlines)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setup();
    if (size == 0 || size > LIMIT)
        return 0;
    weir_join_t kind = data[0] & 2 ? WEIR_JOIN_ARRAY : WEIR_JOIN_LINES;
    weir_lane_spec_t spec = {.joiner = joiner_of(kind), .max_message = LIMIT, .frame = on_frame};
    weir_lane_t *lane = lane_new_on(&chains[data[0] / 4 % 3].chain, &spec, NULL);
    weir_slice_t rest = weir_slice((const char *)data + 1, size - 1);
    if (lane == NULL)
        return 0;
    if (data[0] & 1)
        fuzz_write(lane, rest);
    else
        fuzz_read(lane, rest);
    lane_free(lane);
    if (bufs_in_use(proc->bufs) != 0)
        abort();
    return 0;
}
