/* test_http1.c: heads of HTTP/1.1 messages. Every text is parsed in memory of exactly its size, so that a sanitizer sees the first byte
 * that is read beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "http1.h"
#include "http1_field.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define POST "POST /mcp HTTP/1.1\r\nHost: a\r\n"
#define REPLY "HTTP/1.1 200 OK\r\n"

/* ---- arrangement ---- */

typedef weir_parse_t parse_fn(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);

static weir_head_t head;
static size_t used;
static char *kept; /* what `head` points into */

static weir_parse_t parse_at_once(parse_fn *parse, const char *text, size_t n)
{
    free(kept);
    kept = malloc(n);
    assert_non_null(kept);
    memcpy(kept, text, n);
    used = 0;
    return parse(kept, n, 0, &head, &used);
}

/* The parser sees one byte more each time, and is told what it has seen. */
static weir_parse_t parse_byte_by_byte(parse_fn *parse, const char *text, size_t n)
{
    weir_parse_t result = WEIR_PARSE_MORE;
    for (size_t have = 1; have <= n && result == WEIR_PARSE_MORE; have++) {
        free(kept);
        kept = malloc(have);
        assert_non_null(kept);
        memcpy(kept, text, have);
        used = 0;
        result = parse(kept, have, have - 1, &head, &used);
    }
    return result;
}

static int end(void **state)
{
    (void)state;
    free(kept);
    kept = NULL;
    return 0;
}

static void assert_parses(parse_fn *parse, const char *text, weir_parse_t expected)
{
    weir_parse_t whole = parse_at_once(parse, text, strlen(text));
    weir_parse_t pieces = parse_byte_by_byte(parse, text, strlen(text));
    if (whole != expected || pieces != expected)
        fail_msg("%d at once and %d byte by byte, not %d:\n%s", (int)whole, (int)pieces, (int)expected, text);
}

static void assert_slice(weir_slice_t slice, const char *expected)
{
    if (!weir_slice_eq(slice, weir_slice_str(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", WEIR_FMT(slice), expected);
}

/* A request with these lines between its Host and its end. */
static void assert_request_with(const char *lines, weir_parse_t expected)
{
    char text[4096];
    assert_true(snprintf(text, sizeof(text), "%s%s\r\n", POST, lines) < (int)sizeof(text));
    assert_parses(http1_parse_request, text, expected);
}

static void assert_reply_with(const char *lines, weir_parse_t expected)
{
    char text[4096];
    assert_true(snprintf(text, sizeof(text), "%s%s\r\n", REPLY, lines) < (int)sizeof(text));
    assert_parses(http1_parse_reply, text, expected);
}

/* ---- what a head says ---- */

static void a_request_is_its_method_target_version_and_fields(void **state)
{
    (void)state;
    assert_parses(http1_parse_request,
                  "POST /mcp?a=b HTTP/1.1\r\nHost: a.example:80\r\nX-One:two\r\nEmpty:\r\nContent-Length: 12\r\n\r\n",
                  WEIR_PARSE_DONE);
    assert_slice(head.method, "POST");
    assert_slice(head.target, "/mcp?a=b");
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.nfields, 4);
    assert_slice(head.fields[0].value, "a.example:80");
    assert_slice(head.fields[1].name, "X-One");
    assert_slice(head.fields[1].value, "two");
    assert_slice(head.fields[2].value, "");
    assert_int_equal(head.content_length, 12);
    assert_false(head.is_chunked);
    assert_true(head.is_keep_alive);
}

static void a_target_that_is_a_whole_url_is_a_host_and_a_path(void **state)
{
    static const char *const cases[][3] = {
        {"http://b.example:8080/mcp?a", "b.example:8080", "/mcp?a"},
        {"HTTPS://b.example", "b.example", "/"},
        {"http://b.example?a", "b.example", "?a"},
        {"/http://b.example/", "a", "/http://b.example/"},
        {"*", "a", "*"},
        {"ftp://b.example/", "a", "ftp://b.example/"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", cases[i][0]);
        assert_parses(http1_parse_request, text, WEIR_PARSE_DONE);
        assert_slice(weir_head_value(&head, WEIR_FIELD_HOST), cases[i][1]);
        assert_slice(head.target, cases[i][2]);
    }
}

static void what_cannot_become_a_reply_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(parse_at_once(http1_parse_reply, "SSH-2.0-x", 9), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_reply, "HTTQ", 4), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_reply, "H", 1), WEIR_PARSE_MORE);
    assert_int_equal(parse_at_once(http1_parse_reply, "HTTP/", 5), WEIR_PARSE_MORE);
}

