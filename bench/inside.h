/* inside.h: what the benches of modules share: a host that does nothing, the module's real code from build/modules/, and a loop
 * that is measured against the same loop without the module. Options come from the module's own table of defaults.
 */
#ifndef BENCH_INSIDE_H
#define BENCH_INSIDE_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/module.h>

#define INSIDE_ROUNDS 15
#define INSIDE_TIMES 2000000u
#define INSIDE_SERVERS 3

static weir_server_t inside_servers[INSIDE_SERVERS];
static weir_upstream_t inside_upstream = {
    .name = "bench", .nservers = INSIDE_SERVERS, .reply_timeout_ms = 300000, .buffer_limit = 262144};

static inline void inside_log(weir_level_t level, const char *format, ...)
{
    (void)level, (void)format;
}

static inline uint64_t inside_now(void)
{
    return 1000000;
}

static inline weir_timeouts_t *inside_timeouts(uint64_t ms)
{
    static uint64_t some;
    some = ms;
    return (weir_timeouts_t *)(void *)&some;
}

static inline void inside_timer_start(weir_timeouts_t *queue, weir_timer_t *timer)
{
    (void)queue, (void)timer;
}

static inline void inside_timer_stop(weir_timer_t *timer)
{
    (void)timer;
}

static inline weir_server_t *inside_server(weir_upstream_t *upstream, uint32_t index)
{
    (void)upstream;
    return &inside_servers[index];
}

static inline void *inside_shared(weir_upstream_t *upstream, const weir_server_t *server, const char *module,
                                  size_t size, weir_error_t *err)
{
    (void)upstream, (void)server, (void)module, (void)err;
    return calloc(1, size + 64);
}

static inline int inside_counters(weir_counters_t *counters, weir_upstream_t *upstream, const weir_server_t *server,
                                  const char *module, uint32_t ngauges, uint32_t ngrowing, weir_error_t *err)
{
    (void)upstream, (void)server, (void)module, (void)err;
    *counters = (weir_counters_t){.mine = calloc(ngauges + ngrowing, sizeof(int64_t))};
    return counters->mine == NULL ? WEIR_EFAIL : WEIR_OK;
}

static inline void inside_begin(void)
{
    static char names[INSIDE_SERVERS][16];
    for (uint32_t i = 0; i < INSIDE_SERVERS; i++) {
        snprintf(names[i], sizeof(names[i]), "10.0.0.%u:80", i + 1);
        inside_servers[i] = (weir_server_t){.index = i, .weight = 1, .name = names[i], .upstream = &inside_upstream};
    }
}

static inline const weir_module_t *inside_module(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "build/modules/%s.so", name);
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const weir_module_t *module = handle == NULL ? NULL : dlsym(handle, "weir_module");
    if (module == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return module;
}

/* Options as the table has them: numbers, durations and texts are all that these modules have. */
static inline void *inside_options(const weir_module_t *module)
{
    char *options = calloc(1, module->options_size + 8);
    for (const weir_option_t *o = module->options; o->name != NULL; o++) {
        char *unit = NULL;
        double value = o->fallback == NULL ? 0 : strtod(o->fallback, &unit);
        if (unit != NULL && strcmp(unit, "s") == 0)
            value *= 1000;
        if (unit != NULL && strcmp(unit, "m") == 0)
            value *= 60000;
        if (o->type == WEIR_TYPE_INT)
            *(int64_t *)(void *)(options + o->offset) = (int64_t)value;
        else if (o->type == WEIR_TYPE_DURATION)
            *(uint64_t *)(void *)(options + o->offset) = (uint64_t)value;
        else if (o->type == WEIR_TYPE_RATIO)
            *(double *)(void *)(options + o->offset) = value;
        else if (o->type == WEIR_TYPE_STRING)
            *(const char **)(void *)(options + o->offset) = o->fallback;
    }
    return options;
}

static inline double inside_ns(void (*loop)(uint32_t times))
{
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    loop(INSIDE_TIMES);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / INSIDE_TIMES;
}

static inline int inside_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the differences, round by round, so that a machine which slows down slows both sides. */
static inline void inside_report(const char *what, void (*with)(uint32_t), void (*without)(uint32_t))
{
    double differences[INSIDE_ROUNDS];
    (void)inside_ns(with);
    for (int i = 0; i < INSIDE_ROUNDS; i++)
        differences[i] = inside_ns(with) - inside_ns(without);
    qsort(differences, INSIDE_ROUNDS, sizeof(differences[0]), inside_compare);
    printf("%-44s %6.1f ns (%.1f to %.1f over %d rounds)\n", what, differences[INSIDE_ROUNDS / 2], differences[0],
           differences[INSIDE_ROUNDS - 1], INSIDE_ROUNDS);
}

#endif
