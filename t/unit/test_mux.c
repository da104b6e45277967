/* test_mux.c: the bytes of framing mux: records of any size on any channel come out as they went in, in whatever pieces the stream
 * comes and whatever packs them; heads come back as they were, without what belongs to one connection; what is broken is an error.
 */
#include "loop.h"

#include <stdio.h>

#include "host.h"
#include "lane.h"
#include "loaded.h"
#include "stats.h"

#include "../../modules/tcp/frames.c"
#include "../../modules/tcp/mux_wire.c"

#define LIMIT (1u << 20)
#define RECORDS 200

static uint32_t seed;

static uint32_t number(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

/* ---- a stream that is memory, and comes in pieces ---- */

static struct {
    char *bytes;
    size_t n, size, read;
} wire;

static int wire_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n)
{
    (void)s;
    for (size_t i = 0; i < n; i++) {
        if (wire.n + chunks[i].bytes.n > wire.size) {
            wire.size = 2 * (wire.n + chunks[i].bytes.n);
            wire.bytes = realloc(wire.bytes, wire.size);
            assert_non_null(wire.bytes);
        }
        if (chunks[i].bytes.n > 0)
            memcpy(wire.bytes + wire.n, chunks[i].bytes.p, chunks[i].bytes.n);
        wire.n += chunks[i].bytes.n;
    }
    return WEIR_OK;
}

static long wire_read(weir_stream_t *s, char *p, size_t n)
{
    (void)s;
    size_t left = wire.n - wire.read, some = 1 + number(number(4) == 0 ? 5 : 40000);
    some = some > n ? n : some;
    some = some > left ? left : some;
    memcpy(p, wire.bytes + wire.read, some);
    wire.read += some;
    return (long)some;
}

/* ---- lanes of the test's own chain ---- */

static struct {
    lane_chain_t chain;
    lane_module_t modules[2];
    stats_lanes_t stats;
} c;

static weir_host_t host;

static weir_lane_t *chain_lane(const weir_lane_spec_t *spec, weir_error_t *err)
{
    return lane_new_on(&c.chain, spec, err);
}

static void chain_add(const char *name, const void *options)
{
    const weir_module_t *module = modules_find(proc->modules, name);
    lane_module_t *item = &c.modules[c.chain.nmodules++];
    *item = (lane_module_t){.module = module, .ops = module->link, .state_offset = c.chain.state_size};
    item->self = module->link->create(proc->host, "here", options, NULL);
    assert_non_null(item->self);
    c.chain.state_size += (uint32_t)((module->link->state_size + 15) & ~(size_t)15);
    if (module->link->flags & WEIR_LINK_GATHERS)
        c.chain.gatherer = item;
}

static void chain_end(void)
{
    lane_chain_end(&c.chain);
    memset(&c, 0, sizeof(c));
    c.chain.modules = c.modules;
    c.chain.stats = &c.stats;
}

static void frames_open(frames_t *f)
{
    weir_framing_place_t place = {.host = &host};
    assert_int_equal(frames_begin(f, &place, &mux_joiner, LIMIT, NULL), WEIR_OK);
}

static int setup(void **state)
{
    static const char *const names[] = {"codec_lz4", "codec_zstd", "codec_gzip", "batch", "compress"};
    seed = 2463534242u;
    process_begin(state);
    proc->host = host_table();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        module_loaded(names[i]);
    host = *proc->host;
    host.stream_read = wire_read;
    host.stream_write = wire_write;
    host.lane_new = chain_lane;
    chain_end();
    return 0;
}

static int teardown(void **state)
{
    chain_end();
    free(wire.bytes);
    memset(&wire, 0, sizeof(wire));
    modules_forgotten();
    return process_end(state);
}

/* ---- records ---- */

static struct {
    uint64_t channel;
    char *bytes;
    size_t n;
} records[RECORDS];

static void record_make(size_t i)
{
    size_t n = 1 + (number(20) == 0 ? number(70000) : number(4) == 0 ? number(3000) : number(100));
    records[i].channel = number(3) == 0 ? number(UINT32_MAX) : number(200);
    records[i].n = n;
    records[i].bytes = malloc(n);
    assert_non_null(records[i].bytes);
    bool is_dense = number(2) == 0;
    for (size_t k = 0; k < n; k++)
        records[i].bytes[k] = (char)(is_dense ? number(256) : 'a' + number(3));
}

