/* test_message.c: JSON-RPC messages: what the scan notes of them, how they are cut, and the errors that weir writes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "jscan.h"
#include "message.h"
#include "method.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define META "io.modelcontextprotocol/"
#define RPC "{\"jsonrpc\":\"2.0\","

/* ---- arrangement ---- */

static weir_envelope_t env;
static char *kept; /* what `env` points into: memory of exactly the message's size */

static weir_scan_t scan(const char *text)
{
    size_t n = strlen(text);
    free(kept);
    kept = malloc(n);
    assert_true(n == 0 || kept != NULL);
    if (n > 0)
        memcpy(kept, text, n);
    memset(&env, 0xaa, sizeof(env));
    return message_scan(weir_slice(kept, n), &env);
}

static int end(void **state)
{
    (void)state;
    free(kept);
    kept = NULL;
    return 0;
}

static void scan_good(const char *text, weir_kind_t kind)
{
    weir_scan_t result = scan(text);
    if (result != WEIR_SCAN_OK || env.kind != kind)
        fail_msg("scan %d and kind %d, not %d: %s", (int)result, (int)env.kind, (int)kind, text);
}

/* NULL: absent. */
static void assert_slice(weir_slice_t slice, const char *expected)
{
    if ((slice.p == NULL) != (expected == NULL) || !weir_slice_eq(slice, weir_slice_str(expected)))
        fail_msg("\"%.*s\" is not \"%s\" in %s", WEIR_FMT(slice), expected == NULL ? "(absent)" : expected, kept);
}

static void assert_empty(void)
{
    weir_envelope_t nothing;
    memset(&nothing, 0, sizeof(nothing));
    nothing.id = env.id;
    assert_memory_equal(&env, &nothing, sizeof(env));
}

/* ---- the four kinds, and the batch ---- */

static void a_message_is_one_of_four_kinds_or_a_batch(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"ping\"}", WEIR_KIND_REQUEST);
    assert_slice(env.id, "1");
    assert_slice(env.method, "ping");
    assert_slice(env.params, NULL);
    scan_good(RPC "\"method\":\"notifications/initialized\"}", WEIR_KIND_NOTIFICATION);
    assert_slice(env.id, NULL);
    scan_good(RPC "\"id\":\"a\",\"result\":{\"x\":1}}", WEIR_KIND_RESULT);
    assert_slice(env.id, "\"a\"");
    assert_slice(env.result, "{\"x\":1}");
    assert_slice(env.method, NULL);
    scan_good(RPC "\"id\":2,\"error\":{\"code\":-32601,\"message\":\"no\"}}", WEIR_KIND_ERROR);
    assert_slice(env.result, "{\"code\":-32601,\"message\":\"no\"}");
    assert_int_equal(env.error_code, -32601);
    scan_good("[" RPC "\"id\":1,\"method\":\"ping\"}]", WEIR_KIND_BATCH);
    assert_slice(env.id, NULL);
    assert_slice(env.method, NULL);
    scan_good("[]", WEIR_KIND_BATCH);
}

static void members_may_come_in_any_order_with_any_white_space(void **state)
{
    (void)state;
    scan_good(" { \"params\" : { \"name\" : \"add\" } ,\t\"method\":\"tools/call\", \"id\" : 7 ,\"jsonrpc\":\"2.0\" } ",
              WEIR_KIND_REQUEST);
    assert_slice(env.id, "7");
    assert_slice(env.name, "add");
    assert_slice(env.params, "{ \"name\" : \"add\" }");
    assert_false(env.has_newline);
}

static void an_error_has_its_id_where_it_could_be_read(void **state)
{
    (void)state;
    scan_good(RPC "\"error\":{\"code\":-32700,\"message\":\"\"},\"id\":null}", WEIR_KIND_ERROR);
    assert_slice(env.id, NULL);
    scan_good(RPC "\"error\":{\"code\":-32700,\"message\":\"\"}}", WEIR_KIND_ERROR);
    assert_slice(env.id, NULL);
}

