/* test_jscan.c: the scanner of JSON text, held against jansson: what one of them takes the other takes too, save for what a builder of
 * trees cannot hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "jscan.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TEXT(s)                                                                                                        \
    {                                                                                                                  \
        s, sizeof(s) - 1                                                                                               \
    }

/* ---- arrangement ---- */

/* Scanned in memory of exactly its size. */
static bool scanner_takes(const char *text, size_t n)
{
    char *copy = malloc(n);
    assert_true(n == 0 || copy != NULL);
    if (n > 0)
        memcpy(copy, text, n);
    jscan_t j = jscan_over(weir_slice(copy, n));
    bool is_taken = jscan_value(&j, NULL) && jscan_at_end(&j);
    free(copy);
    return is_taken;
}

static bool jansson_takes(const char *text, size_t n)
{
    json_error_t error;
    json_t *value = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    bool is_taken = value != NULL;
    json_decref(value);
    return is_taken;
}

static void assert_both(const char *text, size_t n, bool expected)
{
    bool ours = scanner_takes(text, n), theirs = jansson_takes(text, n);
    if (ours != expected || theirs != expected)
        fail_msg("%s: the scanner says %d, jansson %d: %.*s", expected ? "JSON" : "no JSON", ours, theirs, (int)n,
                 text);
}

/* ---- what is JSON, and what is not ---- */