static void records_write(frames_t *f)
{
    for (size_t i = 0; i < RECORDS; i++) {
        record_make(i);
        size_t first = number((uint32_t)records[i].n + 1);
        weir_chunk_t parts[2] = {{.bytes = weir_slice(records[i].bytes, first)},
                                 {.bytes = weir_slice(records[i].bytes + first, records[i].n - first)}};
        assert_int_equal(frames_write(f, parts, 2, records[i].channel), WEIR_OK);
        if (number(15) == 0)
            ev_run(proc->loop, EVRUN_NOWAIT);
    }
    assert_int_equal(lane_flush(f->lane, WEIR_FLUSH_DRAIN), WEIR_OK);
}

static void records_read(frames_t *f)
{
    weir_chunk_t record;
    weir_error_t err = {""};
    uint64_t channel;
    size_t seen = 0;
    int result = WEIR_EAGAIN;
    while (frames_fill(f) > 0)
        while ((result = frames_next(f, &record, &channel, &err)) == WEIR_OK) {
            assert_in_range(seen, 0, RECORDS - 1);
            assert_int_equal(channel, records[seen].channel);
            assert_int_equal(record.bytes.n, records[seen].n);
            assert_memory_equal(record.bytes.p, records[seen].bytes, record.bytes.n);
            seen++;
        }
    if (result != WEIR_EAGAIN)
        fail_msg("%s", err.text);
    assert_int_equal(seen, RECORDS);
}

static void records_come_out_as_they_went_in_whatever_packs_them_and_however_they_come(void **state)
{
    (void)state;
    static const char *const codecs[] = {NULL, "lz4", "zstd", "gzip"};
    for (unsigned round = 0; round < 80; round++) {
        struct {
            int64_t max_messages;
            uint64_t max_bytes, max_delay_ms;
            bool is_adaptive;
        } batch = {1 + number(90), 512 + number(100000), 0, number(2) == 0};
        struct {
            const char *codec, *dense;
            int64_t level;
            uint64_t min_size;
            bool is_adaptive;
            double budget;
            weir_strings_t codings;
            int64_t max_open;
        } compress = {codecs[round % 4], "zstd", 0, 1 + number(3000), number(2) == 0, 0.2, {NULL, 0}, 1};
        if (number(4) > 0)
            chain_add("batch", &batch);
        if (compress.codec != NULL)
            chain_add("compress", &compress);
        frames_t out, in;
        frames_open(&out);
        frames_open(&in);
        wire.n = wire.read = 0;
        records_write(&out);
        records_read(&in);
        frames_end(&out);
        frames_end(&in);
        for (size_t i = 0; i < RECORDS; i++)
            free(records[i].bytes);
        chain_end();
    }
}

/* ---- heads ---- */

static char room[MUX_HEAD_ROOM];
static weir_head_t head, read_head;

static mux_out_t out_begin(void)
{
    return (mux_out_t){.p = room, .size = sizeof(room)};
}

static void head_parse(const char *text)
{
    size_t used;
    assert_int_equal(host.http_request(text, strlen(text), 0, &head, &used), WEIR_PARSE_DONE);
}

static const char request[] = "POST /mcp?x=1 HTTP/1.1\r\n"
                              "Host: edge.example\r\n"
                              "Connection: keep-alive, X-Secret\r\n"
                              "X-Secret: for this connection\r\n"
                              "Content-Length: 4\r\n"
                              "Mcp-Session-Id: of the edge\r\n"
                              "Accept: application/json, text/event-stream\r\n"
                              "accept-encoding: gzip\r\n"
                              "X-Custom: one\r\n"
                              "x-custom: two\r\n"
                              "Empty:\r\n"
                              "MCP-Protocol-Version: 2026-07-28\r\n"
                              "Last-Event-ID: 3/17\r\n\r\n";

