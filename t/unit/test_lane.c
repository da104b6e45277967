/* test_lane.c: what goes into a lane comes out of another one: all of it, in order, nothing merged and nothing lost, with every
 * joiner, every codec and batches of all sizes; what is broken is an error.
 */
#include "loop.h"

#include <stdio.h>

#include "host.h"
#include "lane.h"
#include "loaded.h"
#include "stats.h"

#define LIMIT (1u << 20)

static uint32_t seed;

static uint32_t number(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

/* ---- a transport whose frames have a length each, over memory ---- */

typedef struct wire {
    char *bytes;
    size_t n, size;
    unsigned frames;
    int says; /* what its owner hears of each frame */
} wire_t;

static wire_t wire;

static int on_frame(void *owner, const weir_chunk_t *chunks, size_t n)
{
    wire_t *to = owner;
    uint32_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += (uint32_t)chunks[i].bytes.n;
    if (to->n + bytes + sizeof(bytes) > to->size) {
        to->size = 2 * (to->n + bytes + sizeof(bytes));
        to->bytes = realloc(to->bytes, to->size);
        assert_non_null(to->bytes);
    }
    memcpy(to->bytes + to->n, &bytes, sizeof(bytes));
    to->n += sizeof(bytes);
    for (size_t i = 0; i < n; i++) {
        memcpy(to->bytes + to->n, chunks[i].bytes.p, chunks[i].bytes.n);
        to->n += chunks[i].bytes.n;
    }
    to->frames++;
    return to->says;
}

/* The payload of the next frame. */
static bool wire_next(size_t *at, weir_slice_t *payload)
{
    uint32_t bytes;
    if (*at == wire.n)
        return false;
    memcpy(&bytes, wire.bytes + *at, sizeof(bytes));
    *payload = weir_slice(wire.bytes + *at + sizeof(bytes), bytes);
    *at += sizeof(bytes) + bytes;
    return true;
}

/* A joiner as mux has it: the tag and the length before each message. */
static size_t tagged_before(char *p, uint32_t n, uint64_t tag, size_t message_bytes)
{
    uint32_t bytes = (uint32_t)message_bytes;
    (void)n;
    memcpy(p, &tag, sizeof(tag));
    memcpy(p + sizeof(tag), &bytes, sizeof(bytes));
    return sizeof(tag) + sizeof(bytes);
}

static size_t tagged_begin(char *p, uint32_t count)
{
    memcpy(p, &count, sizeof(count));
    return sizeof(count);
}

static int tagged_next(weir_slice_t *rest, uint32_t n, weir_slice_t *message, uint64_t *tag, weir_error_t *err)
{
    uint32_t bytes, skipped = n == 0 ? sizeof(uint32_t) : 0;
    if (rest->n == 0)
        return WEIR_EAGAIN;
    if (rest->n < skipped + sizeof(*tag) + sizeof(bytes))
        return weir_error(err, "half a head");
    memcpy(tag, rest->p + skipped, sizeof(*tag));
    memcpy(&bytes, rest->p + skipped + sizeof(*tag), sizeof(bytes));
    *rest =
        weir_slice(rest->p + skipped + sizeof(*tag) + sizeof(bytes), rest->n - skipped - sizeof(*tag) - sizeof(bytes));
    if (bytes > rest->n)
        return weir_error(err, "half a message");
    *message = weir_slice(rest->p, bytes);
    *rest = weir_slice(rest->p + bytes, rest->n - bytes);
    return WEIR_OK;
}

static const weir_joiner_t tagged = {.before = tagged_before, .begin = tagged_begin, .next = tagged_next};

/* ---- chains ---- */

typedef struct batch_options {
    int64_t max_messages;
    uint64_t max_bytes, max_delay_ms;
    bool is_adaptive;
} batch_options_t;

typedef struct compress_options {
    const char *codec, *dense;
    int64_t level;
    uint64_t min_size;
    bool is_adaptive;
    double budget;
    weir_strings_t codings;
    int64_t max_open;
} compress_options_t;

static struct {
    lane_chain_t chain;
    lane_module_t modules[2];
    stats_lanes_t stats;
} c;

static weir_lane_t *lane;

static void chain_add(const char *name, const void *options)
{
    const weir_module_t *module = modules_find(proc->modules, name);
    weir_error_t err = {""};
    lane_module_t *item = &c.modules[c.chain.nmodules++];
    *item = (lane_module_t){.module = module, .ops = module->link, .state_offset = c.chain.state_size};
    item->self = module->link->create(proc->host, "here", options, &err);
    if (item->self == NULL)
        fail_msg("%s", err.text);
    c.chain.state_size += (uint32_t)((module->link->state_size + 15) & ~(size_t)15);
    if (module->link->flags & WEIR_LINK_GATHERS)
        c.chain.gatherer = item;
}

static void lane_open(const weir_joiner_t *joiner)
{
    weir_lane_spec_t spec = {.joiner = joiner, .max_message = LIMIT, .frame = on_frame, .owner = &wire};
    lane = lane_new_on(&c.chain, &spec, NULL);
    assert_non_null(lane);
}

static void lane_close(void)
{
    lane_free(lane);
    lane = NULL;
    lane_chain_end(&c.chain);
    memset(&c, 0, sizeof(c));
    c.chain.modules = c.modules;
    c.chain.stats = &c.stats;
    free(wire.bytes);
    wire = (wire_t){.says = WEIR_OK};
}

static int setup(void **state)
{
    static const char *const names[] = {"codec_lz4", "codec_zstd", "codec_gzip", "batch", "compress"};
    seed = 88172645u;
    process_begin(state);
    proc->host = host_table();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        module_loaded(names[i]);
    lane_close();
    return 0;
}

static int teardown(void **state)
{
    lane_close();
    modules_forgotten();
    return process_end(state);
}

/* ---- messages ---- */

/* An object of about n bytes: strings with quotes, brackets and escapes in them, arrays, and white space where JSON has it. */
static size_t message_make(char *p, size_t n, uint32_t id, bool has_newlines)
{
    static const char *const parts[] = {
        "\"a\\\"b\"",    "[1,{\"x\":[]}]",           "\"}],{[\"", "\"\\\\\"", "\"\xc3\xa4\"",
        "\"data: \\n\"", "{\"deep\":{\"er\":null}}", "12.5e3",    "true"};
    size_t at = (size_t)sprintf(p, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"params\":{\"k\":0", id);
    while (at < n) {
        const char *part = parts[number(sizeof(parts) / sizeof(parts[0]))];
        at += (size_t)sprintf(p + at, ",%s\"k%u\":%s", has_newlines && number(4) == 0 ? "\n  " : "", number(100), part);
    }
    return at + (size_t)sprintf(p + at, "}}");
}

/* Written in up to nine parts, as edited messages are. */
static int message_write(const char *p, size_t n, uint64_t tag)
{
    weir_chunk_t parts[WEIR_LANE_PARTS];
    size_t count = 0;
    while (n > 0 && count < 8) {
        size_t size = number(3) == 0 ? n : number((uint32_t)n + 1);
        parts[count++].bytes = weir_slice(p, size);
        parts[count - 1].buf = NULL;
        p += size;
        n -= size;
    }
    parts[count++] = (weir_chunk_t){.bytes = weir_slice(p, n)};
    return lane_write(lane, parts, count, tag);
}

#define MESSAGES 60
static char *written[MESSAGES];
static size_t sizes[MESSAGES];

/* Read all frames; a lane that is paused half-way through a payload goes on where it was. */
static void read_back(const weir_joiner_t *joiner, bool is_tagged)
{
    weir_lane_t *writer = lane;
    weir_slice_t payload;
    size_t at = 0, seen = 0;
    lane_open(joiner);
    while (wire_next(&at, &payload)) {
        weir_error_t err = {""};
        weir_chunk_t message = {.bytes = payload};
        uint64_t tag = 0;
        int rc = lane_read(lane, &message, &err);
        while (rc == WEIR_OK && (rc = lane_next(lane, &message, &tag, &err)) == WEIR_OK) {
            assert_in_range(seen, 0, MESSAGES - 1);
            for (char *p = written[seen]; joiner->is_lines && p < written[seen] + sizes[seen]; p++)
                if (*p == '\n')
                    *p = ' ';
            assert_int_equal(message.bytes.n, sizes[seen]);
            assert_memory_equal(message.bytes.p, written[seen], sizes[seen]);
            assert_int_equal(tag, is_tagged ? seen * 7 : 0);
            seen++;
        }
        if (rc != WEIR_EAGAIN)
            fail_msg("%s", err.text);
        assert_int_equal(lane_next(lane, &message, &tag, &err), WEIR_EAGAIN);
    }
    assert_int_equal(seen, MESSAGES);
    lane_free(lane);
    lane = writer;
}

static void write_some(void)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        size_t n = number(20) == 0 ? number(60000) : number(3) == 0 ? number(3000) : number(200);
        written[i] = malloc(n + 256);
        assert_non_null(written[i]);
        sizes[i] = message_make(written[i], n, i, number(2) == 0);
        assert_int_equal(message_write(written[i], sizes[i], i * 7), WEIR_OK);
        if (number(15) == 0)
            assert_int_equal(lane_flush(lane, WEIR_FLUSH_EXPLICIT), WEIR_OK);
        if (number(15) == 0)
            ev_run(proc->loop, EVRUN_NOWAIT);
    }
    assert_int_equal(lane_flush(lane, WEIR_FLUSH_DRAIN), WEIR_OK);
}

