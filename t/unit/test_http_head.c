/* test_http_head.c: the parts of the http module that need no connection: which fields pass, URLs, mirrored fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "../../modules/http/head.c"
#include "../../modules/http/mirror.c"
#include "exchange.h"
#include "jscan.h"
#include "mirrored.h"
#include "url.h"

/* ---- arrangement ---- */

static void add(weir_head_t *head, const char *name, weir_field_id_t id, const char *value)
{
    if (head->nfields == 0)
        for (size_t i = 0; i < WEIR_FIELDS_KNOWN; i++)
            head->known[i] = -1;
    if (head->known[id] < 0)
        head->known[id] = (int16_t)head->nfields;
    head->fields[head->nfields++] = (weir_field_t){weir_slice_str(name), weir_slice_str(value), id};
}

static const char *copied(const weir_head_t *head, head_filter_t filter)
{
    static char text[4096];
    head_out_t out = {.p = text, .size = sizeof(text) - 1};
    head_copy(&out, head, &filter);
    assert_false(out.is_over);
    text[out.n] = '\0';
    return text;
}

/* ---- fields ---- */

static void what_a_connection_says_of_itself_does_not_pass(void **state)
{
    (void)state;
    weir_head_t head = {0};
    add(&head, "Host", WEIR_FIELD_HOST, "a.example");
    add(&head, "Connection", WEIR_FIELD_CONNECTION, "keep-alive, X-Secret");
    add(&head, "Keep-Alive", WEIR_FIELD_KEEP_ALIVE, "timeout=5");
    add(&head, "x-secret", WEIR_FIELD_OTHER, "1");
    add(&head, "TE", WEIR_FIELD_TE, "trailers");
    add(&head, "Transfer-Encoding", WEIR_FIELD_TRANSFER_ENCODING, "chunked");
    add(&head, "Upgrade", WEIR_FIELD_UPGRADE, "h2c");
    add(&head, "X-Other", WEIR_FIELD_OTHER, "2");
    add(&head, "Accept", WEIR_FIELD_ACCEPT, "*/*");
    assert_string_equal(copied(&head, (head_filter_t){.ids = FIELDS_OF_A_CONNECTION | FIELD_BIT(WEIR_FIELD_HOST)}),
                        "X-Other: 2\r\nAccept: */*\r\n");
}

static void fields_named_in_any_connection_field_do_not_pass(void **state)
{
    (void)state;
    weir_head_t head = {0};
    add(&head, "Connection", WEIR_FIELD_CONNECTION, "close");
    add(&head, "A", WEIR_FIELD_OTHER, "1");
    add(&head, "B", WEIR_FIELD_OTHER, "2");
    add(&head, "Connection", WEIR_FIELD_CONNECTION, " b ,, ");
    assert_string_equal(copied(&head, (head_filter_t){.ids = FIELDS_OF_A_CONNECTION}), "A: 1\r\n");
}

static void fields_can_be_filtered_by_name(void **state)
{
    (void)state;
    static const weir_slice_t names[] = {{"accept-encoding", 15}};
    weir_head_t head = {0};
    add(&head, "Accept-Encoding", WEIR_FIELD_OTHER, "gzip");
    add(&head, "Accept-Language", WEIR_FIELD_OTHER, "de");
    assert_string_equal(copied(&head, (head_filter_t){0, names, 1}), "Accept-Language: de\r\n");
}

static void a_head_that_does_not_fit_is_noticed(void **state)
{
    (void)state;
    char room[8];
    head_out_t out = {.p = room, .size = sizeof(room)};
    out_number(&out, 12345678);
    assert_false(out.is_over);
    OUT_LIT(&out, "9");
    assert_true(out.is_over);
    out = (head_out_t){.p = room, .size = sizeof(room)};
    out_field(&out, WEIR_LIT("abc"), WEIR_LIT("de"));
    assert_true(out.is_over);
    assert_int_equal(out.n, 0);
}

/* ---- URLs ---- */

