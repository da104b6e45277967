/* test_coding.c: which coding a peer gets by what it says, and bodies on their way: what is flushed can be read at once, what was cut
 * anywhere comes out whole.
 */
#include "loop.h"

#include <stdio.h>

#include "coding.h"
#include "decode.h"
#include "http1.h"
#include "lane.h"
#include "loaded.h"
#include "stats.h"

#define LIMIT (1u << 20)

static stats_lanes_t stats;
static lane_chain_t chain;

/* gzip before zstd, as the modules' names go: where a peer does not care, that decides. */
static int setup(void **state)
{
    process_begin(state);
    module_loaded("codec_zstd");
    module_loaded("codec_lz4");
    module_loaded("codec_gzip");
    memset(&stats, 0, sizeof(stats));
    chain = (lane_chain_t){.stats = &stats, .codings = {.count = 2, .min_size = 1, .max_open = 2}};
    chain.codings.items[0] = (weir_coding_t){codec_named("gzip"), 6};
    chain.codings.items[1] = (weir_coding_t){codec_named("zstd"), 1};
    return 0;
}

static int teardown(void **state)
{
    modules_forgotten();
    return process_end(state);
}

/* The head of a request with these Accept-Encoding fields; NULL ends them. */
static weir_head_t *head_with(const char *const *fields)
{
    static weir_head_t head;
    static char text[2048];
    size_t used, n = (size_t)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n");
    for (; *fields != NULL; fields++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "Accept-Encoding: %s\r\n", *fields);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
    assert_int_equal(http1_parse_request(text, n, 0, &head, &used), WEIR_PARSE_DONE);
    return &head;
}

static void a_peer_gets_what_it_weighs_most(void **state)
{
    (void)state;
    static const struct {
        const char *fields[3], *coding;
        bool is_needed;
    } cases[] = {
        {{"gzip"}, "gzip", false},
        {{"zstd"}, "zstd", false},
        {{"zstd, gzip"}, "gzip", false}, /* it does not care: ours decides */
        {{"zstd", "gzip;q=0.5"}, "zstd", false},
        {{"zstd;q=0.999,gzip;q=0.998"}, "zstd", false},
        {{"x-gzip;q=0.1"}, "gzip", false},
        {{"GZip ; Q=0.5"}, "gzip", false},
        {{"*"}, "gzip", false},
        {{"*;q=0.2, zstd;q=0.1"}, "gzip", false},
        {{"*, gzip;q=0"}, "zstd", false},
        {{"gzip, identity;q=0"}, "gzip", true},
        {{"gzip, *;q=0"}, "gzip", true},
        {{"*;q=0.5, identity;q=0.1"}, "gzip", false},
        {{"gzip;q=0.5, identity"}, NULL, false},
        {{"gzip;q=0.5, identity;q=0.5"}, "gzip", false},
        {{"gzip;q=0"}, NULL, false},
        {{"gzip;q=0.000"}, NULL, false},
        {{"identity;q=0"}, NULL, false}, /* nothing is left: it is told as if it had said nothing */
        {{"*;q=0"}, NULL, false},
        {{"br, deflate"}, NULL, false},
        {{"gzipped, xgzip, x-"}, NULL, false},
        {{""}, NULL, false},
        {{",, ,gzip,"}, "gzip", false},
        {{"gzip;q=2"}, NULL, false}, /* what is no weight says nothing */
        {{"gzip;q=1.001"}, NULL, false},
        {{"gzip;q=0.1234"}, NULL, false},
        {{"gzip;q=-1"}, NULL, false},
        {{"gzip;q="}, NULL, false},
        {{"gzip;level=9"}, NULL, false},
        {{"gzip;q=0.5;q=1"}, NULL, false},
        {{NULL}, NULL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_needed = true;
        const weir_coding_t *coding = coding_choose(&chain.codings, head_with(cases[i].fields), &is_needed);
        const char *name = coding == NULL ? "nothing" : coding->codec->name;
        if (strcmp(name, cases[i].coding == NULL ? "nothing" : cases[i].coding) != 0 || is_needed != cases[i].is_needed)
            fail_msg("\"%s\" gets %s", cases[i].fields[0], name);
    }
}

static void a_peer_that_says_nothing_takes_what_a_server_packed(void **state)
{
    (void)state;
    const char *nothing[] = {NULL}, *some[] = {"gzip, br;q=0, *;q=0.1", NULL};
    assert_true(coding_is_taken(NULL, WEIR_LIT("br")));
    assert_true(coding_is_taken(head_with(nothing), WEIR_LIT("br")));
    assert_true(coding_is_taken(head_with(some), WEIR_LIT("zstd")));
    assert_true(coding_is_taken(head_with(some), WEIR_LIT("gzip")));
    assert_false(coding_is_taken(head_with(some), WEIR_LIT("br")));
}

static void codecs_are_found_by_their_coding(void **state)
{
    (void)state;
    char names[64];
    assert_ptr_equal(coding_of(WEIR_LIT("GZIP")), codec_named("gzip"));
    assert_ptr_equal(coding_of(WEIR_LIT("x-gzip")), codec_named("gzip"));
    assert_null(coding_of(WEIR_LIT("lz4")));
    assert_null(coding_of(WEIR_LIT("")));
    assert_null(coding_of(WEIR_LIT("gzip, gzip")));
    assert_int_equal(coding_names(names, sizeof(names)), 10);
    assert_memory_equal(names, "gzip, zstd", 10);
    assert_int_equal(coding_names(names, 9), 4); /* what does not fit is left out */
}

/* ---- bodies ---- */

static char said[LIMIT];
static size_t nsaid;

static int on_piece(void *owner, const weir_chunk_t *piece)
{
    (void)owner;
    memcpy(said + nsaid, piece->bytes.p, piece->bytes.n);
    nsaid += piece->bytes.n;
    return WEIR_OK;
}

static void every_event_can_be_read_when_it_is_written(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < chain.codings.count; c++) {
        const weir_coding_t *coding = &chain.codings.items[c];
        weir_encoder_t *encoder = encoder_new(&chain.codings, coding, true);
        decoder_t *decoder = decode_new(coding->codec, LIMIT);
        weir_chunk_t packed;
        for (unsigned i = 0; i < 500; i++) {
            char event[64];
            int n = snprintf(event, sizeof(event), "data: {\"number\":%u}\n\n", i * 7919);
            weir_chunk_t parts[] = {{.bytes = weir_slice(event, 6)}, {.bytes = weir_slice(event + 6, (size_t)n - 6)}};
            assert_int_equal(encode(encoder, parts, 2, WEIR_PACK_FLUSH, &packed), WEIR_OK);
            nsaid = 0;
            assert_int_equal(decode_bytes(decoder, &packed, 1, on_piece, NULL, NULL), WEIR_OK);
            assert_int_equal(nsaid, n);
            assert_memory_equal(said, event, (size_t)n);
            buf_unref(packed.buf);
        }
        assert_int_equal(decode_end(decoder, NULL), WEIR_EFAIL);
        assert_int_equal(encode(encoder, NULL, 0, WEIR_PACK_END, &packed), WEIR_OK);
        assert_int_equal(decode_bytes(decoder, &packed, 1, on_piece, NULL, NULL), WEIR_OK);
        assert_int_equal(decode_end(decoder, NULL), WEIR_OK);
        buf_unref(packed.buf);
        encoder_free(encoder);
        decode_free(decoder);
    }
}