static const mux_open_t asked = {
    .verb = WEIR_VERB_LISTEN,
    .era = WEIR_ERA_LEGACY,
    .is_tls = true,
    .session = {"token", 5},
    .peer = {"10.0.0.1", 8},
    .principal = {"subject:CN=agent,O=Example", 26},
    .target = {"/mcp?x=1", 8},
    .host = {"h", 1},
    .last_event_id = {"3/17", 4},
    .authorization = {"Bearer x", 8},
    .revision = {"2025-11-25", 10},
};

static mux_in_t in_of(const mux_out_t *out)
{
    assert_false(out->is_over);
    return (mux_in_t){.rest = weir_slice(out->p + 1, out->n - 1)};
}

static weir_slice_t field(const weir_head_t *from, const char *name)
{
    for (uint16_t i = 0; i < from->nfields; i++)
        if (weir_slice_ieq(from->fields[i].name, weir_slice_str(name)))
            return from->fields[i].value;
    return (weir_slice_t){NULL, 0};
}

#define IS(slice, text) assert_true(weir_slice_eq((slice), weir_slice_str(text)))

static void a_head_goes_on_without_what_belongs_to_one_connection(void **state)
{
    (void)state;
    mux_out_t out = out_begin();
    mux_open_t open;
    head_parse(request);
    mux_out_open(&out, &asked, &head, false);
    mux_in_t in = in_of(&out);
    assert_int_equal(mux_in_open(&in, &open, &read_head, NULL), WEIR_OK);
    assert_int_equal(in.rest.n, 0);
    assert_true(open.has_head && open.is_tls && open.verb == WEIR_VERB_LISTEN && open.era == WEIR_ERA_LEGACY);
    IS(open.session, "token");
    IS(open.peer, "10.0.0.1");
    IS(open.principal, "subject:CN=agent,O=Example");
    IS(read_head.method, "GET");
    IS(read_head.target, "/mcp?x=1");
    assert_int_equal(read_head.nfields, 8);
    IS(weir_head_value(&read_head, WEIR_FIELD_HOST), "edge.example");
    IS(weir_head_value(&read_head, WEIR_FIELD_LAST_EVENT_ID), "3/17");
    IS(weir_head_value(&read_head, WEIR_FIELD_MCP_PROTOCOL_VERSION), "2026-07-28");
    IS(field(&read_head, "X-Custom"), "one");
    IS(field(&read_head, "accept-encoding"), "gzip");
    assert_null(field(&read_head, "X-Secret").p);
    assert_true(read_head.known[WEIR_FIELD_CONTENT_LENGTH] < 0 && read_head.known[WEIR_FIELD_CONNECTION] < 0 &&
                read_head.known[WEIR_FIELD_MCP_SESSION_ID] < 0);
}

static void a_reply_that_is_read_at_the_edge_is_not_asked_for_compressed(void **state)
{
    (void)state;
    mux_out_t out = out_begin();
    mux_open_t open;
    head_parse(request);
    mux_out_open(&out, &asked, &head, true);
    mux_in_t in = in_of(&out);
    assert_int_equal(mux_in_open(&in, &open, &read_head, NULL), WEIR_OK);
    assert_null(field(&read_head, "accept-encoding").p);
}

static void a_client_without_a_head_is_told_in_its_own_words(void **state)
{
    (void)state;
    mux_out_t out = out_begin();
    mux_open_t open;
    mux_out_open(&out, &asked, NULL, false);
    mux_in_t in = in_of(&out);
    assert_int_equal(mux_in_open(&in, &open, &read_head, NULL), WEIR_OK);
    assert_false(open.has_head);
    IS(open.principal, "subject:CN=agent,O=Example");
    IS(open.host, "h");
    IS(open.target, "/mcp?x=1");
    IS(open.last_event_id, "3/17");
    IS(open.authorization, "Bearer x");
    IS(open.revision, "2025-11-25");
}

static int principal_reads_back(weir_slice_t principal, mux_open_t *open)
{
    mux_out_t out = out_begin();
    mux_open_t one = asked;
    one.principal = principal;
    mux_out_open(&out, &one, NULL, false);
    mux_in_t in = in_of(&out);
    return mux_in_open(&in, open, &read_head, NULL);
}