static void members_that_are_null_beside_the_one_that_counts_do_not_count(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"result\":{\"a\":1},\"error\":null}", WEIR_KIND_RESULT);
    assert_slice(env.result, "{\"a\":1}");
    scan_good(RPC "\"error\":null,\"id\":1,\"result\":{}}", WEIR_KIND_RESULT);
    assert_slice(env.result, "{}");
    scan_good(RPC "\"id\":1,\"result\":null,\"error\":{\"code\":1}}", WEIR_KIND_ERROR);
    assert_slice(env.result, "{\"code\":1}");
    scan_good(RPC "\"id\":1,\"result\":null}", WEIR_KIND_RESULT);
    assert_slice(env.result, "null");
    scan_good(RPC "\"id\":1,\"method\":\"ping\",\"result\":null,\"error\":null}", WEIR_KIND_REQUEST);
    assert_slice(env.result, NULL);
}

static void what_is_no_message_or_two_of_them_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "1",
        "null",
        "\"text\"",
        "true",
        "{\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0 \",\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":null,\"id\":1,\"method\":\"ping\"}",
        "{\"JSONRPC\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        RPC "\"id\":1}",
        RPC "\"params\":{}}",
        RPC "\"id\":1,\"method\":5}",
        RPC "\"id\":1,\"method\":null}",
        RPC "\"id\":1,\"method\":[\"ping\"]}",
        RPC "\"id\":null,\"method\":\"ping\"}",
        RPC "\"id\":true,\"method\":\"ping\"}",
        RPC "\"id\":{},\"method\":\"ping\"}",
        RPC "\"id\":[1],\"method\":\"ping\"}",
        RPC "\"id\":1,\"method\":\"ping\",\"params\":null}",
        RPC "\"id\":1,\"method\":\"ping\",\"params\":1}",
        RPC "\"id\":1,\"method\":\"ping\",\"params\":\"x\"}",
        RPC "\"id\":1,\"method\":\"ping\",\"result\":{}}",
        RPC "\"id\":1,\"method\":\"ping\",\"error\":{\"code\":1}}",
        RPC "\"id\":1,\"result\":{},\"error\":{\"code\":1}}",
        RPC "\"id\":1,\"result\":{},\"error\":5}",
        RPC "\"id\":1,\"error\":\"no\"}",
        RPC "\"id\":1,\"error\":null}",
        RPC "\"id\":1,\"result\":{},\"params\":{}}",
        RPC "\"result\":{}}",
        RPC "\"id\":null,\"result\":{}}",
        RPC "\"id\":{},\"result\":{}}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        weir_scan_t result = scan(texts[i]);
        if (result != WEIR_SCAN_NOT_JSONRPC)
            fail_msg("scan %d: %s", (int)result, texts[i]);
        assert_empty();
    }
}

static void the_id_of_what_is_refused_is_told_where_there_is_one(void **state)
{
    (void)state;
    assert_int_equal(scan(RPC "\"id\":\"x\"}"), WEIR_SCAN_NOT_JSONRPC);
    assert_slice(env.id, "\"x\"");
    assert_int_equal(scan("{\"id\":12,\"method\":\"ping\"}"), WEIR_SCAN_NOT_JSONRPC);
    assert_slice(env.id, "12");
    assert_int_equal(scan(RPC "\"id\":{},\"method\":\"ping\"}"), WEIR_SCAN_NOT_JSONRPC);
    assert_slice(env.id, NULL);
    assert_int_equal(scan(RPC "\"id\":12,"), WEIR_SCAN_NOT_JSON);
    assert_slice(env.id, NULL);
}