/* All of it, given in pieces of `size` bytes, from one buffer. */
static size_t packed_in_pieces(const weir_coding_t *coding, weir_slice_t body, size_t size, char *out)
{
    weir_encoder_t *encoder = encoder_new(&chain.codings, coding, false);
    size_t at = 0;
    weir_chunk_t packed;
    do {
        size_t n = body.n < size ? body.n : size;
        weir_chunk_t piece = {.bytes = weir_slice(body.p, n)};
        body = weir_slice(body.p + n, body.n - n);
        assert_int_equal(encode(encoder, &piece, 1, body.n == 0 ? WEIR_PACK_END : WEIR_PACK_MORE, &packed), WEIR_OK);
        if (packed.bytes.n > 0)
            memcpy(out + at, packed.bytes.p, packed.bytes.n);
        at += packed.bytes.n;
        buf_unref(packed.buf);
    } while (body.n > 0);
    encoder_free(encoder);
    return at;
}

static void a_body_cut_anywhere_comes_out_whole(void **state)
{
    (void)state;
    static char body[200000], packed[300000];
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)("{\"a\":[1,22,333],\"b\":\"\"}"[(i * i / 7 + i / 1000) % 24]);
    for (uint32_t c = 0; c < chain.codings.count; c++)
        for (size_t size = 1000; size <= 150000; size += 13337) {
            size_t n = packed_in_pieces(&chain.codings.items[c], weir_slice(body, sizeof(body)), size, packed);
            for (size_t step = 1; step < n; step = step * 3 + 1) {
                decoder_t *decoder = decode_new(chain.codings.items[c].codec, LIMIT);
                nsaid = 0;
                for (size_t at = 0; at < n; at += step) {
                    weir_chunk_t piece = {.bytes = weir_slice(packed + at, n - at < step ? n - at : step)};
                    assert_int_equal(decode_bytes(decoder, &piece, 1, on_piece, NULL, NULL), WEIR_OK);
                }
                assert_int_equal(decode_end(decoder, NULL), WEIR_OK);
                assert_int_equal(nsaid, sizeof(body));
                assert_memory_equal(said, body, sizeof(body));
                decode_free(decoder);
            }
        }
    assert_int_equal(chain.open_bodies, 0);
}