static void forget_written(void)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        free(written[i]);
}

static void whatever_goes_in_comes_out_in_order_with_every_joiner_and_every_codec(void **state)
{
    (void)state;
    const weir_joiner_t *joiners[] = {joiner_of(WEIR_JOIN_LINES), joiner_of(WEIR_JOIN_ARRAY), &tagged};
    static const char *const codecs[] = {NULL, "lz4", "zstd", "gzip"};
    for (unsigned round = 0; round < 360; round++) {
        batch_options_t batch = {1 + number(90), 512 + number(100000), 0, number(2) == 0};
        compress_options_t compress = {codecs[round % 4], "zstd", 0,         1 + number(3000),
                                       number(2) == 0,    0.2,    {NULL, 0}, 1};
        const weir_joiner_t *joiner = joiners[round / 4 % 3];
        if (number(4) > 0)
            chain_add("batch", &batch);
        if (compress.codec != NULL)
            chain_add("compress", &compress);
        lane_open(joiner);
        write_some();
        read_back(joiner, joiner == &tagged);
        assert_int_equal(c.stats.messages_out, MESSAGES);
        assert_int_equal(c.stats.messages_in, MESSAGES);
        assert_int_equal(c.stats.payloads_out, wire.frames);
        assert_int_equal(c.stats.bytes_sent + wire.frames * sizeof(uint32_t), wire.n);
        assert_int_equal(c.stats.bytes_expanded, c.stats.bytes_joined);
        forget_written();
        lane_close();
    }
}