static void a_reply_is_its_status_reason_and_fields(void **state)
{
    (void)state;
    assert_parses(http1_parse_reply, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: Chunked\r\n\r\n", WEIR_PARSE_DONE);
    assert_int_equal(head.status, 404);
    assert_slice(head.reason, "Not Found");
    assert_true(head.is_chunked);
    assert_int_equal(head.content_length, -1);
    assert_parses(http1_parse_reply, "HTTP/1.0 200 \r\n\r\n", WEIR_PARSE_DONE);
    assert_slice(head.reason, "");
    assert_int_equal(head.minor, 0);
    assert_parses(http1_parse_reply, "HTTP/1.1 599\r\n\r\n", WEIR_PARSE_DONE);
    assert_int_equal(head.status, 599);
}

static void white_space_around_a_value_is_not_part_of_it(void **state)
{
    (void)state;
    assert_request_with("A: \t b\tc \t \r\n", WEIR_PARSE_DONE);
    assert_slice(head.fields[1].value, "b\tc");
}

static void a_line_may_end_with_lf_alone(void **state)
{
    (void)state;
    assert_parses(http1_parse_request, "GET / HTTP/1.1\nHost: a\nB: c\n\n", WEIR_PARSE_DONE);
    assert_slice(head.fields[1].value, "c");
    assert_parses(http1_parse_reply, "HTTP/1.1 200 OK\nA: b\r\n\n", WEIR_PARSE_DONE);
    assert_slice(head.fields[0].value, "b");
}

/* ---- in pieces ---- */

static const char *const good_requests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\n\r\n\n\r\n\nGET / HTTP/1.1\nHost: a\n\r\n",
    "DELETE /mcp HTTP/1.0\r\n\r\n",
    POST
    "Content-Type: application/json\r\nMcp-Session-Id: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
};
static const char *const good_replies[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0 503\r\n\r\n",
    "HTTP/1.1 200 \nContent-Type: text/event-stream\n\n",
};

/* Seen up to `split` first, or not told that anything was seen; then all of it. */
static void check_split(parse_fn *parse, const char *text, size_t n, size_t split)
{
    char *part = malloc(split);
    memcpy(part, text, split);
    if (parse(part, split, 0, &head, &used) != WEIR_PARSE_MORE)
        fail_msg("%zu bytes are not the beginning of:\n%s", split, text);
    free(part);
    size_t whole_used = 0, split_used = 0;
    weir_head_t whole, after;
    memset(&whole, 0, sizeof(whole));
    memset(&after, 0, sizeof(after));
    assert_int_equal(parse(text, n, 0, &whole, &whole_used), WEIR_PARSE_DONE);
    if (parse(text, n, split, &after, &split_used) != WEIR_PARSE_DONE || split_used != whole_used || split_used != n)
        fail_msg("not the same after a split at %zu:\n%s", split, text);
    assert_memory_equal(&whole, &after, offsetof(weir_head_t, fields) + whole.nfields * sizeof(weir_field_t));
}

static void a_good_head_is_the_same_from_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_requests); i++)
        for (size_t split = 0; split < strlen(good_requests[i]); split++)
            check_split(http1_parse_request, good_requests[i], strlen(good_requests[i]), split);
    for (size_t i = 0; i < COUNT(good_replies); i++)
        for (size_t split = 0; split < strlen(good_replies[i]); split++)
            check_split(http1_parse_reply, good_replies[i], strlen(good_replies[i]), split);
}

static void a_good_head_comes_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_requests); i++)
        assert_parses(http1_parse_request, good_requests[i], WEIR_PARSE_DONE);
    for (size_t i = 0; i < COUNT(good_replies); i++)
        assert_parses(http1_parse_reply, good_replies[i], WEIR_PARSE_DONE);
}