static void check_url(const char *text, const char *host, unsigned port, const char *target, bool is_tls)
{
    weir_url_t url;
    weir_error_t err = {{0}};
    if (url_parse(text, &url, &err) != WEIR_OK)
        fail_msg("%s: %s", text, err.text);
    assert_true(weir_slice_eq(url.host, weir_slice_str(host)));
    assert_true(weir_slice_eq(url.target, weir_slice_str(target)));
    assert_int_equal(url.port, port);
    assert_int_equal(url.is_tls, is_tls);
}

static void urls_have_host_port_and_target(void **state)
{
    (void)state;
    check_url("http://10.0.0.11:3000/mcp", "10.0.0.11", 3000, "/mcp", false);
    check_url("https://mcp.example", "mcp.example", 443, "/", true);
    check_url("HTTP://mcp.example/a/b?c=d", "mcp.example", 80, "/a/b?c=d", false);
    check_url("http://[::1]:8080/mcp", "::1", 8080, "/mcp", false);
    check_url("http://unix:/run/mcp.sock:/mcp", "unix:/run/mcp.sock", 80, "/mcp", false);
    check_url("http://unix:/run/mcp.sock", "unix:/run/mcp.sock", 80, "/", false);
}

static void what_is_no_url_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "mcp.example/mcp",
        "ftp://mcp.example/",
        "http://",
        "http:///mcp",
        "http://a:b/mcp",
        "http://a:0/mcp",
        "http://a:65536/mcp",
        "http://a:/mcp",
        "http://user@a/mcp",
        "http://a/m cp",
        "http://a/mcp#top",
        "http://a/\r\nX: y",
        "http://[::1/mcp",
        "http://[::1]x/mcp",
        "http://a?x",
        "http://unix:relative:/mcp",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        weir_url_t url;
        weir_error_t err = {{0}};
        if (url_parse(wrong[i], &url, &err) == WEIR_OK)
            fail_msg("%s was taken", wrong[i]);
        assert_true(err.text[0] != '\0');
    }
}