static const struct {
    const char *p;
    size_t n;
} good[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT(" \t\r\nnull\n\r\t "),
    TEXT("0"),
    TEXT("-0"),
    TEXT("7"),
    TEXT("-123"),
    TEXT("10.50"),
    TEXT("0.0"),
    TEXT("-0.0"),
    TEXT("0e0"),
    TEXT("0E+1"),
    TEXT("1e5"),
    TEXT("1E-5"),
    TEXT("1e+05"),
    TEXT("123.456e78"),
    TEXT("1.000000000000000000000000000001"),
    TEXT("9007199254740993"),
    TEXT("1e-400"),
    TEXT("\"\""),
    TEXT("\" \""),
    TEXT("\"plain\""),
    TEXT("\"a quote \\\" inside\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0041\\u00e9\\u20AC\\uFFFF\""),
    TEXT("\"\\ud83d\\ude00\""),
    TEXT("\"\\uD834\\uDD1E\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\\\u0041\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xc2\x80\xdf\xbf\""),
    TEXT("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
    TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""),
    TEXT("\"\xef\xbb\xbf\""),
    TEXT("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    TEXT("\"// no comment /* */\""),
    TEXT("[]"),
    TEXT("[ ]"),
    TEXT("[1]"),
    TEXT("[1,2]"),
    TEXT("[ 1 , 2 ]"),
    TEXT("[null,true,false,0,\"\",[],{}]"),
    TEXT("[[[[[]]]]]"),
    TEXT("[[],[[]]]"),
    TEXT("{}"),
    TEXT("{ }"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":1}"),
    TEXT("{ \"a\" : 1 , \"b\" : 2 }"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{\"a\":{\"b\":{\"c\":[{}]}}}"),
    TEXT("{\"\\u0061\":1}"),
    TEXT("{\"a\":[1,{\"b\":2},3],\"c\":4}"),
    TEXT("\n{\n\t\"a\"\n:\r\n1\n}\n"),
};

static const struct {
    const char *p;
    size_t n;
} bad[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("\0"),
    TEXT("\xef\xbb\xbfnull"),
    TEXT("\xff"),
    TEXT("\xfe\xff\0n"),
    /* words */
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("Null"),
    TEXT("TRUE"),
    TEXT("tru"),
    TEXT("truefalse"),
    TEXT("true false"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("-Infinity"),
    TEXT("undefined"),
    TEXT("nan"),
    TEXT("n"),
    /* numbers */
    TEXT("-"),
    TEXT("+1"),
    TEXT("- 1"),
    TEXT("--1"),
    TEXT("01"),
    TEXT("-01"),
    TEXT("00"),
    TEXT("1."),
    TEXT("1.e1"),
    TEXT(".5"),
    TEXT("-.5"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("1e1.5"),
    TEXT("1E-"),
    TEXT("1ee1"),
    TEXT("1e++1"),
    TEXT("0x10"),
    TEXT("1_000"),
    TEXT("1,000"),
    TEXT("1 000"),
    TEXT("1a"),
    TEXT("\xef\xbc\x91"),
    /* strings */
    TEXT("\""),
    TEXT("\"a"),
    TEXT("a\""),
    TEXT("'a'"),
    TEXT("\"a\"b"),
    TEXT("\"a\" \"b\""),
    TEXT("\"\\\""),
    TEXT("\"\\"),
    TEXT("\"\\a\""),
    TEXT("\"\\x41\""),
    TEXT("\"\\0\""),
    TEXT("\"\\'\""),
    TEXT("\"\\\n\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\\u\""),
    TEXT("\"\\u0\""),
    TEXT("\"\\u004\""),
    TEXT("\"\\u004g\""),
    TEXT("\"\\u 041\""),
    TEXT("\"\\u-041\""),
    TEXT("\"\\u+041\""),
    TEXT("\"\\u00\xc3\xa9\""),
    TEXT("\"\\u0041"),
    TEXT("\"\\u004"),
    TEXT("\"\n\""),
    TEXT("\"\t\""),
    TEXT("\"\r\""),
    TEXT("\"\0\""),
    TEXT("\"\x1f\""),
    TEXT("\"\\\x01\""),
    TEXT("\"\\\xc3\xa9\""),
    /* bytes that are no UTF-8 */
    TEXT("\"\x80\""),
    TEXT("\"\xbf\""),
    TEXT("\"\xc0\x80\""),
    TEXT("\"\xc1\xbf\""),
    TEXT("\"\xc2\""),
    TEXT("\"\xc2\x7f\""),
    TEXT("\"\xc2\xc2\""),
    TEXT("\"\xe0\x9f\xbf\""),
    TEXT("\"\xe0\x80\x80\""),
    TEXT("\"\xed\xa0\x80\""),
    TEXT("\"\xed\xbf\xbf\""),
    TEXT("\"\xe2\x82\""),
    TEXT("\"\xe2\x82"),
    TEXT("\"\xe2\""),
    TEXT("\"\xf0\x8f\xbf\xbf\""),
    TEXT("\"\xf4\x90\x80\x80\""),
    TEXT("\"\xf5\x80\x80\x80\""),
    TEXT("\"\xf8\x88\x80\x80\x80\""),
    TEXT("\"\xf0\x9f\x98\""),
    TEXT("\"\xf0\x9f\x98"),
    TEXT("\"\xfe\""),
    TEXT("\"\xff\""),
    /* arrays */
    TEXT("["),
    TEXT("]"),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[,]"),
    TEXT("[1,,2]"),
    TEXT("[1 2]"),
    TEXT("[1;2]"),
    TEXT("[1:2]"),
    TEXT("[1}"),
    TEXT("[\"a\":1]"),
    TEXT("[]]"),
    TEXT("[][]"),
    TEXT("[]1"),
    TEXT("[\xa0]"),
    TEXT("[\x0b]"),
    TEXT("[\x0c]"),
    TEXT("[\xe2\x81\xa0]"),
    /* objects */
    TEXT("{"),
    TEXT("}"),
    TEXT("{]"),
    TEXT("{\"a\""),
    TEXT("{\"a\":"),
    TEXT("{\"a\":1"),
    TEXT("{\"a\":1,"),
    TEXT("{\"a\":1,}"),
    TEXT("{,\"a\":1}"),
    TEXT("{\"a\"}"),
    TEXT("{\"a\",1}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\":1;\"b\":2}"),
    TEXT("{\"a\":1:\"b\":2}"),
    TEXT("{\"a\":1,,\"b\":2}"),
    TEXT("{\"a\":}"),
    TEXT("{:1}"),
    TEXT("{a:1}"),
    TEXT("{'a':1}"),
    TEXT("{1:1}"),
    TEXT("{null:1}"),
    TEXT("{[]:1}"),
    TEXT("{\"a\":1]"),
    TEXT("{\"a\":1}}"),
    TEXT("{}{}"),
    TEXT("{\"a\":1}x"),
    TEXT("{\"a\":/**/1}"),
    TEXT("{\"a\":1} // end"),
    TEXT("{\"a\":1}#"),
    TEXT("{\"a\\\":1}"),
    TEXT("{\"a\n\":1}"),
    TEXT("{\"\xff\":1}"),
    TEXT("{\"a\":tru}"),
};

static void what_is_json_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_both(good[i].p, good[i].n, true);
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_both(bad[i].p, bad[i].n, false);
}

/* jansson steps over a NUL between tokens. */
static void a_nul_is_no_white_space(void **state)
{
    (void)state;
    assert_false(scanner_takes("null\0", 5));
    assert_false(scanner_takes("1\0", 2));
    assert_false(scanner_takes("{}\0", 3));
    assert_false(scanner_takes("[1\0]", 4));
    assert_false(scanner_takes("\0{}", 3));
}

/* RFC 8259 allows these; whoever stands between client and server hands them on and lets the reader decide. */
static void what_only_a_builder_of_trees_refuses_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } wide[] = {
        TEXT("1e999"),
        TEXT("-1e999"),
        TEXT("\"\\ud800\""),
        TEXT("\"\\udc00x\""),
        TEXT("\"\\ud800\\ud800\""),
        TEXT("\"\\udead\\ubeef\""),
        TEXT("{\"\\u0000\":1}"),
    };
    for (size_t i = 0; i < COUNT(wide); i++) {
        assert_true(scanner_takes(wide[i].p, wide[i].n));
        assert_false(jansson_takes(wide[i].p, wide[i].n));
    }
}

