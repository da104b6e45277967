/* test_codec.c: the three codecs as they were built: what is packed comes out again, however it was cut; what is broken is an
 * error; and nothing is expanded beyond the bound. */
#include "loop.h"

#include <stdio.h>

#include "loaded.h"

#define LIMIT (1u << 20)

static const char *const codecs[] = {"lz4", "zstd", "gzip"};
static uint32_t seed;

/* xorshift: the same numbers in every run. */
static uint32_t number(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static int setup(void **state)
{
    seed = 2463534242u;
    process_begin(state);
    module_loaded("codec_lz4");
    module_loaded("codec_zstd");
    module_loaded("codec_gzip");
    return 0;
}

static int teardown(void **state)
{
    modules_forgotten();
    return process_end(state);
}

/* Text that packs well, text that does not, and what is between them. */
static char *text_of(size_t n, uint32_t letters)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(number(8) == 0 && i > 64 ? text[i - 64] : (char)number(letters));
    return text;
}

/* Pack `in` in pieces of random sizes, some of them flushed. */
static size_t packed(const weir_codec_t *codec, void *packer, weir_slice_t in, char *out, size_t room, bool is_cut)
{
    size_t at = 0;
    assert_int_equal(codec->pack_begin(packer, number(2) == 0 ? in.n : 0), WEIR_OK);
    for (unsigned pieces = 0; is_cut && pieces < 20 && in.n > 0; pieces++) {
        size_t n = number((uint32_t)(in.n < 5000 ? in.n : 5000) + 1);
        long wrote = codec->pack(packer, weir_slice(in.p, n), number(4) == 0 ? WEIR_PACK_FLUSH : WEIR_PACK_MORE,
                                 out + at, room - at);
        assert_true(wrote >= 0);
        at += (size_t)wrote;
        in.p += n;
        in.n -= n;
    }
    long wrote = codec->pack(packer, in, WEIR_PACK_END, out + at, room - at);
    assert_true(wrote > 0);
    return at + (size_t)wrote;
}

static void what_is_packed_comes_out_again_however_it_was_cut(void **state)
{
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        const weir_codec_t *codec = codec_named(codecs[c]);
        assert_non_null(codec);
        void *packer = codec->packer_new(codec->level_default, NULL);
        assert_non_null(packer);
        for (unsigned round = 0; round < 300; round++) {
            size_t n = number(3) == 0 ? number(64) : number(200000);
            char *text = text_of(n, 1 + number(256));
            size_t room = codec->packed_bound(n) + 20 * 64; /* a flush costs a few bytes each time */
            char *frame = malloc(room);
            size_t size = packed(codec, packer, weir_slice(text, n), frame, room, number(2) == 0);
            assert_ptr_equal(codec_of(weir_slice(frame, size)), codec);
            weir_chunk_t out;
            weir_error_t err = {""};
            if (codec_expand(codec, weir_slice(frame, size), LIMIT, &out, &err) != WEIR_OK)
                fail_msg("%s", err.text);
            assert_int_equal(out.bytes.n, n);
            assert_memory_equal(out.bytes.p, text, n);
            buf_unref(out.buf);
            free(frame);
            free(text);
        }
        codec->packer_free(packer);
    }
}

static char *frame_of(const weir_codec_t *codec, weir_slice_t in, bool is_size_told, size_t *size)
{
    void *packer = codec->packer_new(codec->level_default, NULL);
    size_t room = codec->packed_bound(in.n);
    char *frame = malloc(room);
    assert_int_equal(codec->pack_begin(packer, is_size_told ? in.n : 0), WEIR_OK);
    long wrote = 0;
    if (!is_size_told) /* a packer that is given all at once may tell it by itself */
        wrote = codec->pack(packer, weir_slice(in.p, in.n / 2), WEIR_PACK_MORE, frame, room);
    size_t at = is_size_told ? 0 : in.n / 2;
    assert_true(wrote >= 0);
    long more =
        codec->pack(packer, weir_slice(in.p + at, in.n - at), WEIR_PACK_END, frame + wrote, room - (size_t)wrote);
    assert_true(more > 0);
    codec->packer_free(packer);
    *size = (size_t)(wrote + more);
    return frame;
}

static void level_by_level_every_codec_packs(void **state)
{
    (void)state;
    char *text = text_of(20000, 6);
    for (size_t c = 0; c < 3; c++) {
        const weir_codec_t *codec = codec_named(codecs[c]);
        for (int level = codec->level_min; level <= codec->level_max; level++) {
            void *packer = codec->packer_new(level, NULL);
            assert_non_null(packer);
            char frame[32768];
            assert_int_equal(codec->pack_begin(packer, 20000), WEIR_OK);
            assert_true(codec->pack(packer, weir_slice(text, 20000), WEIR_PACK_END, frame, sizeof(frame)) > 0);
            codec->packer_free(packer);
        }
    }
    free(text);
}

static void a_bomb_is_stopped_at_the_bound(void **state)
{
    (void)state;
    size_t n = 64u << 20, size;
    char *zeros = calloc(1, n);
    for (size_t c = 0; c < 3; c++)
        for (int is_told = 0; is_told < 2; is_told++) {
            const weir_codec_t *codec = codec_named(codecs[c]);
            char *frame = frame_of(codec, weir_slice(zeros, n), is_told, &size);
            assert_true(size < n / 100);
            weir_chunk_t out;
            weir_error_t err = {""};
            assert_int_equal(codec_expand(codec, weir_slice(frame, size), LIMIT, &out, &err), WEIR_EFULL);
            if (strstr(err.text, "max_message (1048576 bytes)") == NULL)
                fail_msg("%s", err.text);
            free(frame);
        }
    free(zeros);
}

