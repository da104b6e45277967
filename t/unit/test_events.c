/* test_events.c: what a session has sent, kept for whoever asks for the rest of a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "events.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static events_t events;

static int end(void **state)
{
    (void)state;
    events_free(&events);
    assert_true(events.bytes == 0);
    return 0;
}

static uint32_t add(uint32_t stream, const char *text)
{
    weir_slice_t part = weir_slice_str(text);
    return events_add(&events, stream, &part, 1, false);
}

/* The texts of a stream after a number, joined. */
static const char *after(uint32_t stream, uint32_t number)
{
    static char joined[1024];
    size_t n = 0;
    const event_t *event;
    while ((event = events_after(&events, stream, number)) != NULL) {
        assert_true(event->number > number && event->stream == stream && n + event->n < sizeof(joined));
        memcpy(joined + n, event->data, event->n);
        n += event->n;
        number = event->number;
    }
    joined[n] = '\0';
    return joined;
}

static void a_stream_goes_on_after_the_event_that_was_seen_last(void **state)
{
    (void)state;
    events_init(&events, 65536);
    uint32_t a = add(1, "a"), x = add(2, "x"), b = add(1, "b"), y = add(0, "y"), c = add(1, "c");
    assert_true(a < x && x < b && b < y && y < c);
    assert_string_equal(after(1, 0), "abc");
    assert_string_equal(after(1, a), "bc");
    assert_string_equal(after(1, x), "bc");
    assert_string_equal(after(1, c), "");
    assert_string_equal(after(2, 0), "x");
    assert_string_equal(after(0, a), "y");
    assert_string_equal(after(3, 0), "");
    assert_int_equal(events.lost, 0);
}

static void an_event_is_kept_whole_with_what_it_ends(void **state)
{
    (void)state;
    events_init(&events, 65536);
    const weir_slice_t parts[] = {WEIR_LIT("{\"id\":"), WEIR_LIT(""), {NULL, 0}, WEIR_LIT("7}")};
    uint32_t number = events_add(&events, 3, parts, COUNT(parts), true);
    const event_t *event = events_after(&events, 3, number - 1);
    assert_non_null(event);
    assert_true(event->is_final);
    assert_int_equal(event->n, 8);
    assert_memory_equal(event->data, "{\"id\":7}", 8);
    assert_int_equal(events_add(&events, 3, NULL, 0, false), number + 1);
    assert_int_equal(events_after(&events, 3, number)->n, 0);
}

static void the_oldest_go_first_when_there_is_no_room(void **state)
{
    (void)state;
    events_init(&events, 3 * (sizeof(event_t) + 1));
    add(1, "a");
    add(1, "b");
    add(2, "c");
    assert_string_equal(after(1, 0), "ab");
    add(1, "d");
    assert_string_equal(after(1, 0), "bd");
    assert_int_equal(events.lost, 1);
    add(1, "ef");
    assert_string_equal(after(1, 0), "def");
    assert_string_equal(after(2, 0), "");
    assert_int_equal(events.lost, 3);
    assert_true(events.bytes <= events.limit);
}

static void what_is_too_large_is_counted_and_not_kept(void **state)
{
    (void)state;
    events_init(&events, sizeof(event_t) + 3);
    uint32_t a = add(1, "abc");
    assert_int_equal(add(1, "abcd"), a + 1);
    assert_int_equal(events.lost, 1);
    assert_string_equal(after(1, 0), "abc");
    assert_int_equal(add(1, "xyz"), a + 2);
    assert_string_equal(after(1, 0), "xyz");
}

static void without_room_nothing_is_kept(void **state)
{
    (void)state;
    events_init(&events, 0);
    assert_int_equal(add(1, ""), 1);
    assert_int_equal(add(1, "a"), 2);
    assert_null(events_after(&events, 1, 0));
    assert_int_equal(events.lost, 2);
}

static void an_id_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0, 1, 9, 10, 65535, 4294967295u};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        for (size_t j = 0; j < COUNT(numbers); j++) {
            char text[EVENT_ID_MAX];
            uint32_t stream = 77, number = 77;
            weir_slice_t id = event_id_write(text, numbers[i], numbers[j]);
            assert_true(event_id_read(id, &stream, &number));
            assert_int_equal(stream, numbers[i]);
            assert_int_equal(number, numbers[j]);
        }
    }
}

static void what_is_no_id_of_ours_is_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1--1",
        "1-1-1",
        "1-1 ",
        " 1-1",
        "a-1",
        "1-a",
        "1x-1",
        "1-1x",
        "+1-1",
        "1-+1",
        "1_1",
        "01-1",
        "1-01",
        "00-0",
        "1.0-1",
        "0x1-1",
        "4294967296-1",
        "1-4294967296",
        "99999999999-1",
        "18446744073709551617-1",
    };
    for (size_t i = 0; i < COUNT(ids); i++) {
        uint32_t stream, number;
        if (event_id_read(weir_slice_str(ids[i]), &stream, &number))
            fail_msg("\"%s\" was taken", ids[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_stream_goes_on_after_the_event_that_was_seen_last, end),
        cmocka_unit_test_teardown(an_event_is_kept_whole_with_what_it_ends, end),
        cmocka_unit_test_teardown(the_oldest_go_first_when_there_is_no_room, end),
        cmocka_unit_test_teardown(what_is_too_large_is_counted_and_not_kept, end),
        cmocka_unit_test_teardown(without_room_nothing_is_kept, end),
        cmocka_unit_test(an_id_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_id_of_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