static void what_is_not_json_is_told_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        RPC,
        RPC "\"id\":1,\"method\":\"ping\"",
        RPC "\"id\":1,\"method\":\"ping\",}",
        RPC "\"id\":1,\"method\":\"ping\"}}",
        RPC "\"id\":1,\"method\":\"ping\"}{}",
        RPC "\"id\":01,\"method\":\"ping\"}",
        RPC "\"id\":1,\"method\":\"pi\nng\"}",
        RPC "\"id\":1,\"method\":\"\xff\"}",
        RPC "\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"progressToken\":}}}",
        RPC "\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"traceparent\":\"\\x\"}}}",
        RPC "\"id\":1,\"result\":{\"protocolVersion\":\"}}",
        RPC "\"id\":1,\"error\":{\"code\":1,}}",
        "[" RPC "\"id\":1}",
        "\xef\xbb\xbf" RPC "\"id\":1,\"method\":\"ping\"}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        weir_scan_t result = scan(texts[i]);
        if (result != WEIR_SCAN_NOT_JSON)
            fail_msg("scan %d: %s", (int)result, texts[i]);
        assert_empty();
    }
}

/* Nested to exactly so many brackets, wherever the deep part stands. */
static weir_scan_t scan_nested(const char *before, unsigned outside, const char *after, unsigned depth)
{
    char text[1024];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", before);
    memset(text + n, '[', depth - outside);
    memset(text + n + depth - outside, ']', depth - outside);
    snprintf(text + n + 2 * (depth - outside), sizeof(text) - n - 2 * (depth - outside), "%s", after);
    return scan(text);
}

static void nesting_is_bounded_to_the_same_depth_everywhere(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        unsigned outside;
    } places[] = {
        {"", "", 0},
        {RPC "\"id\":1,\"method\":\"x\",\"other\":", "}", 1},
        {RPC "\"id\":1,\"method\":\"x\",\"params\":{\"a\":", "}}", 2},
        {RPC "\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"a\":", "}}}", 3},
        {RPC "\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"b\":{}},\"a\":", "}}", 2},
        {RPC "\"id\":1,\"result\":{\"a\":", "}}", 2},
        {RPC "\"id\":1,\"error\":{\"data\":", "}}", 2},
    };
    for (size_t i = 0; i < COUNT(places); i++) {
        assert_int_equal(scan_nested(places[i].before, places[i].outside, places[i].after, WEIR_SCAN_DEPTH),
                         WEIR_SCAN_OK);
        assert_int_equal(scan_nested(places[i].before, places[i].outside, places[i].after, WEIR_SCAN_DEPTH + 1),
                         WEIR_SCAN_TOO_DEEP);
        assert_empty();
    }
}

/* ---- ids ---- */

static const char *const ids[] = {
    "0",
    "1",
    "-1",
    "-0",
    "1.0",
    "1.50",
    "1e3",
    "1E+3",
    "2147483648",
    "9007199254740991",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e999",
    "\"\"",
    "\"1\"",
    "\"a b\"",
    "\"\\\"\\\\\"",
    "\"\\u0041\\/\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    "\"\\ud800\"",
    "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
};

/* Put together what a cut gave. */
static size_t join(const weir_slice_t *parts, size_t n, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(used + parts[i].n <= size);
        if (parts[i].n > 0)
            memcpy(out + used, parts[i].p, parts[i].n);
        used += parts[i].n;
    }
    return used;
}

/* Replaced by a number of weir's own on the way there, and put back on the way back, as call.c does it. */
static void an_id_comes_back_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ids); i++) {
        char request[512], sent[512], reply[512], expected[512];
        weir_slice_t parts[2 * WEIR_EDITS_MAX + 1];
        snprintf(request, sizeof(request), RPC "\"id\": %s ,\"method\":\"ping\"}", ids[i]);
        scan_good(request, WEIR_KIND_REQUEST);
        assert_slice(env.id, ids[i]);
        weir_message_t message = {.bytes = weir_slice(kept, strlen(request)), .envelope = env};
        weir_edit_t out = {env.id, WEIR_LIT("65537")};
        size_t n = join(parts, message_edit(&message, &out, 1, parts, COUNT(parts)), sent, sizeof(sent));
        snprintf(expected, sizeof(expected), RPC "\"id\": 65537 ,\"method\":\"ping\"}");
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(sent, expected, n);

        scan_good(RPC "\"result\":{},\"id\":65537}", WEIR_KIND_RESULT);
        message =
            (weir_message_t){.bytes = weir_slice(kept, strlen(RPC "\"result\":{},\"id\":65537}")), .envelope = env};
        weir_edit_t back = {env.id, weir_slice_str(ids[i])};
        n = join(parts, message_edit(&message, &back, 1, parts, COUNT(parts)), reply, sizeof(reply));
        snprintf(expected, sizeof(expected), RPC "\"result\":{},\"id\":%s}", ids[i]);
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(reply, expected, n);
    }
}