/* No beginning of a text is a text, unless it is one in its own right, as 1 of 12 is. */
static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        for (size_t n = 0; n < good[i].n; n++)
            assert_both(good[i].p, n, jansson_takes(good[i].p, n));
}

static const char sample[] =
    "{\"jsonrpc\":\"2.0\",\"id\":-12.5e1,\"params\":{\"name\":\"\\u0041\\n\xc3\xa9\xe2\x82\xac\",\"a\":[true,false,"
    "null,{}]}}";

/* Every byte of a text turned into every other one. */
static void both_agree_on_every_text_that_differs_by_one_byte(void **state)
{
    (void)state;
    char text[sizeof(sample)];
    for (size_t at = 0; at < sizeof(sample) - 1; at++) {
        memcpy(text, sample, sizeof(sample));
        for (int byte = 0; byte < 256; byte++) {
            text[at] = (char)byte;
            assert_both(text, sizeof(sample) - 1, jansson_takes(text, sizeof(sample) - 1));
        }
    }
}

static void both_agree_on_every_text_that_lacks_a_byte_or_has_it_twice(void **state)
{
    (void)state;
    char text[sizeof(sample) + 1];
    size_t n = sizeof(sample) - 1;
    for (size_t at = 0; at < n; at++) {
        memcpy(text, sample, at);
        memcpy(text + at, sample + at + 1, n - at - 1);
        assert_both(text, n - 1, jansson_takes(text, n - 1));
        memcpy(text, sample, at + 1);
        memcpy(text + at + 1, sample + at, n - at);
        assert_both(text, n + 1, jansson_takes(text, n + 1));
    }
}

/* ---- UTF-8 ---- */

static void check_bytes(const unsigned char *p, size_t n)
{
    char text[8] = "\"";
    memcpy(text + 1, p, n);
    text[n + 1] = '"';
    if (p[0] == '"' || p[0] == '\\')
        return;
    assert_both(text, n + 2, jansson_takes(text, n + 2));
}