static void a_principal_is_printable_and_not_longer_than_any_is(void **state)
{
    (void)state;
    char text[WEIR_PRINCIPAL_MAX + 1];
    mux_open_t open;
    memset(text, 'a', sizeof(text));
    assert_int_equal(principal_reads_back(weir_slice(NULL, 0), &open), WEIR_OK);
    assert_int_equal(open.principal.n, 0);
    IS(open.revision, "2025-11-25");
    assert_int_equal(principal_reads_back(weir_slice(text, WEIR_PRINCIPAL_MAX), &open), WEIR_OK);
    assert_int_equal(open.principal.n, WEIR_PRINCIPAL_MAX);
    assert_int_equal(principal_reads_back(weir_slice(text, WEIR_PRINCIPAL_MAX + 1), &open), WEIR_EFAIL);
    assert_int_equal(principal_reads_back(WEIR_LIT("dns:a\nb"), &open), WEIR_EFAIL);
    assert_int_equal(principal_reads_back(WEIR_LIT("dns:\xc3\xa9"), &open), WEIR_EFAIL);
}

/* Whoever gives a field an id has to give it a number here too: spelled out, it would come without its id. */
static void every_field_that_somebody_acts_on_keeps_its_id(void **state)
{
    (void)state;
    for (int id = 1; id < WEIR_FIELDS_KNOWN; id++)
        if ((OF_A_CONNECTION & FIELD_BIT(id)) == 0 && number_of((weir_field_id_t)id) == 0)
            fail_msg("field %d has no number", id);
    for (size_t i = 0; i < KNOWN_FIELDS; i++) {
        char text[128];
        size_t used, n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%.*s: x\r\n\r\n",
                                          WEIR_FMT(known_fields[i].name));
        assert_int_equal(host.http_reply(text, n, 0, &head, &used), WEIR_PARSE_DONE);
        assert_int_equal(head.fields[0].id, known_fields[i].id);
    }
}

static void a_reply_brings_its_head_the_token_and_the_beginning_of_its_body(void **state)
{
    (void)state;
    mux_out_t out = out_begin();
    weir_reply_t reply = {.status = 404,
                          .session_token = WEIR_LIT("inner token"),
                          .content_type = WEIR_LIT("application/json"),
                          .content_length = 2,
                          .has_body = true};
    mux_out_reply(&out, &reply);
    memcpy(out.p + out.n, "{}", 2);
    out.n += 2;
    mux_in_t in = in_of(&out);
    assert_int_equal(mux_in_reply(&in, &read_head, NULL), WEIR_OK);
    assert_int_equal(read_head.status, 404);
    assert_int_equal(read_head.content_length, 2);
    assert_false(read_head.is_chunked);
    IS(weir_head_value(&read_head, WEIR_FIELD_MCP_SESSION_ID), "inner token");
    IS(weir_head_value(&read_head, WEIR_FIELD_CONTENT_TYPE), "application/json");
    IS(in.rest, "{}");
}

static void a_server_s_head_goes_on_and_its_own_session_id_does_not(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                               "Mcp-Session-Id: the server's\r\nWWW-Authenticate: Bearer\r\n\r\n";
    size_t used;
    mux_out_t out = out_begin();
    assert_int_equal(host.http_reply(text, sizeof(text) - 1, 0, &head, &used), WEIR_PARSE_DONE);
    weir_reply_t reply = {
        .status = 200, .head = &head, .session_token = WEIR_LIT("ours"), .content_length = -1, .has_body = true};
    mux_out_reply(&out, &reply);
    mux_in_t in = in_of(&out);
    assert_int_equal(mux_in_reply(&in, &read_head, NULL), WEIR_OK);
    assert_int_equal(read_head.content_length, -1);
    assert_int_equal(read_head.nfields, 3);
    IS(weir_head_value(&read_head, WEIR_FIELD_MCP_SESSION_ID), "ours");
    IS(field(&read_head, "WWW-Authenticate"), "Bearer");
}

/* ---- what is broken ---- */