/* ---- what else the scan notes ---- */

static void a_call_has_its_name_token_and_trace(void **state)
{
    (void)state;
    scan_good(
        RPC
        "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"add\",\"arguments\":{\"name\":\"inner\",\"_meta\":{"
        "\"progressToken\":0}},\"_meta\":{\"progressToken\":\"t\\n\",\"" META "protocolVersion\":\"2026-07-28\","
        "\"traceparent\":\"00-ab-cd-01\",\"other\":{\"progressToken\":9}}}}",
        WEIR_KIND_REQUEST);
    assert_slice(env.name, "add");
    assert_slice(env.progress_token, "\"t\\n\"");
    assert_slice(env.version, "2026-07-28");
    assert_slice(env.traceparent, "00-ab-cd-01");
    assert_slice(env.subscription_id, NULL);
    assert_slice(env.request_id, NULL);
    assert_int_equal(env.meta.p[0], '{');
    assert_int_equal(env.meta.p[env.meta.n - 1], '}');
}

static void a_name_is_params_name_or_else_its_uri(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"resources/read\",\"params\":{\"uri\":\"file:\\/\\/\\/a\"}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.name, "file:\\/\\/\\/a");
    assert_true(env.is_name_escaped);
    scan_good(RPC "\"id\":1,\"method\":\"x\",\"params\":{\"uri\":\"\\u0061\",\"name\":\"b\"}}", WEIR_KIND_REQUEST);
    assert_slice(env.name, "b");
    assert_false(env.is_name_escaped);
    scan_good(RPC "\"id\":1,\"method\":\"x\",\"params\":{\"name\":\"\",\"uri\":\"u\"}}", WEIR_KIND_REQUEST);
    assert_slice(env.name, "");
    scan_good(RPC "\"id\":1,\"method\":\"x\",\"params\":{\"name\":5,\"uri\":\"u\"}}", WEIR_KIND_REQUEST);
    assert_slice(env.name, "u");
    scan_good(RPC "\"id\":1,\"method\":\"x\",\"params\":[\"name\"]}", WEIR_KIND_REQUEST);
    assert_slice(env.name, NULL);
    assert_slice(env.params, "[\"name\"]");
}