static void both_agree_on_what_is_utf8(void **state)
{
    (void)state;
    static const unsigned char ends[] = {0x00, 0x22, 0x7f, 0x80, 0x8f, 0xbf, 0xc0, 0xff};
    for (unsigned a = 0; a < 256; a++) {
        check_bytes((unsigned char[]){(unsigned char)a}, 1);
        for (unsigned b = 0; b < 256; b++) {
            check_bytes((unsigned char[]){(unsigned char)a, (unsigned char)b}, 2);
            if (a < 0xe0)
                continue;
            for (size_t c = 0; c < COUNT(ends); c++) {
                check_bytes((unsigned char[]){(unsigned char)a, (unsigned char)b, ends[c]}, 3);
                for (size_t d = 0; a >= 0xf0 && d < COUNT(ends); d++)
                    check_bytes((unsigned char[]){(unsigned char)a, (unsigned char)b, ends[c], ends[d]}, 4);
            }
        }
    }
}

/* Strings are looked at sixteen bytes at a time: every place in every length is tried. */
static void what_ends_a_plain_run_is_seen_wherever_it_stands(void **state)
{
    (void)state;
    static const unsigned char stops[] = {0, 0x1f, '"', '\\', 0x80, 0xff};
    for (size_t n = 1; n <= 40; n++) {
        for (size_t at = 0; at < n; at++) {
            char text[64];
            memset(text, 'v', n + 2);
            text[0] = text[n + 1] = '"';
            assert_true(scanner_takes(text, n + 2));
            for (size_t i = 0; i < sizeof(stops); i++) {
                text[1 + at] = (char)stops[i];
                if (scanner_takes(text, n + 2))
                    fail_msg("byte %d at %zu of %zu was taken", stops[i], at, n);
            }
        }
    }
}

/* ---- nesting ---- */

/* `depth` brackets, the innermost one empty. */
static bool nests(char open, char close, size_t depth, bool *is_too_deep)
{
    char text[16 * JSCAN_DEPTH];
    size_t n = 0;
    for (size_t i = 0; i < depth; i++) {
        text[n++] = open;
        if (open == '{' && i + 1 < depth) {
            memcpy(text + n, "\"a\":", 4);
            n += 4;
        }
    }
    memset(text + n, close, depth);
    jscan_t j = jscan_over(weir_slice(text, n + depth));
    bool is_taken = jscan_value(&j, NULL) && jscan_at_end(&j);
    *is_too_deep = j.is_too_deep;
    return is_taken;
}

static void nesting_is_bounded_and_the_bound_is_told(void **state)
{
    (void)state;
    bool is_too_deep;
    assert_true(nests('[', ']', JSCAN_DEPTH, &is_too_deep));
    assert_true(nests('{', '}', JSCAN_DEPTH, &is_too_deep));
    assert_false(is_too_deep);
    assert_false(nests('[', ']', JSCAN_DEPTH + 1, &is_too_deep));
    assert_true(is_too_deep);
    assert_false(nests('{', '}', JSCAN_DEPTH + 1, &is_too_deep));
    assert_true(is_too_deep);
}

static void closed_brackets_do_not_count(void **state)
{
    (void)state;
    char text[8 * JSCAN_DEPTH];
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < 2 * JSCAN_DEPTH; i++)
        n += (size_t)sprintf(text + n, "%s[]", i == 0 ? "" : ",");
    text[n++] = ']';
    assert_true(scanner_takes(text, n));
}