/* Cut off anywhere, a record is an error or a shorter message, and nothing is read beyond it. */
static void whatever_is_cut_off_is_no_head(void **state)
{
    (void)state;
    mux_out_t out = out_begin();
    mux_open_t open;
    head_parse(request);
    mux_out_open(&out, &asked, &head, false);
    for (size_t n = 0; n < out.n - 1; n++) {
        char *copy = malloc(n + 1); /* of just this size, so that a sanitizer sees who reads on */
        assert_non_null(copy);
        memcpy(copy + 1, out.p + 1, n);
        mux_in_t in = {.rest = weir_slice(copy + 1, n)};
        weir_error_t err = {""};
        assert_int_equal(mux_in_open(&in, &open, &read_head, &err), WEIR_EFAIL);
        assert_string_not_equal(err.text, "");
        free(copy);
    }
}

static void a_head_that_does_not_fit_says_so_and_writes_nothing_beyond(void **state)
{
    (void)state;
    mux_out_t whole = out_begin();
    head_parse(request);
    mux_out_open(&whole, &asked, &head, false);
    for (size_t size = 0; size < whole.n; size++) {
        char small[1024];
        assert_in_range(size, 0, sizeof(small) - 1);
        memset(small, 'x', sizeof(small));
        mux_out_t out = {.p = small, .size = size};
        mux_out_open(&out, &asked, &head, false);
        assert_true(out.is_over);
        assert_in_range(out.n, 0, size);
        assert_int_equal(small[size], 'x');
    }
}

static void numbers_have_one_end_and_sixty_four_bits(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char p[NUMBER_MAX];
        uint64_t got;
        size_t n = varint_write(p, numbers[i]);
        assert_int_equal(varint_read(weir_slice(p, n), &got), n);
        assert_true(got == numbers[i]);
        assert_int_equal(varint_read(weir_slice(p, n - 1), &got), 0);
    }
    uint64_t got;
    assert_int_equal(varint_read(WEIR_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), &got), 0);
    assert_int_equal(varint_read(WEIR_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &got), 0);
}

static void fields_that_would_frame_a_message_anew_are_refused(void **state)
{
    (void)state;
    static const struct {
        weir_slice_t name, value;
    } fields[] = {
        {{"Content-Length", 14}, {"3", 1}},
        {{"transfer-encoding", 17}, {"chunked", 7}},
        {{"X-A", 3}, {"a\r\nb", 4}},
        {{"X A", 3}, {"a", 1}},
        {{"", 0}, {"a", 1}},
        {{"X\r\nY", 4}, {"a", 1}},
        {{"X-A", 3}, {"a\0b", 3}},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        mux_out_t out = out_begin();
        fields_out_t all = fields_begin(&out);
        field_out(&all, WEIR_FIELD_OTHER, fields[i].name, fields[i].value);
        fields_end(&all);
        mux_in_t in = {.rest = weir_slice(out.p, out.n)};
        fields_in(&in, &read_head);
        assert_true(in.is_broken);
    }
}

static void a_payload_begins_like_that_of_no_codec(void **state)
{
    (void)state;
    char p[WEIR_JOIN_MAX];
    assert_int_equal(mux_joiner.begin(p, 1), 1);
    assert_null(codec_of(weir_slice(p, 1)));
    for (const module_t *m = proc->modules->first; m != NULL; m = m->next)
        if (m->desc->codec != NULL)
            assert_int_not_equal(m->desc->codec->magic.p[0], p[0]);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(records_come_out_as_they_went_in_whatever_packs_them_and_however_they_come),
        SCENE(a_head_goes_on_without_what_belongs_to_one_connection),
        SCENE(a_reply_that_is_read_at_the_edge_is_not_asked_for_compressed),
        SCENE(a_client_without_a_head_is_told_in_its_own_words),
        SCENE(a_principal_is_printable_and_not_longer_than_any_is),
        SCENE(every_field_that_somebody_acts_on_keeps_its_id),
        SCENE(a_reply_brings_its_head_the_token_and_the_beginning_of_its_body),
        SCENE(a_server_s_head_goes_on_and_its_own_session_id_does_not),
        SCENE(whatever_is_cut_off_is_no_head),
        SCENE(a_head_that_does_not_fit_says_so_and_writes_nothing_beyond),
        SCENE(numbers_have_one_end_and_sixty_four_bits),
        SCENE(fields_that_would_frame_a_message_anew_are_refused),
        SCENE(a_payload_begins_like_that_of_no_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