static void what_follows_a_head_is_left_alone(void **state)
{
    (void)state;
    static const char first[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
                      both[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n";
    assert_int_equal(parse_at_once(http1_parse_request, both, sizeof(both) - 1), WEIR_PARSE_DONE);
    assert_int_equal(used, sizeof(first) - 1);
    assert_slice(head.target, "/1");
}

static void a_few_empty_lines_before_a_request_are_read_over_and_no_flood_of_them(void **state)
{
    (void)state;
    assert_parses(http1_parse_request, "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_PARSE_DONE);
    assert_int_equal(used, 8 + 27);
    assert_parses(http1_parse_request, "\n\n\n\n\n\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_PARSE_DONE);
    assert_parses(http1_parse_request, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_request, "\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_request, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_reply, "\r\nHTTP/1.1 200 OK\r\n\r\n", WEIR_PARSE_BAD);
}

/* ---- start lines ---- */

static void what_is_no_request_line_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "GET /",
        "GET / ",
        "GET",
        "GET ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\xc3\xa9 HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\rX: y",
        "GET / http/1.1",
        "GET / HTTP/1,1",
        "GET / HTTP/1.x",
        "GET / HTTP/x.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTPS/1.1",
        "GET / HTTP/ 1.1",
        "\x16\x03\x01\x02",
        "{\"jsonrpc\":\"2.0\"}",
        ": / HTTP/1.1",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", lines[i]);
        assert_parses(http1_parse_request, text, WEIR_PARSE_BAD);
    }
}

static void what_is_no_status_line_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "HTTP/1.1 200OK",     "HTTP/1.1 20 OK",  "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK",
        "HTTP/1.1 099 OK",    "HTTP/1.1 600 OK", "HTTP/1.1 -20 OK",  "HTTP/1.1 2x0 OK",
        "HTTP/1.1",           "HTTP/1.1 ",       "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\rK",  "http/1.1 200 OK", "ICY 200 OK",       "HTTP/1.1 200 a\x01",
        "HTTP/1.1 200 a\x7f", "200 OK",          "HTTP/1.x 200 OK",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s\r\nA: b\r\n\r\n", lines[i]);
        assert_parses(http1_parse_reply, text, WEIR_PARSE_BAD);
    }
}

static void another_version_is_told_apart_from_nonsense(void **state)
{
    (void)state;
    static const char *const versions[] = {"HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/3.0"};
    for (size_t i = 0; i < COUNT(versions); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET / %s\r\nHost: a\r\n\r\n", versions[i]);
        assert_parses(http1_parse_request, text, WEIR_PARSE_VERSION);
        snprintf(text, sizeof(text), "%s 200 OK\r\n\r\n", versions[i]);
        assert_parses(http1_parse_reply, text, WEIR_PARSE_VERSION);
    }
}

static void what_begins_as_no_head_is_refused_at_its_first_byte(void **state)
{
    (void)state;
    assert_int_equal(parse_at_once(http1_parse_request, "\x16", 1), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_request, "\0", 1), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_request, "{", 1), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_reply, "\r", 1), WEIR_PARSE_BAD);
    assert_int_equal(parse_at_once(http1_parse_request, "\r", 1), WEIR_PARSE_MORE);
    assert_int_equal(parse_at_once(http1_parse_request, "", 0), WEIR_PARSE_MORE);
}

/* ---- framing that two readers could read in two ways (RFC 9112 6.1, 6.3, 11.2) ---- */

static void ambiguous_framing_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nX: y\r\ncontent-length: 05 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 5, \r\n",
        "Content-Length: ,5\r\n",
        "Content-Length: 5,,5\r\n",
        "Content-Length:\r\n",
        "Content-Length: \t\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5e0\r\n",
        "Content-Length: 5;a\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 99999999999999999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: \013chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\r\n: 5\r\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_request_with(lines[i], WEIR_PARSE_BAD);
        assert_reply_with(lines[i], WEIR_PARSE_BAD);
    }
    /* HTTP/1.0 knows no chunked coding: whoever sent this framing is not to be believed (6.1). */
    assert_parses(http1_parse_request, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_reply, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_PARSE_BAD);
}

static void a_length_is_read_to_its_last_digit(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int64_t length;
    } cases[] = {
        {"Content-Length: 0\r\n", 0},
        {"Content-Length: 0005\r\n", 5},
        {"content-length:42\r\n", 42},
        {"Content-Length: 5, 5\r\n", 5},
        {"Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n", 5},
        {"Content-Length: 9223372036854775807\r\n", INT64_MAX},
        {"X-Content-Length: 3\r\n", -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_request_with(cases[i].lines, WEIR_PARSE_DONE);
        assert_true(head.content_length == cases[i].length);
        assert_false(head.is_chunked);
    }
}