/* Which of the open brackets are objects is kept in bits, 64 to a word. */
static void a_bracket_closes_what_it_opened_at_every_depth(void **state)
{
    (void)state;
    for (size_t depth = 1; depth <= JSCAN_DEPTH; depth++) {
        char text[16 * JSCAN_DEPTH], ends[JSCAN_DEPTH];
        size_t n = 0;
        for (size_t i = 0; i < depth; i++) {
            bool is_object = i * 7 % 3 == 0;
            n += (size_t)sprintf(text + n, "%s", is_object ? "{\"a\":" : "[");
            ends[depth - 1 - i] = is_object ? '}' : ']';
        }
        text[n++] = '1';
        memcpy(text + n, ends, depth);
        assert_true(scanner_takes(text, n + depth));
        text[n] ^= '}' ^ ']';
        assert_false(scanner_takes(text, n + depth));
    }
}

/* ---- the cursor ---- */

static void a_value_is_its_text_without_the_space_around_it(void **state)
{
    (void)state;
    jscan_t j = jscan_over(WEIR_LIT(" \n [1, 2] ,3"));
    weir_slice_t raw;
    assert_int_equal(jscan_peek(&j), '[');
    assert_true(jscan_value(&j, &raw));
    assert_true(weir_slice_eq(raw, WEIR_LIT("[1, 2]")));
    assert_int_equal(jscan_peek(&j), ',');
    assert_false(jscan_at_end(&j));
}

static void the_members_of_an_object_come_one_after_another(void **state)
{
    (void)state;
    jscan_t j = jscan_over(WEIR_LIT(" { \"a\" : 1 , \"b\\n\":[2],\"\" :{} } "));
    static const char *const keys[] = {"a", "b\\n", ""}, *const values[] = {"1", "[2]", "{}"};
    bool is_first = true, is_over = false;
    jscan_text_t key;
    for (size_t i = 0; i < 3; i++) {
        weir_slice_t raw;
        assert_true(jscan_member(&j, &is_first, &key, &is_over));
        assert_false(is_over);
        assert_true(weir_slice_eq(key.text, weir_slice_str(keys[i])));
        assert_int_equal(key.is_escaped, i == 1);
        assert_true(jscan_value(&j, &raw));
        assert_true(weir_slice_eq(raw, weir_slice_str(values[i])));
    }
    assert_true(jscan_member(&j, &is_first, &key, &is_over));
    assert_true(is_over);
    assert_true(jscan_at_end(&j));
}

static bool members_take(const char *text)
{
    jscan_t j = jscan_over(weir_slice_str(text));
    bool is_first = true, is_over = false;
    jscan_text_t key;
    while (jscan_member(&j, &is_first, &key, &is_over)) {
        if (is_over)
            return jscan_at_end(&j);
        if (!jscan_value(&j, NULL))
            return false;
    }
    return false;
}

static void what_is_no_object_is_refused_member_by_member_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(members_take(good[i].p), strchr(good[i].p, '{') == good[i].p + strspn(good[i].p, " \n"));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (strlen(bad[i].p) == bad[i].n && members_take(bad[i].p))
            fail_msg("taken: %s", bad[i].p);
}

static void members_are_found_by_name_and_of_two_the_last_one(void **state)
{
    (void)state;
    static const weir_slice_t names[] = {{"a", 1}, {"b\n", 2}, {"none", 4}};
    weir_slice_t values[3];
    assert_true(
        jscan_get(WEIR_LIT("{\"x\":{\"a\":0},\"a\":1,\"b\\u000a\":[2], \"\\u0061\" : {\"a\":3} }"), names, values, 3));
    assert_true(weir_slice_eq(values[0], WEIR_LIT("{\"a\":3}")));
    assert_true(weir_slice_eq(values[1], WEIR_LIT("[2]")));
    assert_null(values[2].p);
    assert_false(jscan_get(WEIR_LIT("[1]"), names, values, 3));
    assert_false(jscan_get(WEIR_LIT(""), names, values, 3));
    assert_false(jscan_get(weir_slice(NULL, 0), names, values, 3));
    assert_false(jscan_get(WEIR_LIT("{\"a\":1"), names, values, 3));
}

