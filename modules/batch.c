/* batch.c: how long messages wait for others on a link, so that they share a frame. The lane does the joining.
 *
 * `adaptive` gives a message no time beyond the turn of the loop unless that is well spent: a stream that does not take what was
 * written before loses nothing by waiting, and where messages come so fast that a payload is full in a fraction of max_delay, the
 * turn's few may wait for it. One that comes alone is never kept.
 */
#include <weir/module.h>

#include <stdlib.h>

/* Over how long the rate of arrivals is taken. */
#define SAMPLE_MS 16
/* A payload must be expected to be full within this part of max_delay for anybody to wait for it. */
#define PATIENCE 4

typedef struct batch_options {
    int64_t max_messages;
    uint64_t max_bytes, max_delay_ms;
    bool is_adaptive;
} batch_options_t;

typedef struct batch {
    const weir_host_t *host;
    batch_options_t options;
} batch_t;

/* Of a lane: how fast messages come. */
typedef struct batch_lane {
    uint64_t since_ms;
    uint64_t messages; /* since then */
    double per_ms;
} batch_lane_t;

static void *batch_create(const weir_host_t *host, const char *where, const void *options, weir_error_t *err)
{
    batch_t *batch = calloc(1, sizeof(*batch));
    (void)where;
    if (batch == NULL) {
        (void)weir_error(err, "no memory");
        return NULL;
    }
    batch->host = host;
    batch->options = *(const batch_options_t *)options;
    return batch;
}

static void batch_destroy(void *self)
{
    free(self);
}

static void batch_open(void *self, void *state, weir_gather_t *gather)
{
    const batch_t *batch = self;
    batch_lane_t *lane = state;
    lane->since_ms = batch->host->now_ms();
    gather->max_messages = (uint32_t)batch->options.max_messages;
    gather->max_bytes = batch->options.max_bytes;
}

/* Half of what was known, half of what has come since: a burst is believed soon, a lull as well. */
static void batch_sample(const batch_t *batch, batch_lane_t *lane)
{
    uint64_t elapsed = batch->host->now_ms() - lane->since_ms;
    if (elapsed < SAMPLE_MS)
        return;
    double per_ms = (double)lane->messages / (double)elapsed;
    lane->per_ms = elapsed >= 4 * SAMPLE_MS ? per_ms : (lane->per_ms + per_ms) / 2;
    lane->since_ms += elapsed;
    lane->messages = 0;
}

/* The time until the payload is full, in few different steps: each has a queue of timers of its own. */
static uint64_t batch_patience(const batch_t *batch, const batch_lane_t *lane, const weir_gathered_t *gathered)
{
    double missing = (double)batch->options.max_messages - gathered->messages;
    uint64_t most = batch->options.max_delay_ms / PATIENCE, ms = 1;
    if (lane->per_ms <= 0 || missing / lane->per_ms > (double)most)
        return 0;
    while ((double)ms < missing / lane->per_ms)
        ms *= 2;
    return ms < most ? ms : most;
}

static uint64_t batch_wait(void *self, void *state, const weir_gathered_t *gathered)
{
    const batch_t *batch = self;
    if (!batch->options.is_adaptive)
        return batch->options.max_delay_ms;
    if (gathered->is_full)
        return batch->options.max_delay_ms;
    batch_sample(batch, state);
    return batch_patience(batch, state, gathered);
}

static void batch_flushed(void *self, void *state, const weir_gathered_t *gathered, weir_flush_t why,
                          weir_gather_t *gather)
{
    const batch_t *batch = self;
    batch_lane_t *lane = state;
    (void)why, (void)gather;
    lane->messages += gathered->messages;
    if (batch->options.is_adaptive)
        batch_sample(batch, lane);
}

#define AT(member) offsetof(batch_options_t, member)

static const weir_option_t options[] = {
    {.name = "max_messages",
     .type = WEIR_TYPE_INT,
     .offset = AT(max_messages),
     .fallback = "100",
     .min = 1,
     .max = 65536,
     .doc = "messages that share a frame at most"},
    {.name = "max_bytes",
     .type = WEIR_TYPE_SIZE,
     .offset = AT(max_bytes),
     .fallback = "64KiB",
     .min = 512,
     .max = 16777216,
     .doc = "bytes of a frame at most; a larger message is sent alone. No more than the reader's max_message"},
    {.name = "max_delay",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(max_delay_ms),
     .fallback = "10ms",
     .min = 0,
     .max = 10000,
     .doc =
         "how long a message waits for others; 0: to the end of this turn of the loop, which joins all that is ready"},
    {.name = "adaptive",
     .type = WEIR_TYPE_BOOL,
     .offset = AT(is_adaptive),
     .fallback = "false",
     .doc = "wait only while the other end is slow, or messages come fast enough to fill a frame soon"},
    {.name = NULL},
};

static const weir_link_module_t batch_link = {
    .flags = WEIR_LINK_GATHERS,
    .state_size = sizeof(batch_lane_t),
    .create = batch_create,
    .destroy = batch_destroy,
    .open = batch_open,
    .wait = batch_wait,
    .flushed = batch_flushed,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "batch",
    .doc = "messages that wait on one link share a frame",
    .options = options,
    .options_size = sizeof(batch_options_t),
    .link = &batch_link,
};