static void a_request_of_1_1_names_its_host_and_only_once(void **state)
{
    (void)state;
    assert_parses(http1_parse_request, "GET / HTTP/1.1\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_request, "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", WEIR_PARSE_BAD);
    assert_parses(http1_parse_request, "GET / HTTP/1.0\r\n\r\n", WEIR_PARSE_DONE);
    assert_parses(http1_parse_reply, "HTTP/1.1 200 OK\r\n\r\n", WEIR_PARSE_DONE);
    assert_request_with("Host: a\r\n", WEIR_PARSE_BAD);
    assert_request_with("hOST: b\r\n", WEIR_PARSE_BAD);
}

/* ---- fields ---- */

static void a_line_that_is_no_field_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "A\r\n",           "A b: c\r\n",     ": c\r\n",         "A : c\r\n",      "A\t: c\r\n",         " A: c\r\n",
        "\tA: c\r\n",      "A: b\r\n c\r\n", "A: b\r\n\tc\r\n", "A: b\r\n :\r\n", "A(b): c\r\n",        "A\"b: c\r\n",
        "\xc3\xa9: c\r\n", "A: b\rc\r\n",    "A: b\r\r\n",      "A\rB: c\r\n",    "A: b\r\n\rC: d\r\n", "A@b: c\r\n",
        "A;b: c\r\n",      "A/b: c\r\n",     "A{b: c\r\n",      "\x7f: c\r\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_request_with(lines[i], WEIR_PARSE_BAD);
        assert_reply_with(lines[i], WEIR_PARSE_BAD);
    }
}

/* Values are looked at sixteen bytes at a time where they are long enough: every place in every length is tried. */
static void a_control_is_found_wherever_it_stands_in_a_value(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        for (size_t at = 0; at < n; at++) {
            char text[128];
            int from = snprintf(text, sizeof(text), "%sA: x", REPLY);
            memset(text + from, 'v', n);
            memcpy(text + from + n, "x\r\n\r\n", 5);
            size_t size = (size_t)from + n + 5;
            static const char bad[] = {0, 1, '\r', 0x1f, 0x7f}, good[] = {'\t', ' ', '~', '\x80', '\xff'};
            for (size_t i = 0; i < sizeof(bad); i++) {
                text[(size_t)from + at] = bad[i];
                if (parse_at_once(http1_parse_reply, text, size) != WEIR_PARSE_BAD)
                    fail_msg("byte %d at %zu of %zu was taken", bad[i], at, n);
            }
            for (size_t i = 0; i < sizeof(good); i++) {
                text[(size_t)from + at] = good[i];
                if (parse_at_once(http1_parse_reply, text, size) != WEIR_PARSE_DONE)
                    fail_msg("byte %d at %zu of %zu was refused", good[i], at, n);
            }
        }
    }
}

static void every_control_is_refused_and_nothing_else_is(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[] = REPLY "A: b?c\r\n\r\n";
        *strchr(text, '?') = (char)byte;
        bool is_bad = (byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f;
        /* An LF ends the line; then `c` is a line without a colon. */
        is_bad |= byte == '\n';
        assert_int_equal(parse_at_once(http1_parse_reply, text, sizeof(text) - 1),
                         is_bad ? WEIR_PARSE_BAD : WEIR_PARSE_DONE);
    }
}

static weir_parse_t parse_fields(int count)
{
    static char text[WEIR_FIELDS_MAX * 16 + 64];
    int n = snprintf(text, sizeof(text), REPLY);
    for (int i = 0; i < count; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "X-%d: %d\r\n", i, i);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    return parse_at_once(http1_parse_reply, text, (size_t)n);
}

static void more_fields_than_there_is_room_for_are_too_large(void **state)
{
    (void)state;
    assert_int_equal(parse_fields(WEIR_FIELDS_MAX), WEIR_PARSE_DONE);
    assert_int_equal(head.nfields, WEIR_FIELDS_MAX);
    assert_int_equal(parse_fields(WEIR_FIELDS_MAX + 1), WEIR_PARSE_TOO_LARGE);
}