static void a_string_is_what_it_says(void **state)
{
    (void)state;
    static const struct {
        const char *text, *plain;
        bool is_same;
    } cases[] = {
        {"abc", "abc", true},   {"abc", "abd", false},      {"abc", "ab", false},
        {"", "", true},         {"\\u0061bc", "abc", true}, {"\\u0061bc", "\\u0061bc", false},
        {"a\\/b", "a/b", true}, {"a\\/b", "a\\/b", false},  {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        jscan_text_t text = {weir_slice_str(cases[i].text), strchr(cases[i].text, '\\') != NULL};
        assert_int_equal(jscan_is(text, weir_slice_str(cases[i].plain)), cases[i].is_same);
    }
}

static void line_ends_between_tokens_are_noticed_and_others_are_not(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_newline;
    } cases[] = {
        {"{\"a\":\"\\n\",\"b\": [1,\t2]}", false},
        {"{\"a\":1}\n", true},
        {"\n{\"a\":1}", true},
        {"{\"a\":\r1}", true},
        {"[[[\n]]]", true},
        {"{\"a\":{\"b\":1\n}}", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        jscan_t j = jscan_over(weir_slice_str(cases[i].text));
        assert_true(jscan_value(&j, NULL) && jscan_at_end(&j));
        assert_int_equal(j.has_newline, cases[i].has_newline);
    }
}

/* ---- escapes ---- */

static void escapes_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *text, *plain;
        size_t n;
    } cases[] = {
        {"", "", 0},
        {"plain", "plain", 5},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8},
        {"\\u0041\\u006a\\u006A", "Ajj", 3},
        {"\\u0000x", "\0x", 2},
        {"\\u007f\\u0080\\u07ff\\u0800\\uffff", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4},
        {"\\ud800\\udc00\\uDBFF\\uDFFF", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
        {"\\ud800", "\xef\xbf\xbd", 3},
        {"\\udc00\\ud800", "\xef\xbf\xbd\xef\xbf\xbd", 6},
        {"\\ud800\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7},
        {"\\ud800\\n", "\xef\xbf\xbd\n", 4},
        {"\\\\u0041", "\\u0041", 6},
        {"\xe4\xb8\x96\\/", "\xe4\xb8\x96/", 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n = strlen(cases[i].text);
        char *out = malloc(n + 1);
        assert_int_equal(jscan_unescape(weir_slice(cases[i].text, n), out), cases[i].n);
        assert_memory_equal(out, cases[i].plain, cases[i].n);
        free(out);
    }
}

/* Escaped, put between quotes and read by jansson, any bytes come back. */
static void what_was_escaped_is_read_as_what_it_was(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 0x110000; code += code < 0x900 ? 1 : 251) {
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        char escape[16], text[8], out[32];
        if (code < 0x10000)
            snprintf(escape, sizeof(escape), "\\u%04x", code);
        else
            snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
        size_t n = jscan_unescape(weir_slice_str(escape), text);
        out[0] = '"';
        size_t used = jscan_escape(out, 1, sizeof(out), weir_slice(text, n));
        out[used++] = '"';
        json_t *read = json_loadb(out, used, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        assert_int_equal(json_string_length(read), n);
        assert_memory_equal(json_string_value(read), text, n);
        json_decref(read);
    }
}

static void what_is_no_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    char out[64];
    size_t n = jscan_escape(out, 0, sizeof(out),
                            WEIR_LIT("a\xff"
                                     "b\xc3\xa9\xe2\x82"
                                     "c"));
    assert_int_equal(n, 14);
    assert_memory_equal(out,
                        "a\xef\xbf\xbd"
                        "b\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
                        "c",
                        14);
}

static void what_does_not_fit_is_told_and_nothing_is_written_beyond(void **state)
{
    (void)state;
    static const weir_slice_t text = WEIR_LIT("ab\n\"\x01\xff");
    const size_t whole = 2 + 2 + 2 + 6 + 3;
    for (size_t size = 0; size <= whole; size++) {
        char *out = malloc(size);
        size_t n = jscan_escape(out, 0, size, text);
        if (size < whole)
            assert_true(n > size);
        else
            assert_int_equal(n, whole);
        free(out);
    }
}