static void what_is_exactly_as_large_as_the_bound_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    char *text = text_of(100001, 4);
    for (size_t c = 0; c < 3; c++)
        for (int is_told = 0; is_told < 2; is_told++)
            for (size_t n = 100000; n <= 100001; n++) {
                const weir_codec_t *codec = codec_named(codecs[c]);
                size_t size;
                char *frame = frame_of(codec, weir_slice(text, n), is_told, &size);
                weir_chunk_t out = {0};
                weir_error_t err = {""};
                int rc = codec_expand(codec, weir_slice(frame, size), 100000, &out, &err);
                if ((rc == WEIR_OK) != (n == 100000))
                    fail_msg("%s: %zu bytes: %s", codec->name, n, err.text);
                buf_unref(out.buf);
                free(frame);
            }
    free(text);
}

static void half_a_frame_is_an_error_wherever_it_breaks_off(void **state)
{
    (void)state;
    char *text = text_of(3000, 30);
    for (size_t c = 0; c < 3; c++) {
        const weir_codec_t *codec = codec_named(codecs[c]);
        size_t size;
        char *frame = frame_of(codec, weir_slice(text, 3000), false, &size);
        for (size_t n = codec->magic.n; n < size; n++) {
            char *half = malloc(n); /* of just this size, so that a sanitizer sees who reads on */
            memcpy(half, frame, n);
            weir_chunk_t out;
            assert_true(codec_expand(codec, weir_slice(half, n), LIMIT, &out, NULL) != WEIR_OK);
            free(half);
        }
        free(frame);
    }
    free(text);
}

static void garbage_after_a_magic_is_an_error_and_the_context_serves_the_next_frame(void **state)
{
    (void)state;
    char *text = text_of(5000, 20);
    for (size_t c = 0; c < 3; c++) {
        const weir_codec_t *codec = codec_named(codecs[c]);
        size_t size;
        char *frame = frame_of(codec, weir_slice(text, 5000), true, &size);
        char *broken = malloc(size);
        for (unsigned round = 0; round < 2000; round++) {
            weir_chunk_t out = {0};
            memcpy(broken, frame, size);
            unsigned times = 1 + number(4);
            while (times-- > 0)
                broken[codec->magic.n + number((uint32_t)(size - codec->magic.n))] = (char)number(256);
            if (codec_expand(codec, weir_slice(broken, size), LIMIT, &out, NULL) == WEIR_OK)
                buf_unref(out.buf);
            assert_int_equal(codec_expand(codec, weir_slice(frame, size), LIMIT, &out, NULL), WEIR_OK);
            assert_int_equal(out.bytes.n, 5000);
            assert_memory_equal(out.bytes.p, text, 5000);
            buf_unref(out.buf);
        }
        free(broken);
        free(frame);
    }
    free(text);
}

static void bytes_after_a_frame_are_another_frame_or_an_error(void **state)
{
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        const weir_codec_t *codec = codec_named(codecs[c]);
        size_t size;
        char *frame = frame_of(codec, WEIR_LIT("{\"one\":1}\n"), true, &size), twice[512] = "";
        assert_true(size * 2 + 1 < sizeof(twice));
        memcpy(twice, frame, size);
        memcpy(twice + size, frame, size);
        twice[size * 2] = 'x';
        weir_chunk_t out;
        assert_int_equal(codec_expand(codec, weir_slice(twice, size * 2), LIMIT, &out, NULL), WEIR_OK);
        assert_int_equal(out.bytes.n, 20);
        buf_unref(out.buf);
        weir_error_t err = {""};
        assert_int_equal(codec_expand(codec, weir_slice(twice, size * 2 + 1), LIMIT, &out, &err), WEIR_EFAIL);
        assert_non_null(strstr(err.text, "1 bytes after the end of the frame"));
        free(frame);
    }
}

/* A head may ask for any window; what it gets is bounded by what may be expanded. */
static void a_zstd_head_that_asks_for_a_huge_window_gets_no_memory(void **state)
{
    (void)state;
    static const char head[] = "\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"; /* window of 1 GiB, an empty last block */
    weir_chunk_t out = {0};
    weir_error_t err = {""};
    assert_int_equal(codec_expand(codec_named("zstd"), weir_slice(head, 9), LIMIT, &out, &err), WEIR_EFAIL);
    assert_non_null(strstr(err.text, "memory"));
}

static void json_begins_like_no_codec(void **state)
{
    (void)state;
    assert_null(codec_of(WEIR_LIT("{\"jsonrpc\":\"2.0\"}")));
    assert_null(codec_of(WEIR_LIT("[")));
    assert_null(codec_of(WEIR_LIT("")));
    assert_null(codec_of(WEIR_LIT("\x04\x22\x4d")));
    assert_null(codec_named("brotli"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_packed_comes_out_again_however_it_was_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(level_by_level_every_codec_packs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bomb_is_stopped_at_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_exactly_as_large_as_the_bound_passes_and_one_byte_more_does_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(half_a_frame_is_an_error_wherever_it_breaks_off, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_after_a_magic_is_an_error_and_the_context_serves_the_next_frame, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_after_a_frame_are_another_frame_or_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_zstd_head_that_asks_for_a_huge_window_gets_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(json_begins_like_no_codec, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
