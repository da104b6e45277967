/* test_http1_chunked.c: the decoder of chunked bodies: every split of what is good, and nothing of what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "http1.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement ---- */

typedef struct decoded {
    weir_chunked_t c;
    char data[65536];
    size_t n;
    int result; /* of the last call */
} decoded_t;

/* Decode what has arrived until nothing of it is left or nothing more can be done. Returns how much was used. */
static size_t feed(decoded_t *d, const char *p, size_t n)
{
    char *copy = malloc(n);
    assert_true(n == 0 || copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    size_t at = 0;
    do {
        size_t used = 0;
        weir_slice_t data;
        d->result = http1_chunked_decode(&d->c, copy + at, n - at, &used, &data);
        if (d->result == WEIR_EFAIL)
            break;
        assert_true(used <= n - at);
        assert_true(data.n == 0 || (data.p >= copy + at && data.p + data.n == copy + at + used));
        assert_true(d->n + data.n <= sizeof(d->data));
        if (data.n > 0)
            memcpy(d->data + d->n, data.p, data.n);
        d->n += data.n;
        at += used;
    } while (d->result == WEIR_OK && !d->c.is_done && at < n);
    free(copy);
    return at;
}

static void assert_decoded(const decoded_t *d, const char *expected)
{
    assert_true(d->c.is_done);
    assert_int_equal(d->n, strlen(expected));
    assert_memory_equal(d->data, expected, d->n);
}

static void check_good(const char *body, const char *expected)
{
    size_t n = strlen(body);
    for (size_t split = 0; split <= n; split++) {
        decoded_t d = {0};
        assert_int_equal(feed(&d, body, split), split);
        assert_int_equal(d.c.is_done, split == n);
        if (split < n)
            assert_int_equal(feed(&d, body + split, n - split), n - split);
        assert_decoded(&d, expected);
    }
    decoded_t d = {0};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(feed(&d, body + i, 1), 1);
    assert_decoded(&d, expected);
}

/* Refused, no matter how it arrives. */
static void check_bad(const char *body, size_t n)
{
    decoded_t at_once = {0}, byte_by_byte = {0};
    feed(&at_once, body, n);
    for (size_t i = 0; i < n && byte_by_byte.result != WEIR_EFAIL && !byte_by_byte.c.is_done; i++)
        feed(&byte_by_byte, body + i, 1);
    if (at_once.result != WEIR_EFAIL || byte_by_byte.result != WEIR_EFAIL)
        fail_msg("%d at once, %d byte by byte:\n%.*s", at_once.result, byte_by_byte.result, (int)n, body);
}

#define CHECK_BAD(literal) check_bad(literal, sizeof(literal) - 1)

/* ---- what is good ---- */

static void a_body_is_its_data_from_every_split(void **state)
{
    (void)state;
    check_good("0\r\n\r\n", "");
    check_good("5\r\nhello\r\n0\r\n\r\n", "hello");
    check_good("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "hello world");
    check_good("a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789");
    check_good("0000010\r\n0123456789abcdef\r\n0\r\n\r\n", "0123456789abcdef");
    check_good("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n");
}

static void extensions_and_trailers_are_read_over(void **state)
{
    (void)state;
    check_good("5;a\r\nhello\r\n0;last\r\n\r\n", "hello");
    check_good("5;a=b;c=\"d;e\"\r\nhello\r\n0\r\n\r\n", "hello");
    check_good("5 ;\ta = b \r\nhello\r\n0\r\n\r\n", "hello");
    check_good("5 \t\r\nhello\r\n0\r\n\r\n", "hello");
    check_good("5\r\nhello\r\n0\r\nDigest: x\r\nOther:\ty\r\n\r\n", "hello");
    check_good("0\r\nContent-Length: 5\r\n\r\n", "");
}

static void what_follows_the_body_is_left_alone(void **state)
{
    (void)state;
    static const char both[] = "1\r\na\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\n";
    decoded_t d = {0};
    assert_int_equal(feed(&d, both, sizeof(both) - 1), strlen("1\r\na\r\n0\r\nT: x\r\n\r\n"));
    assert_decoded(&d, "a");
    assert_int_equal(feed(&d, "more", 4), 0);
    assert_int_equal(d.n, 1);
}

static void that_more_has_to_come_is_said(void **state)
{
    (void)state;
    decoded_t d = {0};
    feed(&d, "5", 1);
    assert_int_equal(d.result, WEIR_EAGAIN);
    feed(&d, "\r\nhel", 5);
    assert_int_equal(d.result, WEIR_OK);
    assert_int_equal(d.c.left, 2);
    feed(&d, "lo\r", 3);
    feed(&d, "\n0\r\n", 4);
    assert_int_equal(d.result, WEIR_EAGAIN);
    feed(&d, "\r\n", 2);
    assert_int_equal(d.result, WEIR_OK);
    assert_decoded(&d, "hello");
}

static void a_size_goes_up_to_what_63_bits_hold(void **state)
{
    (void)state;
    decoded_t d = {0};
    feed(&d, "7FFFFFFFffffffff\r\nx", 19);
    assert_true(d.c.left == INT64_MAX - 1);
    assert_int_equal(d.n, 1);
    CHECK_BAD("8000000000000000\r\n");
    CHECK_BAD("10000000000000000\r\n");
    CHECK_BAD("100000000000000000000000000000005\r\nhello\r\n0\r\n\r\n");
    CHECK_BAD("ffffffffffffffff\r\n");
}

/* ---- what is not ---- */

static void what_two_readers_could_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        /* sizes */
        "\r\n\r\n",
        "\r\n0\r\n\r\n",
        " 5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5x\r\nhello\r\n",
        "g\r\n",
        ";a\r\n",
        "5 5\r\nhello\r\n",
        "5 a\r\nhello\r\n",
        "5,\r\nhello\r\n",
        "5\t0\r\nhello\r\n",
        /* ends of lines */
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\n\r\r\n",
        /* extensions */
        "5;a\nhello\r\n0\r\n\r\n",
        "5;\nxx\r\n4c\r\n0\r\n\r\n",
        "5;a\rhello\r\n",
        "5;a\r\rhello\r\n",
        "5;\x01\r\nhello\r\n",
        "5 \nhello\r\n",
        /* trailers */
        "0\r\nT: x\n\r\n",
        "0\r\nT: x\n\n",
        "0\r\nT: x\r\r\n\r\n",
        "0\r\nT: x\rU: y\r\n\r\n",
        "0\r\nT: x\r\n\n",
        "0\r\nT: \x01\r\n\r\n",
        "0\r\n\x01\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(bodies); i++)
        check_bad(bodies[i], strlen(bodies[i]));
    CHECK_BAD("0\r\nT: \0\r\n\r\n");
    CHECK_BAD("5;\0\r\nhello\r\n");
    CHECK_BAD("5\0\r\nhello\r\n");
}

/* What may go on for ever is bounded, in one chunk. */
static void check_flood(const char *before, char flood, const char *line, size_t limit)
{
    decoded_t d = {0};
    size_t given = 0, line_n = line == NULL ? 1 : strlen(line);
    feed(&d, before, strlen(before));
    while (d.result != WEIR_EFAIL && given < 10 * limit) {
        feed(&d, line == NULL ? &flood : line, line_n);
        given += line_n;
    }
    if (d.result != WEIR_EFAIL)
        fail_msg("%zu bytes after \"%s\" were taken", given, before);
    assert_true(given >= limit);
}

static void nothing_that_is_no_data_goes_on_for_ever(void **state)
{
    (void)state;
    check_flood("5;a=", 'x', NULL, 1000);
    check_flood("5", ' ', NULL, 1000);
    check_flood("0", '0', NULL, 1000);
    check_flood("0\r\nT: ", 'x', NULL, 16000);
    check_flood("0\r\n", 0, "T: x\r\n", 16000);
}

static void many_small_chunks_are_as_good_as_a_large_one(void **state)
{
    (void)state;
    decoded_t d = {0};
    for (int i = 0; i < 5000; i++)
        feed(&d, "1;ext=0123456789\r\nx\r\n", 21);
    feed(&d, "0\r\n\r\n", 5);
    assert_true(d.c.is_done);
    assert_int_equal(d.n, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_its_data_from_every_split),
        cmocka_unit_test(extensions_and_trailers_are_read_over),
        cmocka_unit_test(what_follows_the_body_is_left_alone),
        cmocka_unit_test(that_more_has_to_come_is_said),
        cmocka_unit_test(a_size_goes_up_to_what_63_bits_hold),
        cmocka_unit_test(what_two_readers_could_read_in_two_ways_is_refused),
        cmocka_unit_test(nothing_that_is_no_data_goes_on_for_ever),
        cmocka_unit_test(many_small_chunks_are_as_good_as_a_large_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
