/* bad.c: a module that crashes when it is told to: in its create, in its start, or at a request; or that takes its time to start.
 *
 * Like any module it is built with the headers of include/weir and nothing else.
 */
#include <stdlib.h>
#include <unistd.h>

#include <weir/module.h>

typedef enum moment { NEVER, CREATE, START, REQUEST } moment_t;

typedef struct options {
    int crash;
    int64_t start_ms;
} options_t;

static const char *const moments[] = {"never", "create", "start", "request", NULL};

static void crash_at(const options_t *options, moment_t now)
{
    if (options->crash == (int)now)
        abort();
}

static void *bad_create(const weir_host_t *host, weir_upstream_t *upstream, const void *options, weir_error_t *err)
{
    (void)host, (void)upstream, (void)err;
    crash_at(options, CREATE);
    return (void *)(uintptr_t)options;
}

static void bad_start(void *self)
{
    const options_t *options = self;
    crash_at(options, START);
    usleep((useconds_t)options->start_ms * 1000);
}

static void bad_destroy(void *self)
{
    (void)self;
}

static weir_verdict_t bad_request(void *self, weir_exchange_t *ex, void *state)
{
    (void)ex, (void)state;
    crash_at(self, REQUEST);
    return WEIR_PASS;
}

static const weir_option_t bad_options[] = {
    {.name = "crash",
     .type = WEIR_TYPE_ENUM,
     .offset = offsetof(options_t, crash),
     .fallback = "never",
     .names = moments,
     .doc = "when to crash"},
    {.name = "start_ms",
     .type = WEIR_TYPE_INT,
     .offset = offsetof(options_t, start_ms),
     .fallback = "0",
     .min = 0,
     .max = 10000,
     .doc = "how long to start"},
    {.name = NULL},
};

static const weir_exchange_module_t bad_module = {
    .create = bad_create, .start = bad_start, .destroy = bad_destroy, .request = bad_request};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,      .name = "bad", .doc = "crashes", .options = bad_options, .options_size = sizeof(options_t),
    .exchange = &bad_module,
};