/* ---- when a payload is sent ---- */

static void say(const char *text)
{
    weir_chunk_t part = {.bytes = weir_slice_str(text)};
    assert_int_equal(lane_write(lane, &part, 1, 0), WEIR_OK);
}

static void batch_of(int64_t max_messages, uint64_t max_bytes, uint64_t max_delay_ms, bool is_adaptive)
{
    batch_options_t options = {max_messages, max_bytes, max_delay_ms, is_adaptive};
    chain_add("batch", &options);
    lane_open(joiner_of(WEIR_JOIN_LINES));
}

static void a_payload_is_sent_when_it_has_max_messages(void **state)
{
    (void)state;
    batch_of(3, 65536, 1000, false);
    say("{\"a\":1}");
    say("{\"a\":2}");
    assert_int_equal(wire.frames, 0);
    say("{\"a\":3}");
    assert_int_equal(wire.frames, 1);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_SIZE], 1);
    assert_memory_equal(wire.bytes + 4, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}", 23);
}

static void a_message_that_does_not_fit_any_more_sends_those_before_it(void **state)
{
    (void)state;
    char large[700] = "";
    memset(large, ' ', sizeof(large) - 1);
    large[0] = '{';
    large[698] = '}';
    batch_of(100, 1000, 1000, false);
    say(large);
    say(large);
    assert_int_equal(wire.frames, 1);
    assert_int_equal(wire.n, 4 + 699);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_BYTES], 1);
    assert_int_equal(lane_flush(lane, WEIR_FLUSH_DRAIN), WEIR_OK);
    assert_int_equal(wire.frames, 2);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_DRAIN], 1);
}

static void a_message_larger_than_a_payload_is_sent_alone_and_after_those_before_it(void **state)
{
    (void)state;
    char large[2000] = "";
    memset(large, ' ', sizeof(large) - 1);
    large[0] = '{';
    large[1998] = '}';
    batch_of(100, 1000, 1000, false);
    say("{\"first\":1}");
    say(large);
    assert_int_equal(wire.frames, 2);
    assert_int_equal(wire.n, 4 + 11 + 4 + 1999);
    assert_memory_equal(wire.bytes + 4, "{\"first\":1}", 11);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_BYTES], 2);
}