/* ---- what a string says, and members by name ---- */

static bool says(const char *quoted, const char *plain)
{
    jscan_t j = jscan_over(weir_slice_str(quoted));
    jscan_text_t text;
    assert_true(jscan_string(&j, &text));
    return jscan_is(text, weir_slice_str(plain));
}

static void a_string_says_the_same_however_it_is_written(void **state)
{
    (void)state;
    assert_true(says("\"region\"", "region"));
    assert_true(says("\"\\u0072egi\\u006fn\"", "region"));
    assert_true(says("\"a\\/b\\n\"", "a/b\n"));
    assert_true(says("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"));
    assert_true(says("\"\\ud800\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80"));
    assert_true(says("\"\\ud83dx\"", "\xef\xbf\xbdx"));
    assert_true(says("\"\"", ""));
    assert_false(says("\"\\u0072egion\"", "regio"));
    assert_false(says("\"\\u0072egio\"", "region"));
    assert_false(says("\"\\u0072\"", ""));
    assert_false(says("\"Region\"", "region"));
}

static void members_are_found_by_name_and_the_last_one_counts(void **state)
{
    (void)state;
    static const weir_slice_t names[] = {{"a", 1}, {"b", 1}, {"none", 4}};
    weir_slice_t values[3];
    assert_true(
        jscan_get(WEIR_LIT(" {\"b\": 1, \"x\": {\"a\": 5}, \"\\u0061\": [2, 3] , \"b\" : null} "), names, values, 3));
    assert_true(weir_slice_eq(values[0], WEIR_LIT("[2, 3]")));
    assert_true(weir_slice_eq(values[1], WEIR_LIT("null")));
    assert_null(values[2].p);
    assert_true(jscan_get(WEIR_LIT("{}"), names, values, 3));
    assert_null(values[0].p);
    assert_false(jscan_get(WEIR_LIT("[1]"), names, values, 3));
    assert_false(jscan_get(WEIR_LIT("{\"a\": 1"), names, values, 3));
    assert_false(jscan_get((weir_slice_t){NULL, 0}, names, values, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(a_nul_is_no_white_space),
        cmocka_unit_test(what_only_a_builder_of_trees_refuses_is_taken),
        cmocka_unit_test(what_is_cut_off_is_refused),
        cmocka_unit_test(both_agree_on_every_text_that_differs_by_one_byte),
        cmocka_unit_test(both_agree_on_every_text_that_lacks_a_byte_or_has_it_twice),
        cmocka_unit_test(both_agree_on_what_is_utf8),
        cmocka_unit_test(what_ends_a_plain_run_is_seen_wherever_it_stands),
        cmocka_unit_test(nesting_is_bounded_and_the_bound_is_told),
        cmocka_unit_test(closed_brackets_do_not_count),
        cmocka_unit_test(a_bracket_closes_what_it_opened_at_every_depth),
        cmocka_unit_test(a_value_is_its_text_without_the_space_around_it),
        cmocka_unit_test(the_members_of_an_object_come_one_after_another),
        cmocka_unit_test(what_is_no_object_is_refused_member_by_member_too),
        cmocka_unit_test(members_are_found_by_name_and_of_two_the_last_one),
        cmocka_unit_test(a_string_is_what_it_says),
        cmocka_unit_test(line_ends_between_tokens_are_noticed_and_others_are_not),
        cmocka_unit_test(escapes_are_resolved),
        cmocka_unit_test(what_was_escaped_is_read_as_what_it_was),
        cmocka_unit_test(what_is_no_utf8_becomes_the_replacement_character),
        cmocka_unit_test(what_does_not_fit_is_told_and_nothing_is_written_beyond),
        cmocka_unit_test(a_string_says_the_same_however_it_is_written),
        cmocka_unit_test(members_are_found_by_name_and_the_last_one_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