static void a_version_is_read_where_its_message_has_it(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\",\"_meta\":{\"" META
                  "protocolVersion\":\"2026-07-28\"}}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.version, "2025-06-18");
    assert_slice(env.capabilities, NULL);
    scan_good(RPC "\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\",\"_meta\":{\"" META
                  "protocolVersion\":\"2026-07-28\",\"" META "clientCapabilities\":{\"roots\":{}}}}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.version, "2026-07-28");
    assert_slice(env.capabilities, "{\"roots\":{}}");
    scan_good(RPC "\"params\":{\"protocolVersion\":\"2025-06-18\"},\"id\":1,\"method\":\"ping\"}", WEIR_KIND_REQUEST);
    assert_slice(env.version, NULL);
    scan_good(RPC "\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}", WEIR_KIND_RESULT);
    assert_slice(env.version, "2025-11-25");
}

static void tokens_of_progress_cancellation_and_subscription_are_found(void **state)
{
    (void)state;
    scan_good(
        RPC "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":12,\"_meta\":{\"progressToken\":13}}}",
        WEIR_KIND_NOTIFICATION);
    assert_slice(env.progress_token, "12");
    scan_good(RPC "\"params\":{\"progressToken\":12},\"method\":\"notifications/other\"}", WEIR_KIND_NOTIFICATION);
    assert_slice(env.progress_token, NULL);
    scan_good(RPC "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"r\",\"reason\":\"\"}}",
              WEIR_KIND_NOTIFICATION);
    assert_slice(env.request_id, "\"r\"");
    scan_good(RPC "\"method\":\"notifications/x\",\"params\":{\"_meta\":{\"" META "subscriptionId\":3}}}",
              WEIR_KIND_NOTIFICATION);
    assert_slice(env.subscription_id, "3");
    scan_good(RPC "\"id\":1,\"result\":{\"_meta\":{\"" META "subscriptionId\":\"s\"}}}", WEIR_KIND_RESULT);
    assert_slice(env.subscription_id, "\"s\"");
    scan_good(RPC "\"method\":\"x\",\"params\":{\"requestId\":{},\"_meta\":{\"progressToken\":null}}}",
              WEIR_KIND_NOTIFICATION);
    assert_slice(env.request_id, NULL);
    assert_slice(env.progress_token, NULL);
}

static void an_error_code_is_a_small_whole_number_or_0(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int32_t value;
    } cases[] = {
        {"-32000", -32000},
        {"0", 0},
        {"7", 7},
        {"2147483647", INT32_MAX},
        {"-2147483647", -INT32_MAX},
        {"2147483648", 0},
        {"99999999999999999999999", 0},
        {"1.5", 0},
        {"1e2", 0},
        {"\"-32000\"", 0},
        {"null", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128];
        snprintf(text, sizeof(text), RPC "\"id\":1,\"error\":{\"code\":%s}}", cases[i].code);
        scan_good(text, WEIR_KIND_ERROR);
        assert_int_equal(env.error_code, cases[i].value);
    }
}

static void a_line_end_between_tokens_is_noticed(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"a\\nb\"}", WEIR_KIND_REQUEST);
    assert_false(env.has_newline);
    scan_good("{\n\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", WEIR_KIND_REQUEST);
    assert_true(env.has_newline);
    scan_good(RPC "\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"a\":[1,\r2]}}}", WEIR_KIND_REQUEST);
    assert_true(env.has_newline);
    scan_good(RPC "\"id\":1,\"method\":\"ping\"}\n", WEIR_KIND_REQUEST);
    assert_true(env.has_newline);
}

/* ---- one message, one meaning ---- */