static void without_a_delay_the_end_of_the_turn_sends_all_that_was_ready(void **state)
{
    (void)state;
    batch_of(100, 65536, 0, false);
    say("{\"a\":1}");
    say("{\"a\":2}");
    assert_int_equal(wire.frames, 0);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(wire.frames, 1);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_TURN], 1);
    assert_int_equal(c.stats.messages_out, 2);
}

static void with_a_delay_a_message_waits_for_it_and_no_longer(void **state)
{
    (void)state;
    batch_of(100, 65536, 20, false);
    uint64_t from = now_ms();
    say("{\"a\":1}");
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(wire.frames, 0);
    say("{\"a\":2}");
    RUN_UNTIL(wire.frames == 1);
    assert_true(now_ms() - from >= 20);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_TIME], 1);
    assert_true(c.stats.waited_us >= 19000);
}

static void an_explicit_flush_sends_what_is_there_and_nothing_when_there_is_nothing(void **state)
{
    (void)state;
    batch_of(100, 65536, 1000, false);
    assert_int_equal(lane_flush(lane, WEIR_FLUSH_EXPLICIT), WEIR_OK);
    say("{\"a\":1}");
    assert_int_equal(lane_flush(lane, WEIR_FLUSH_EXPLICIT), WEIR_OK);
    assert_int_equal(wire.frames, 1);
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_EXPLICIT], 1);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(wire.frames, 1);
}

static void adaptive_keeps_no_message_that_comes_alone(void **state)
{
    (void)state;
    batch_of(100, 65536, 1000, true);
    for (unsigned i = 1; i <= 20; i++) {
        say("{\"a\":1}");
        ev_run(proc->loop, EVRUN_NOWAIT);
        assert_int_equal(wire.frames, i);
    }
    assert_int_equal(c.stats.flushes[WEIR_FLUSH_TURN], 20);
}

/* 10 messages a turn, turn after turn: a payload of 20 is worth the next turn. */
static void adaptive_waits_where_messages_come_fast(void **state)
{
    (void)state;
    batch_of(20, 65536, 1000, true);
    for (unsigned i = 0; i < 200000 && c.stats.flushes[WEIR_FLUSH_SIZE] == 0; i++) {
        for (unsigned k = 0; k < 10; k++)
            say("{\"a\":1}");
        ev_run(proc->loop, EVRUN_NOWAIT);
    }
    assert_true(c.stats.flushes[WEIR_FLUSH_SIZE] > 0);
}

static void adaptive_waits_while_the_stream_is_full_and_goes_on_when_it_is_drained(void **state)
{
    (void)state;
    weir_chunk_t part = {.bytes = WEIR_LIT("{\"a\":1}")};
    batch_of(100, 65536, 5000, true);
    wire.says = WEIR_EFULL;
    say("{\"a\":1}");
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(wire.frames, 1);
    assert_int_equal(lane_write(lane, &part, 1, 0), WEIR_EFULL);
    ev_run(proc->loop, EVRUN_NOWAIT);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(wire.frames, 1);
    wire.says = WEIR_OK;
    lane_drained(lane);
    assert_int_equal(wire.frames, 2);
    say("{\"a\":1}");
}

/* ---- packing ---- */

static void a_payload_that_would_grow_is_sent_as_it_is(void **state)
{
    (void)state;
    static const char *const codecs[] = {"lz4", "zstd", "gzip"};
    for (size_t i = 0; i < 3; i++) {
        char noise[4100] = "{\"x\":\"";
        for (size_t k = 6; k < 4096; k++)
            noise[k] = (char)(128 + number(128));
        compress_options_t options = {codecs[i], "zstd", 0, 1, false, 0.2, {NULL, 0}, 1};
        chain_add("compress", &options);
        lane_open(joiner_of(WEIR_JOIN_LINES));
        say(noise);
        if (i == 0) /* seven bits of eight: what has an entropy coder gets it smaller */
            assert_int_equal(wire.n, 4 + strlen(noise));
        assert_true(c.stats.bytes_sent <= c.stats.bytes_joined);
        lane_close();
    }
}

static void what_is_smaller_than_min_size_is_not_packed_and_what_is_not_is(void **state)
{
    (void)state;
    char text[2000] = "";
    memset(text, 'x', sizeof(text) - 1);
    compress_options_t options = {"lz4", "zstd", 0, 1024, false, 0.2, {NULL, 0}, 1};
    chain_add("compress", &options);
    lane_open(joiner_of(WEIR_JOIN_LINES));
    text[1023] = '\0';
    say(text);
    assert_int_equal(c.stats.packed, 0);
    text[1023] = 'x';
    text[1024] = '\0';
    say(text);
    assert_int_equal(c.stats.packed, 1);
    assert_int_equal(c.stats.bytes_joined, 2047);
    assert_true(c.stats.bytes_sent < 1100);
}

