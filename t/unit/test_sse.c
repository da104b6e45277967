/* test_sse.c: server-sent events, read as their bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <weir/error.h>

#include "sse.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement: events are written down as [name|data|id] ---- */

static sse_t sse;
static char heard[4096];
static size_t stops_after; /* events; 0: never */

static int begin(void **state)
{
    (void)state;
    heard[0] = '\0';
    stops_after = 0;
    sse_init(&sse, 1000);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sse_free(&sse);
    return 0;
}

static bool hear(void *owner, const weir_event_t *event)
{
    (void)owner;
    size_t n = strlen(heard);
    snprintf(heard + n, sizeof(heard) - n, "[%.*s|%.*s%s%.*s]", WEIR_FMT(event->name), WEIR_FMT(event->data),
             event->has_id ? "|" : "", WEIR_FMT(event->id));
    if (stops_after > 0 && --stops_after == 0) {
        sse_free(&sse);
        return false;
    }
    return true;
}

static int say(const char *p, size_t n)
{
    char *copy = malloc(n);
    if (n > 0)
        memcpy(copy, p, n);
    int result = sse_read(&sse, weir_slice(copy, n), hear, NULL);
    free(copy);
    return result;
}

static void check(const char *text, const char *expected)
{
    size_t n = strlen(text);
    for (size_t split = 0; split <= n; split++) {
        begin(NULL);
        assert_int_equal(say(text, split), WEIR_OK);
        assert_int_equal(say(text + split, n - split), WEIR_OK);
        if (strcmp(heard, expected) != 0)
            fail_msg("split at %zu of\n%s\ngave %s, not %s", split, text, heard, expected);
        sse_free(&sse);
    }
    begin(NULL);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(say(text + i, 1), WEIR_OK);
    assert_string_equal(heard, expected);
    sse_free(&sse);
}

/* ---- scenes ---- */

static void an_event_is_its_fields_from_every_split(void **state)
{
    (void)state;
    check("data: a\n\n", "[|a]");
    check("event: message\nid: 1-2\ndata: {\"a\": 1}\n\n", "[message|{\"a\": 1}|1-2]");
    check("data: a\n\ndata: b\n\n", "[|a][|b]");
    check("data:a\ndata:  b\ndata\ndata:\n\n", "[|a\n b\n\n]");
    check("id: 7\n\n", "[||7]");
    check("id\ndata: a\n\n", "[|a|]");
    check("event: x\n\n", "[x|]");
}

static void lines_end_with_lf_cr_or_both(void **state)
{
    (void)state;
    check("id: 1\r\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "[|a\nb|1][|c]");
    check("data: a\rdata: b\r\rdata: c\r\r", "[|a\nb][|c]");
    check("data: a\r\n\n\r\rdata: b\n\r\n", "[|a][|b]");
}

static void what_says_nothing_is_no_event(void **state)
{
    (void)state;
    check("\n\n\r\n\r\r", "");
    check(": keep-alive\n\n:\n\nretry: 10\n\nDATA: a\n\ndata : a\n\n", "");
    check("data: a\n: between\nfoo: bar\ndata: b\n\n", "[|a\nb]");
    check("data: a\n\ndata: unfinished\n", "[|a]");
}

static void an_event_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    char text[2000] = "data: ";
    memset(text + 6, 'x', 990);
    strcpy(text + 996, "\n\n");
    begin(state);
    for (size_t i = 0; i < 998; i++)
        assert_int_equal(say(text + i, 1), WEIR_OK);
    assert_int_equal(strlen(heard), 993);
    memset(text + 6, 'x', 1990);
    int result = WEIR_OK;
    for (size_t i = 0; i < 1900 && result == WEIR_OK; i++)
        result = say(text + i, 1);
    assert_int_equal(result, WEIR_EFULL);
}

static void the_owner_may_end_the_reading_and_the_reader(void **state)
{
    (void)state;
    stops_after = 2;
    assert_int_equal(say("data: a\n", 8), WEIR_OK);
    assert_int_equal(say("\ndata: b\n\ndata: c\n\n", 20), WEIR_ECLOSED);
    assert_string_equal(heard, "[|a][|b]");
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_event_is_its_fields_from_every_split),
        SCENE(lines_end_with_lf_cr_or_both),
        SCENE(what_says_nothing_is_no_event),
        SCENE(an_event_beyond_the_limit_is_refused),
        SCENE(the_owner_may_end_the_reading_and_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
