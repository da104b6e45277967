/* test_lines.c: newline-delimited messages out of the bytes of a stream. */
#include "loop.h"

#include <stdio.h>

#include "lines.h"

/* ---- arrangement: lines are written down as [line], one that is too long as [!] ---- */

#define LONGEST 20

static weir_lines_t lines;
static char heard[4096];

static void hear_all(void)
{
    size_t at = 0;
    weir_slice_t line;
    weir_lines_found_t found;
    while ((found = lines_next(&lines, &at, LONGEST, &line)) != WEIR_LINES_MORE) {
        size_t n = strlen(heard);
        if (found == WEIR_LINES_TOO_LONG)
            snprintf(heard + n, sizeof(heard) - n, "[!]");
        else if (found == WEIR_LINES_LINE && line.n > 0)
            snprintf(heard + n, sizeof(heard) - n, "[%.*s]", WEIR_FMT(line));
        if (lines.buf == NULL)
            return;
    }
}

static void say(const char *p, size_t n)
{
    weir_slice_t room = lines_room(&lines);
    assert_true(room.n >= n);
    memcpy((char *)room.p, p, n);
    lines_filled(&lines, n);
    hear_all();
}

static void begin_again(void)
{
    lines_free(&lines);
    memset(&lines, 0, sizeof(lines));
    heard[0] = '\0';
}

static int begin(void **state)
{
    process_begin(state);
    begin_again();
    return 0;
}

static int end(void **state)
{
    lines_free(&lines);
    return process_end(state);
}

static void check(const char *text, const char *expected)
{
    size_t n = strlen(text);
    for (size_t split = 0; split <= n; split++) {
        begin_again();
        say(text, split);
        say(text + split, n - split);
        if (strcmp(heard, expected) != 0)
            fail_msg("split at %zu of\n%s\ngave %s, not %s", split, text, heard, expected);
    }
    begin_again();
    for (size_t i = 0; i < n; i++)
        say(text + i, 1);
    assert_string_equal(heard, expected);
}

/* ---- scenes ---- */

static void lines_come_out_of_every_split(void **state)
{
    (void)state;
    check("one\n", "[one]");
    check("one\ntwo\r\n\n\r\nthree\n", "[one][two][three]");
    check("a\rb\r\r\n", "[a\rb\r]");
    check("one\nunfinished", "[one]");
}

static void a_line_that_is_too_long_costs_itself_and_no_other(void **state)
{
    (void)state;
    check("12345678901234567890\n", "[12345678901234567890]");
    check("12345678901234567890\r\nx\n", "[12345678901234567890][x]");
    check("123456789012345678901\nx\n", "[!][x]");
    check("a\n1234567890123456789012345678901234567890\nb\n", "[a][!][b]");
}

static void what_was_handed_out_stays_while_somebody_reads_it(void **state)
{
    (void)state;
    weir_slice_t room = lines_room(&lines), line;
    size_t at = 0;
    memcpy((char *)room.p, "first\nsec", 9);
    lines_filled(&lines, 9);
    assert_int_equal(lines_next(&lines, &at, LONGEST, &line), WEIR_LINES_LINE);
    weir_buf_t *kept = lines.buf;
    buf_ref(kept);
    assert_int_equal(lines_next(&lines, &at, LONGEST, &line), WEIR_LINES_MORE);
    assert_ptr_not_equal(lines.buf, kept);
    say("ond\n", 4);
    assert_string_equal(heard, "[second]");
    assert_memory_equal(kept->data, "first", 5);
    buf_unref(kept);
}

static void a_line_larger_than_a_buffer_gets_a_larger_one(void **state)
{
    (void)state;
    size_t size = 5 * BUF_SIZE, given = 0, at = 0;
    weir_slice_t line;
    weir_lines_found_t found = WEIR_LINES_MORE;
    while (found == WEIR_LINES_MORE) {
        weir_slice_t room = lines_room(&lines);
        size_t n = size - given < room.n ? size - given : room.n;
        assert_true(n > 0);
        memset((char *)room.p, 'x', n);
        given += n;
        if (given == size)
            ((char *)room.p)[n - 1] = '\n';
        lines_filled(&lines, n);
        at = 0;
        found = lines_next(&lines, &at, size, &line);
    }
    assert_int_equal(found, WEIR_LINES_LINE);
    assert_int_equal(line.n, size - 1);
    assert_true(line.p[0] == 'x' && line.p[line.n - 1] == 'x');
}

static void between_lines_there_is_no_buffer(void **state)
{
    (void)state;
    say("one\n", 4);
    assert_null(lines.buf);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    say("tw", 2);
    assert_non_null(lines.buf);
    say("o\n", 2);
    assert_null(lines.buf);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(lines_come_out_of_every_split),
        SCENE(a_line_that_is_too_long_costs_itself_and_no_other),
        SCENE(what_was_handed_out_stays_while_somebody_reads_it),
        SCENE(a_line_larger_than_a_buffer_gets_a_larger_one),
        SCENE(between_lines_there_is_no_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