static void of_a_key_that_stands_twice_the_last_one_counts_whole(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"a\",\"id\":2,\"method\":\"b\"}", WEIR_KIND_REQUEST);
    assert_slice(env.id, "2");
    assert_slice(env.method, "b");
    scan_good(RPC "\"id\":1,\"id\":null,\"method\":\"a\",\"id\":3}", WEIR_KIND_REQUEST);
    assert_slice(env.id, "3");
    assert_int_equal(scan(RPC "\"id\":1,\"method\":\"a\",\"id\":null}"), WEIR_SCAN_NOT_JSONRPC);
    assert_int_equal(scan(RPC "\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"a\"}"), WEIR_SCAN_NOT_JSONRPC);
    scan_good(RPC "\"id\":1,\"method\":\"a\",\"params\":{\"name\":\"n\",\"uri\":\"u\",\"requestId\":1,\"_meta\":{"
                  "\"progressToken\":1,"
                  "\"traceparent\":\"t\"}},\"params\":{}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.name, NULL);
    assert_slice(env.meta, NULL);
    assert_slice(env.request_id, NULL);
    assert_slice(env.progress_token, NULL);
    assert_slice(env.traceparent, NULL);
    assert_slice(env.params, "{}");
    scan_good(RPC "\"id\":1,\"method\":\"a\",\"params\":{\"_meta\":{\"progressToken\":1,\"" META
                  "subscriptionId\":1},\"_meta\":{}}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.progress_token, NULL);
    assert_slice(env.subscription_id, NULL);
    assert_slice(env.meta, "{}");
    scan_good(RPC "\"id\":1,\"method\":\"a\",\"params\":{\"_meta\":{\"progressToken\":1},\"_meta\":7}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.progress_token, NULL);
    assert_slice(env.meta, NULL);
    scan_good(RPC "\"id\":1,\"result\":{\"protocolVersion\":\"x\",\"_meta\":{\"" META
                  "subscriptionId\":1}},\"result\":{\"b\":2}}",
              WEIR_KIND_RESULT);
    assert_slice(env.version, NULL);
    assert_slice(env.subscription_id, NULL);
    assert_slice(env.result, "{\"b\":2}");
    scan_good(RPC "\"id\":1,\"error\":{\"code\":5},\"error\":{}}", WEIR_KIND_ERROR);
    assert_int_equal(env.error_code, 0);
}

/* Whoever parses the message sees the key, not its escapes; a second key hidden behind them must not get past. */
static void a_key_is_what_it_says_and_not_how_it_is_written(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"tools/list\",\"m\\u0065thod\":\"tools/"
                  "call\",\"params\":{\"name\":\"a\",\"n\\u0061me\":\"b\"}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.method, "tools/call");
    assert_slice(env.name, "b");
    scan_good(
        "{\"\\u006Asonrpc\":\"2\\u002e0\",\"\\u0069\\u0064\":5,\"method\":\"x\",\"params\":{\"_m\\u0065ta\":{\"io."
        "modelcontextprotocol\\/"
        "protocolVersion\":\"2026-07-28\"}}}",
        WEIR_KIND_REQUEST);
    assert_slice(env.id, "5");
    assert_slice(env.version, "2026-07-28");
    char longest[512] = RPC "\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"";
    for (const char *p = META "protocolVersion"; *p != '\0'; p++)
        snprintf(longest + strlen(longest), sizeof(longest) - strlen(longest), "\\u%04x", (unsigned char)*p);
    strcat(longest, "\":\"2026-07-28\"}}}");
    scan_good(longest, WEIR_KIND_REQUEST);
    assert_slice(env.version, "2026-07-28");
    scan_good(RPC "\"id\":1,\"method\":\"x\",\"\\\\id\":2,\"id\\u0000\":3,\"i\\u0064\\u0064\":4}", WEIR_KIND_REQUEST);
    assert_slice(env.id, "1");
}

static void an_escaped_key_of_any_length_is_no_key_of_ours(void **state)
{
    (void)state;
    for (size_t n = 1; n < 600; n += 7) {
        char text[1024] = RPC "\"id\":1,\"method\":\"x\",\"\\n";
        memset(text + strlen(text), 'k', n);
        strcat(text, "\":{}}");
        scan_good(text, WEIR_KIND_REQUEST);
        assert_slice(env.id, "1");
    }
}

static void a_method_of_mcp_is_plain_however_it_was_written(void **state)
{
    (void)state;
    scan_good(RPC "\"id\":1,\"method\":\"tools\\/call\"}", WEIR_KIND_REQUEST);
    assert_slice(env.method, "tools/call");
    assert_false(env.is_method_escaped);
    scan_good(RPC "\"id\":1,\"method\":\"initi\\u0061lize\",\"params\":{\"protocolVersion\":\"2025-06-18\"}}",
              WEIR_KIND_REQUEST);
    assert_slice(env.method, "initialize");
    assert_slice(env.version, "2025-06-18");
    scan_good(RPC "\"method\":\"notifications\\/progress\",\"params\":{\"progressToken\":7}}", WEIR_KIND_NOTIFICATION);
    assert_slice(env.progress_token, "7");
    scan_good(RPC "\"id\":1,\"method\":\"my\\/own\"}", WEIR_KIND_REQUEST);
    assert_slice(env.method, "my\\/own");
    assert_true(env.is_method_escaped);
    scan_good(RPC "\"id\":1,\"method\":\"my\\/own\",\"method\":\"plain\"}", WEIR_KIND_REQUEST);
    assert_slice(env.method, "plain");
    assert_false(env.is_method_escaped);
    assert_slice(method_plain(WEIR_LIT("tools\\/callx")), NULL);
    assert_slice(method_plain(WEIR_LIT("")), NULL);
    char longer[600];
    memset(longer, 'a', sizeof(longer));
    assert_slice(method_plain(weir_slice(longer, sizeof(longer))), NULL);
}

/* ---- edits ---- */

static const char *edited(const char *text, const weir_edit_t *edits, size_t nedits)
{
    static char out[512];
    weir_slice_t parts[2 * WEIR_EDITS_MAX + 1];
    weir_message_t message = {.bytes = weir_slice_str(text)};
    size_t n = message_edit(&message, edits, nedits, parts, 2 * nedits + 1);
    assert_true(n > 0);
    n = join(parts, n, out, sizeof(out) - 1);
    out[n] = '\0';
    return out;
}

static weir_slice_t piece(const char *text, size_t from, size_t n)
{
    return weir_slice(text + from, n);
}

static void a_message_is_cut_around_its_edits(void **state)
{
    (void)state;
    static const char text[] = "0123456789";
    weir_edit_t edits[WEIR_EDITS_MAX] = {
        {piece(text, 7, 2), WEIR_LIT("seven")},
        {piece(text, 0, 1), WEIR_LIT("")},
        {{NULL, 0}, WEIR_LIT("nowhere")},
        {piece(text, 3, 1), WEIR_LIT("three")},
    };
    assert_string_equal(edited(text, edits, 4), "12three456seven9");
    assert_string_equal(edited(text, edits, 0), text);
    weir_edit_t whole = {piece(text, 0, 10), WEIR_LIT("x")}, last = {piece(text, 9, 1), WEIR_LIT("nine")};
    assert_string_equal(edited(text, &whole, 1), "x");
    assert_string_equal(edited(text, &last, 1), "012345678nine");
}

static void an_empty_part_can_be_filled(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":\"\"}";
    weir_edit_t edits[] = {{piece(text, 9, 0), WEIR_LIT("a")}, {piece(text, 2, 4), WEIR_LIT("uri")}};
    assert_string_equal(edited(text, edits, 2), "{\"uri\":\"a\"}");
    weir_edit_t at_ends[] = {{piece(text, 11, 0), WEIR_LIT("\n")}, {piece(text, 0, 0), WEIR_LIT(" ")}};
    assert_string_equal(edited(text, at_ends, 2), " {\"name\":\"\"}\n");
}

static void an_edit_inside_of_another_one_does_nothing(void **state)
{
    (void)state;
    static const char text[] = "0123456789";
    weir_edit_t edits[] = {{piece(text, 4, 1), WEIR_LIT("x")}, {piece(text, 3, 3), WEIR_LIT("y")}};
    assert_string_equal(edited(text, edits, 2), "012y6789");
}

static void a_cut_that_does_not_fit_gives_nothing(void **state)
{
    (void)state;
    static const char text[] = "0123456789";
    weir_message_t message = {.bytes = weir_slice_str(text)};
    weir_edit_t edits[] = {{piece(text, 1, 1), WEIR_LIT("x")}, {piece(text, 3, 1), WEIR_LIT("y")}};
    weir_slice_t parts[5];
    assert_int_equal(message_edit(&message, edits, 2, parts, 5), 5);
    for (size_t max = 0; max < 5; max++)
        assert_int_equal(message_edit(&message, edits, 2, parts, max), 0);
    assert_int_equal(message_edit(&message, NULL, 0, parts, 1), 1);
}

/* ---- errors that weir writes ---- */

static json_t *error_of(weir_slice_t id, int code, weir_slice_t text, weir_slice_t reason)
{
    char out[1024];
    size_t n = message_error(out, sizeof(out), id, code, text, reason);
    assert_true(n > 0);
    json_t *error = json_loadb(out, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    assert_non_null(error);
    assert_int_equal(message_scan(weir_slice(out, n), &env), WEIR_SCAN_OK);
    assert_int_equal(env.kind, WEIR_KIND_ERROR);
    assert_int_equal(env.error_code, code);
    assert_false(env.has_newline);
    assert_true(weir_slice_eq(env.id, id));
    memset(&env, 0, sizeof(env));
    return error;
}

static void an_error_is_a_message_with_id_code_text_and_reason(void **state)
{
    (void)state;
    json_t *error = error_of(WEIR_LIT("\"a\\u0041\""), -32000, WEIR_LIT("pool: \"x\"\n\xff"), WEIR_LIT("pool_full"));
    json_t *inside = json_object_get(error, "error");
    assert_string_equal(json_string_value(json_object_get(error, "id")), "aA");
    assert_int_equal(json_integer_value(json_object_get(inside, "code")), -32000);
    assert_string_equal(json_string_value(json_object_get(inside, "message")), "pool: \"x\"\n\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(json_object_get(inside, "data"), "reason")), "pool_full");
    json_decref(error);
    error = error_of((weir_slice_t){NULL, 0}, -32700, WEIR_LIT(""), WEIR_LIT(""));
    assert_null(json_object_get(error, "id"));
    assert_null(json_object_get(json_object_get(error, "error"), "data"));
    json_decref(error);
}

static void an_error_that_does_not_fit_is_not_written(void **state)
{
    (void)state;
    char out[256];
    const weir_slice_t id = WEIR_LIT("12"), text = WEIR_LIT("a\"b"), reason = WEIR_LIT("r\n");
    size_t whole = message_error(out, sizeof(out), id, -32000, text, reason);
    assert_true(whole > 0);
    for (size_t n = 0; n <= whole; n++) {
        char *exact = malloc(n);
        assert_int_equal(message_error(exact, n, id, -32000, text, reason), n < whole ? 0 : whole);
        free(exact);
    }
}

#define SCENE(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_message_is_one_of_four_kinds_or_a_batch),
        SCENE(members_may_come_in_any_order_with_any_white_space),
        SCENE(an_error_has_its_id_where_it_could_be_read),
        SCENE(members_that_are_null_beside_the_one_that_counts_do_not_count),
        SCENE(what_is_no_message_or_two_of_them_is_refused),
        SCENE(the_id_of_what_is_refused_is_told_where_there_is_one),
        SCENE(what_is_not_json_is_told_apart),
        SCENE(nesting_is_bounded_to_the_same_depth_everywhere),
        SCENE(an_id_comes_back_byte_for_byte),
        SCENE(a_call_has_its_name_token_and_trace),
        SCENE(a_name_is_params_name_or_else_its_uri),
        SCENE(a_version_is_read_where_its_message_has_it),
        SCENE(tokens_of_progress_cancellation_and_subscription_are_found),
        SCENE(an_error_code_is_a_small_whole_number_or_0),
        SCENE(a_line_end_between_tokens_is_noticed),
        SCENE(of_a_key_that_stands_twice_the_last_one_counts_whole),
        SCENE(a_key_is_what_it_says_and_not_how_it_is_written),
        SCENE(an_escaped_key_of_any_length_is_no_key_of_ours),
        SCENE(a_method_of_mcp_is_plain_however_it_was_written),
        SCENE(a_message_is_cut_around_its_edits),
        SCENE(an_empty_part_can_be_filled),
        SCENE(an_edit_inside_of_another_one_does_nothing),
        SCENE(a_cut_that_does_not_fit_gives_nothing),
        SCENE(an_error_is_a_message_with_id_code_text_and_reason),
        SCENE(an_error_that_does_not_fit_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