/* Write it once; the codec of its frame, NULL when it went as it was. */
static const weir_codec_t *codec_of_one(const weir_chunk_t *part)
{
    wire.n = 0;
    assert_int_equal(lane_write(lane, part, 1, 0), WEIR_OK);
    return codec_of(weir_slice(wire.bytes + 4, wire.n - 4));
}

/* A budget that nothing exceeds takes the denser codec in the end; one that everything exceeds, none. */
static void adaptive_takes_what_the_budget_allows(void **state)
{
    (void)state;
    for (unsigned is_poor = 0; is_poor < 2; is_poor++) {
        char *text = malloc(9000);
        size_t n = message_make(text, 8000, 1, false);
        compress_options_t options = {"lz4", "zstd", 0, 1024, true, is_poor ? 0.0000001 : 1.0, {NULL, 0}, 1};
        weir_chunk_t part = {.bytes = weir_slice(text, n)};
        const weir_codec_t *expected = is_poor ? NULL : codec_named("zstd");
        chain_add("compress", &options);
        lane_open(joiner_of(WEIR_JOIN_LINES));
        assert_ptr_equal(codec_of_one(&part), codec_named("lz4"));
        RUN_UNTIL(codec_of_one(&part) == expected);
        free(text);
        lane_close();
    }
}

/* ---- what is broken ---- */

static int read_all(const weir_joiner_t *joiner, weir_slice_t payload, weir_error_t *err, unsigned *count)
{
    weir_chunk_t message = {.bytes = payload};
    uint64_t tag;
    *count = 0;
    lane_open(joiner);
    int rc = lane_read(lane, &message, err);
    while (rc == WEIR_OK && (rc = lane_next(lane, &message, &tag, err)) == WEIR_OK)
        ++*count;
    lane_free(lane);
    lane = NULL;
    return rc;
}

static void broken_payloads_are_errors_that_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        weir_join_t kind;
        weir_slice_t payload;
        const char *says;
        unsigned messages;
    } cases[] = {
        {WEIR_JOIN_LINES, WEIR_LIT("\x04\x22\x4d\x18 garbage"), "lz4: ", 0},
        {WEIR_JOIN_LINES, WEIR_LIT("\x04\x22\x4d\x18"), "lz4: the frame breaks off", 0},
        {WEIR_JOIN_LINES, WEIR_LIT("\x28\xb5\x2f\xfd garbage"), "zstd: ", 0},
        {WEIR_JOIN_LINES, WEIR_LIT("\x1f\x8b\x08 garbage"), "gzip: ", 0},
        {WEIR_JOIN_LINES, WEIR_LIT("\xce\xb2\xcf\x81 brotli"), "begins with ce b2 cf 81", 0},
        {WEIR_JOIN_ARRAY, WEIR_LIT("\xce\xb2\xcf\x81 brotli"), "begins with ce b2 cf 81", 0},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1}"), "breaks off", 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1},"), "breaks off", 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1},{\"b\":\"}\""), "breaks off", 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1} {\"b\":1}]"), "goes on with '{'", 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1}] {\"b\":1}"), "goes on with ']'", 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[]"), "no message", 0},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[1,2]"), "no message", 0},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":\"\\"), "breaks off", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_error_t err = {""};
        unsigned count;
        char *copy = malloc(cases[i].payload.n);
        memcpy(copy, cases[i].payload.p, cases[i].payload.n);
        int rc = read_all(joiner_of(cases[i].kind), weir_slice(copy, cases[i].payload.n), &err, &count);
        free(copy);
        if (rc != WEIR_EFAIL || strstr(err.text, cases[i].says) == NULL || count != cases[i].messages)
            fail_msg("case %zu: %d, %u messages: %s", i, rc, count, err.text);
        assert_int_equal(c.stats.broken, i + 1);
    }
}