static void only_loopback_names_are_loopback(void **state)
{
    (void)state;
    static const char *const yes[] = {"localhost", "LOCALHOST", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]"};
    static const char *const no[] = {
        "", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "128.0.0.1", "[::2]"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(host_is_loopback(weir_slice_str(yes[i])));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(host_is_loopback(weir_slice_str(no[i])));
    assert_true(weir_slice_eq(authority_host(WEIR_LIT("[::1]:80")), WEIR_LIT("[::1]")));
    assert_true(weir_slice_eq(authority_host(WEIR_LIT("localhost:80")), WEIR_LIT("localhost")));
    assert_true(weir_slice_eq(origin_authority(WEIR_LIT("http://localhost:6274")), WEIR_LIT("localhost:6274")));
    assert_int_equal(origin_authority(WEIR_LIT("null")).n, 0);
}

/* ---- mirrored fields ---- */

static const weir_host_t host = {
    .exchange_alloc = exchange_alloc,
    .text_unescape = jscan_unescape,
    .mirrored_decode = mirrored_decode,
    .mirrored_encode = mirrored_encode,
};

typedef struct scene {
    weir_head_t head;
    exchange_t ex;
} scene_t;

/* A modern tools/call whose three fields say what these say; NULL: absent. */
static int checked(const char *version, const char *method, const char *name, const char *body_name, bool is_escaped)
{
    scene_t scene = {0};
    add(&scene.head, "Host", WEIR_FIELD_HOST, "a");
    if (version != NULL)
        add(&scene.head, "MCP-Protocol-Version", WEIR_FIELD_MCP_PROTOCOL_VERSION, version);
    if (method != NULL)
        add(&scene.head, "Mcp-Method", WEIR_FIELD_MCP_METHOD, method);
    if (name != NULL)
        add(&scene.head, "Mcp-Name", WEIR_FIELD_MCP_NAME, name);
    scene.ex.pub.head = &scene.head;
    scene.ex.pub.message.envelope = (weir_envelope_t){
        .kind = WEIR_KIND_REQUEST,
        .method = WEIR_LIT("tools/call"),
        .version = WEIR_LIT("2026-07-28"),
        .name = weir_slice_str(body_name),
        .is_name_escaped = is_escaped,
    };
    weir_error_t err = {{0}};
    int result = mirror_check(&host, &scene.ex.pub, &err);
    assert_int_equal(scene.ex.pub.era, WEIR_ERA_MODERN);
    assert_int_equal(result == WEIR_OK, err.text[0] == '\0');
    arena_free(scene.ex.arena);
    return result;
}

static void fields_that_say_what_the_message_says_are_good(void **state)
{
    (void)state;
    const char *v = "2026-07-28", *m = "tools/call";
    assert_int_equal(checked(v, m, "add", "add", false), WEIR_OK);
    assert_int_equal(checked(v, m, "=?base64?SGVsbG8sIOS4lueVjA==?=", "Hello, \xe4\xb8\x96\xe7\x95\x8c", false),
                     WEIR_OK);
    assert_int_equal(checked(v, m, "=?base64?SGVsbG8sIOS4lueVjA==?=", "Hello, \\u4e16\\u754C", true), WEIR_OK);
    assert_int_equal(checked(v, m, "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", "=?base64?literal?=", false), WEIR_OK);
    assert_int_equal(checked(v, m, "=?base64?8J+YgA==?=", "\\ud83d\\ude00", true), WEIR_OK);
    assert_int_equal(checked(v, m, "a/b", "a\\/b", true), WEIR_OK);
    assert_int_equal(checked(v, m, NULL, NULL, false), WEIR_OK);
}

static void fields_that_say_something_else_are_a_mismatch(void **state)
{
    (void)state;
    const char *v = "2026-07-28", *m = "tools/call";
    assert_int_equal(checked(NULL, m, "add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked("2025-11-25", m, "add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, NULL, "add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, "tools/list", "add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, "TOOLS/CALL", "add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, m, NULL, "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, m, "Add", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, m, "add", NULL, false), WEIR_EFAIL);
    assert_int_equal(checked(v, m, "=?base64?!!!!?=", "add", false), WEIR_EFAIL);
    assert_int_equal(checked(v, m, "\xe4\xb8\x96", "\xe4\xb8\x96", false), WEIR_EFAIL);
}

static void a_name_that_no_field_can_hold_goes_as_base64(void **state)
{
    (void)state;
    static const struct {
        const char *name, *line;
        bool is_escaped;
    } cases[] = {
        {"add", "Mcp-Name: add\r\n", false},
        {" padded ", "Mcp-Name: =?base64?IHBhZGRlZCA=?=\r\n", false},
        {"line1\\nline2", "Mcp-Name: =?base64?bGluZTEKbGluZTI=?=\r\n", true},
        {"=?base64?literal?=", "Mcp-Name: =?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=\r\n", false},
        {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "Mcp-Name: =?base64?SGVsbG8sIOS4lueVjA==?=\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        head_out_t out = {.p = text, .size = sizeof(text) - 1};
        exchange_t ex = {0};
        ex.pub.message.envelope.name = weir_slice_str(cases[i].name);
        ex.pub.message.envelope.is_name_escaped = cases[i].is_escaped;
        mirror_out_name(&host, &ex.pub, &out);
        arena_free(ex.arena);
        text[out.n] = '\0';
        assert_string_equal(text, cases[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_connection_says_of_itself_does_not_pass),
        cmocka_unit_test(fields_named_in_any_connection_field_do_not_pass),
        cmocka_unit_test(fields_can_be_filtered_by_name),
        cmocka_unit_test(a_head_that_does_not_fit_is_noticed),
        cmocka_unit_test(urls_have_host_port_and_target),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(only_loopback_names_are_loopback),
        cmocka_unit_test(fields_that_say_what_the_message_says_are_good),
        cmocka_unit_test(fields_that_say_something_else_are_a_mismatch),
        cmocka_unit_test(a_name_that_no_field_can_hold_goes_as_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