static const struct {
    const char *name;
    weir_field_id_t id;
} known_fields[] = {
    {"Accept", WEIR_FIELD_ACCEPT},
    {"Accept-Encoding", WEIR_FIELD_ACCEPT_ENCODING},
    {"Authorization", WEIR_FIELD_AUTHORIZATION},
    {"Cache-Control", WEIR_FIELD_CACHE_CONTROL},
    {"Connection", WEIR_FIELD_CONNECTION},
    {"Content-Encoding", WEIR_FIELD_CONTENT_ENCODING},
    {"Content-Length", WEIR_FIELD_CONTENT_LENGTH},
    {"Content-Type", WEIR_FIELD_CONTENT_TYPE},
    {"Date", WEIR_FIELD_DATE},
    {"ETag", WEIR_FIELD_ETAG},
    {"Expect", WEIR_FIELD_EXPECT},
    {"Forwarded", WEIR_FIELD_FORWARDED},
    {"Host", WEIR_FIELD_HOST},
    {"Keep-Alive", WEIR_FIELD_KEEP_ALIVE},
    {"Last-Event-ID", WEIR_FIELD_LAST_EVENT_ID},
    {"Mcp-Method", WEIR_FIELD_MCP_METHOD},
    {"Mcp-Name", WEIR_FIELD_MCP_NAME},
    {"MCP-Protocol-Version", WEIR_FIELD_MCP_PROTOCOL_VERSION},
    {"Mcp-Session-Id", WEIR_FIELD_MCP_SESSION_ID},
    {"Origin", WEIR_FIELD_ORIGIN},
    {"Proxy-Authenticate", WEIR_FIELD_PROXY_AUTHENTICATE},
    {"Proxy-Authorization", WEIR_FIELD_PROXY_AUTHORIZATION},
    {"Proxy-Connection", WEIR_FIELD_PROXY_CONNECTION},
    {"Retry-After", WEIR_FIELD_RETRY_AFTER},
    {"Server", WEIR_FIELD_SERVER},
    {"TE", WEIR_FIELD_TE},
    {"Traceparent", WEIR_FIELD_TRACEPARENT},
    {"Trailer", WEIR_FIELD_TRAILER},
    {"Transfer-Encoding", WEIR_FIELD_TRANSFER_ENCODING},
    {"Upgrade", WEIR_FIELD_UPGRADE},
    {"Vary", WEIR_FIELD_VARY},
    {"Via", WEIR_FIELD_VIA},
    {"X-Forwarded-For", WEIR_FIELD_X_FORWARDED_FOR},
    {"X-Forwarded-Host", WEIR_FIELD_X_FORWARDED_HOST},
    {"X-Forwarded-Proto", WEIR_FIELD_X_FORWARDED_PROTO},
};

static void a_known_field_is_known_in_any_case_and_no_other_name_is(void **state)
{
    (void)state;
    assert_int_equal(COUNT(known_fields), WEIR_FIELDS_KNOWN - 1);
    for (size_t i = 0; i < COUNT(known_fields); i++) {
        char name[32];
        size_t n = strlen(known_fields[i].name);
        memcpy(name, known_fields[i].name, n + 1);
        assert_int_equal(http1_field_id(weir_slice(name, n)), known_fields[i].id);
        for (size_t at = 0; at < n; at++)
            name[at] ^= name[at] >= 'A' ? 0x20 : 0;
        assert_int_equal(http1_field_id(weir_slice(name, n)), known_fields[i].id);
        assert_int_equal(http1_field_id(weir_slice(name, n - 1)), WEIR_FIELD_OTHER);
        name[n - 1] ^= 1;
        assert_int_equal(http1_field_id(weir_slice(name, n)), WEIR_FIELD_OTHER);
    }
    /* A hyphen is not an underscore, and a dot with its bit turned is none of them. */
    assert_int_equal(http1_field_id(WEIR_LIT("content_length")), WEIR_FIELD_OTHER);
    assert_int_equal(http1_field_id(WEIR_LIT("content\rlength")), WEIR_FIELD_OTHER);
    assert_int_equal(http1_field_id(WEIR_LIT("")), WEIR_FIELD_OTHER);
}

static void of_a_field_that_comes_twice_the_first_is_at_hand_and_both_are_there(void **state)
{
    (void)state;
    assert_request_with("Accept: a/b\r\nX: y\r\naccept: c/d\r\n", WEIR_PARSE_DONE);
    assert_slice(weir_head_value(&head, WEIR_FIELD_ACCEPT), "a/b");
    assert_slice(head.fields[3].value, "c/d");
    assert_int_equal(head.fields[3].id, WEIR_FIELD_ACCEPT);
    assert_null(weir_head_field(&head, WEIR_FIELD_ORIGIN));
    assert_null(weir_head_value(&head, WEIR_FIELD_ORIGIN).p);
}