static void foreign_ways_to_write_a_payload_are_understood(void **state)
{
    (void)state;
    static const struct {
        weir_join_t kind;
        weir_slice_t payload;
        unsigned messages;
    } cases[] = {
        {WEIR_JOIN_LINES, WEIR_LIT("{\"a\":1}\r\n\r\n  {\"b\":1}\n"), 2},
        {WEIR_JOIN_LINES, WEIR_LIT(""), 0},
        {WEIR_JOIN_LINES, WEIR_LIT("\n\n"), 0},
        {WEIR_JOIN_LINES, WEIR_LIT("{\"a\":1}"), 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT(" [ {\"a\":1} , {\"b\":\"\\\"]\"} ]\n"), 2},
        {WEIR_JOIN_ARRAY, WEIR_LIT("[{\"a\":1}]"), 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT("{\"a\":[1,2]}"), 1},
        {WEIR_JOIN_ARRAY, WEIR_LIT(""), 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_error_t err = {""};
        unsigned count;
        int rc = read_all(joiner_of(cases[i].kind), cases[i].payload, &err, &count);
        if (rc != WEIR_EAGAIN || count != cases[i].messages)
            fail_msg("case %zu: %d, %u messages: %s", i, rc, count, err.text);
    }
}

/* A reader that is paused half-way through a payload: what it has not taken yet stays, whatever becomes of the transport's buffer. */
static void messages_that_are_not_taken_yet_keep_their_buffer(void **state)
{
    (void)state;
    weir_chunk_t payload = {.buf = buf_new(0)}, message;
    uint64_t tag;
    memcpy(payload.buf->data, "{\"a\":1}\n{\"a\":2}", 15);
    payload.bytes = weir_slice(payload.buf->data, 15);
    lane_open(joiner_of(WEIR_JOIN_LINES));
    assert_int_equal(lane_read(lane, &payload, NULL), WEIR_OK);
    assert_int_equal(payload.buf->refs, 2);
    buf_unref(payload.buf);
    assert_int_equal(lane_next(lane, &message, &tag, NULL), WEIR_OK);
    assert_int_equal(lane_next(lane, &message, &tag, NULL), WEIR_OK);
    assert_memory_equal(message.bytes.p, "{\"a\":2}", 7);
    assert_ptr_equal(message.buf, payload.buf);
    assert_int_equal(lane_next(lane, &message, &tag, NULL), WEIR_EAGAIN);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
}

static void a_bomb_in_a_frame_is_stopped(void **state)
{
    (void)state;
    static const char *const codecs[] = {"lz4", "zstd", "gzip"};
    for (size_t i = 0; i < 3; i++) {
        compress_options_t options = {codecs[i], "zstd", 0, 1, false, 0.2, {NULL, 0}, 1};
        chain_add("compress", &options);
        lane_open(joiner_of(WEIR_JOIN_LINES));
        char *zeros = calloc(1, 8 * LIMIT);
        weir_chunk_t part = {.bytes = weir_slice(zeros, 8 * LIMIT)};
        assert_int_equal(lane_write(lane, &part, 1, 0), WEIR_OK);
        weir_error_t err = {""};
        weir_chunk_t payload = {.bytes = weir_slice(wire.bytes + 4, wire.n - 4)};
        assert_int_equal(lane_read(lane, &payload, &err), WEIR_EFAIL);
        assert_non_null(strstr(err.text, "holds more than max_message"));
        free(zeros);
        lane_close();
    }
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(whatever_goes_in_comes_out_in_order_with_every_joiner_and_every_codec),
        SCENE(a_payload_is_sent_when_it_has_max_messages),
        SCENE(a_message_that_does_not_fit_any_more_sends_those_before_it),
        SCENE(a_message_larger_than_a_payload_is_sent_alone_and_after_those_before_it),
        SCENE(without_a_delay_the_end_of_the_turn_sends_all_that_was_ready),
        SCENE(with_a_delay_a_message_waits_for_it_and_no_longer),
        SCENE(an_explicit_flush_sends_what_is_there_and_nothing_when_there_is_nothing),
        SCENE(adaptive_keeps_no_message_that_comes_alone),
        SCENE(adaptive_waits_where_messages_come_fast),
        SCENE(adaptive_waits_while_the_stream_is_full_and_goes_on_when_it_is_drained),
        SCENE(a_payload_that_would_grow_is_sent_as_it_is),
        SCENE(what_is_smaller_than_min_size_is_not_packed_and_what_is_not_is),
        SCENE(adaptive_takes_what_the_budget_allows),
        SCENE(broken_payloads_are_errors_that_say_what_is_wrong),
        SCENE(foreign_ways_to_write_a_payload_are_understood),
        SCENE(messages_that_are_not_taken_yet_keep_their_buffer),
        SCENE(a_bomb_in_a_frame_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