static int on_piece_of_a_bomb(void *owner, const weir_chunk_t *piece)
{
    *(size_t *)owner += piece->bytes.n;
    return WEIR_OK;
}

static void what_comes_at_a_time_expands_to_no_more_than_the_limit(void **state)
{
    (void)state;
    static char body[8u << 20], packed[100000];
    for (uint32_t c = 0; c < chain.codings.count; c++) {
        size_t n = packed_in_pieces(&chain.codings.items[c], weir_slice(body, sizeof(body)), sizeof(body), packed);
        decoder_t *decoder = decode_new(chain.codings.items[c].codec, LIMIT);
        weir_chunk_t whole = {.bytes = weir_slice(packed, n)};
        weir_error_t err;
        size_t seen = 0;
        assert_int_equal(decode_bytes(decoder, &whole, 1, on_piece_of_a_bomb, &seen, &err), WEIR_EFAIL);
        assert_non_null(strstr(err.text, "max_message (1048576 bytes)"));
        assert_true(seen <= LIMIT);
        decode_free(decoder);
    }
}

static void garbage_behind_a_body_is_an_error(void **state)
{
    (void)state;
    static char packed[4096];
    size_t n = packed_in_pieces(&chain.codings.items[0], WEIR_LIT("{}"), 1, packed);
    weir_chunk_t whole = {.bytes = weir_slice(packed, n)};
    decoder_t *decoder = decode_new(codec_named("gzip"), LIMIT);
    weir_chunk_t garbage = {.bytes = WEIR_LIT("\x1f\x8b\x08\xff\xff\xff\xff\xff\xff\xff\xff")};
    weir_error_t err = {""};
    assert_int_equal(decode_bytes(decoder, &whole, 1, on_piece, NULL, &err), WEIR_OK);
    assert_int_equal(decode_bytes(decoder, &garbage, 1, on_piece, NULL, &err), WEIR_EFAIL);
    assert_non_null(strstr(err.text, "gzip: "));
    decode_free(decoder);
}

static void no_more_bodies_are_open_than_may_be(void **state)
{
    (void)state;
    const weir_coding_t *coding = &chain.codings.items[0];
    weir_encoder_t *first = encoder_new(&chain.codings, coding, true);
    weir_encoder_t *second = encoder_new(&chain.codings, coding, false);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(encoder_new(&chain.codings, coding, true));
    encoder_free(first);
    first = encoder_new(&chain.codings, coding, true);
    assert_non_null(first);
    encoder_free(first);
    encoder_free(second);
    assert_int_equal(stats.packed, 3);
}

static void bytes_are_counted_as_they_were_and_as_they_went(void **state)
{
    (void)state;
    static char packed[4096];
    char body[3000];
    memset(body, 'a', sizeof(body));
    size_t n = packed_in_pieces(&chain.codings.items[0], weir_slice(body, sizeof(body)), 100, packed);
    assert_int_equal(stats.bytes_joined, sizeof(body));
    assert_int_equal(stats.bytes_sent, n);
    weir_chunk_t plain = {.buf = NULL};
    assert_int_equal(decode(&chain.codings, codec_named("gzip"), weir_slice(packed, n), LIMIT, &plain, NULL), WEIR_OK);
    assert_int_equal(plain.bytes.n, sizeof(body));
    buf_unref(plain.buf);
    assert_int_equal(decode(&chain.codings, codec_named("gzip"), weir_slice(packed, n), 2999, &plain, NULL),
                     WEIR_EFULL);
    assert_int_equal(stats.bytes_read, 2 * n);
    assert_int_equal(stats.bytes_expanded, sizeof(body));
    assert_int_equal(stats.broken, 1);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_peer_gets_what_it_weighs_most),
        SCENE(a_peer_that_says_nothing_takes_what_a_server_packed),
        SCENE(codecs_are_found_by_their_coding),
        SCENE(every_event_can_be_read_when_it_is_written),
        SCENE(a_body_cut_anywhere_comes_out_whole),
        SCENE(what_comes_at_a_time_expands_to_no_more_than_the_limit),
        SCENE(garbage_behind_a_body_is_an_error),
        SCENE(no_more_bodies_are_open_than_may_be),
        SCENE(bytes_are_counted_as_they_were_and_as_they_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