/* ---- the connection ---- */

static void a_connection_is_kept_as_version_and_field_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_kept;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection:close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Connection: close\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nKeep-Alive: timeout=5\r\n\r\n", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_parses(http1_parse_request, cases[i].text, WEIR_PARSE_DONE);
        if (head.is_keep_alive != cases[i].is_kept)
            fail_msg("is_keep_alive is %d:\n%s", head.is_keep_alive, cases[i].text);
    }
}

static void an_upgrade_needs_both_of_its_fields(void **state)
{
    (void)state;
    assert_request_with("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", WEIR_PARSE_DONE);
    assert_true(head.is_upgrade);
    assert_request_with("Connection: upgrade\r\n", WEIR_PARSE_DONE);
    assert_false(head.is_upgrade);
    assert_request_with("Upgrade: websocket\r\n", WEIR_PARSE_DONE);
    assert_false(head.is_upgrade);
}

static void an_expectation_is_the_one_there_is_or_none(void **state)
{
    (void)state;
    assert_request_with("Expect: 100-Continue\r\n", WEIR_PARSE_DONE);
    assert_true(head.expects_continue);
    assert_request_with("Expect: 200-ok\r\n", WEIR_PARSE_DONE);
    assert_false(head.expects_continue);
    assert_request_with("", WEIR_PARSE_DONE);
    assert_false(head.expects_continue);
}

static void nothing_of_the_head_before_is_left_in_the_next(void **state)
{
    (void)state;
    assert_request_with("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n", WEIR_PARSE_DONE);
    assert_request_with("", WEIR_PARSE_DONE);
    assert_false(head.is_chunked || head.expects_continue || head.is_upgrade);
    assert_true(head.is_keep_alive);
    assert_int_equal(head.content_length, -1);
    assert_int_equal(head.nfields, 1);
    assert_int_equal(head.known[WEIR_FIELD_EXPECT], -1);
}

static void every_status_that_weir_answers_has_its_phrase(void **state)
{
    (void)state;
    static const uint16_t answered[] = {200, 202, 400, 403, 404, 405, 408, 413, 415, 431, 500, 502, 503, 504, 505};
    for (size_t i = 0; i < COUNT(answered); i++)
        assert_string_not_equal(http1_reason(answered[i]), "Unknown");
    assert_string_equal(http1_reason(404), "Not Found");
    assert_string_equal(http1_reason(299), "Unknown");
}

#define SCENE(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_request_is_its_method_target_version_and_fields),
        SCENE(a_target_that_is_a_whole_url_is_a_host_and_a_path),
        SCENE(what_cannot_become_a_reply_is_not_waited_for),
        SCENE(a_reply_is_its_status_reason_and_fields),
        SCENE(white_space_around_a_value_is_not_part_of_it),
        SCENE(a_line_may_end_with_lf_alone),
        SCENE(a_good_head_is_the_same_from_every_split),
        SCENE(a_good_head_comes_byte_by_byte),
        SCENE(what_follows_a_head_is_left_alone),
        SCENE(a_few_empty_lines_before_a_request_are_read_over_and_no_flood_of_them),
        SCENE(what_is_no_request_line_is_refused),
        SCENE(what_is_no_status_line_is_refused),
        SCENE(another_version_is_told_apart_from_nonsense),
        SCENE(what_begins_as_no_head_is_refused_at_its_first_byte),
        SCENE(ambiguous_framing_is_refused),
        SCENE(a_length_is_read_to_its_last_digit),
        SCENE(a_request_of_1_1_names_its_host_and_only_once),
        SCENE(a_line_that_is_no_field_is_refused),
        SCENE(a_control_is_found_wherever_it_stands_in_a_value),
        SCENE(every_control_is_refused_and_nothing_else_is),
        SCENE(more_fields_than_there_is_room_for_are_too_large),
        SCENE(a_known_field_is_known_in_any_case_and_no_other_name_is),
        SCENE(of_a_field_that_comes_twice_the_first_is_at_hand_and_both_are_there),
        SCENE(a_connection_is_kept_as_version_and_field_say),
        SCENE(an_upgrade_needs_both_of_its_fields),
        SCENE(an_expectation_is_the_one_there_is_or_none),
        SCENE(nothing_of_the_head_before_is_left_in_the_next),
        SCENE(every_status_that_weir_answers_has_its_phrase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
