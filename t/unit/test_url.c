/* test_url.c: references that a server gives, seen from a URL of its own: the examples of RFC 3986 (5.4), and what leads elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "url.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char room[64];

static const char *resolved(const char *base, const char *reference)
{
    weir_url_t url;
    weir_slice_t target;
    weir_error_t err;
    memset(room, 'x', sizeof(room));
    assert_int_equal(url_parse(base, &url, &err), WEIR_OK);
    if (url_resolve(&url, weir_slice_str(reference), room, sizeof(room) - 1, &target, &err) != WEIR_OK)
        return strstr(err.text, "another origin") != NULL ? "elsewhere" : "nothing";
    assert_ptr_equal(target.p, room);
    room[target.n] = '\0';
    return room;
}

static void a_reference_means_what_the_standard_says(void **state)
{
    static const char *const cases[][2] = {
        {"g", "/b/c/g"},
        {"./g", "/b/c/g"},
        {"g/", "/b/c/g/"},
        {"/g", "/g"},
        {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"},
        {"#s", "nothing"},
        {"g#s", "/b/c/g"},
        {"g?y#s", "/b/c/g?y"},
        {";x", "/b/c/;x"},
        {"g;x", "/b/c/g;x"},
        {"", "nothing"},
        {".", "/b/c/"},
        {"./", "/b/c/"},
        {"..", "/b/"},
        {"../", "/b/"},
        {"../g", "/b/g"},
        {"../..", "/"},
        {"../../", "/"},
        {"../../g", "/g"},
        {"../../../g", "/g"},
        {"../../../../g", "/g"},
        {"/./g", "/g"},
        {"/../g", "/g"},
        {"g.", "/b/c/g."},
        {".g", "/b/c/.g"},
        {"g..", "/b/c/g.."},
        {"..g", "/b/c/..g"},
        {"./../g", "/b/g"},
        {"./g/.", "/b/c/g/"},
        {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"},
        {"g;x=1/./y", "/b/c/g;x=1/y"},
        {"g?y/../x", "/b/c/g?y/../x"},
        {"/g?a:b", "/g?a:b"},
        {"./g:h", "/b/c/g:h"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(resolved("http://a/b/c/d;p?q", cases[i][0]), cases[i][1]);
}

static void a_whole_url_is_good_when_it_is_of_the_same_origin(void **state)
{
    static const char *const cases[][3] = {
        {"http://a/b", "http://a/g?x", "/g?x"},
        {"http://a/b", "HTTP://A:80/g", "/g"},
        {"http://a:80/b", "http://a", "/"},
        {"https://a:443/b", "https://a/g", "/g"},
        {"http://a:8080/b", "//a:8080/g", "/g"},
        {"http://[::1]:8080/b", "http://[::1]:8080/g", "/g"},
        {"http://unix:/run/s.sock:/sse", "http://localhost/g", "/g"},
        {"http://unix:/run/s.sock:/sse", "/g", "/g"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(resolved(cases[i][0], cases[i][1]), cases[i][2]);
}

static void what_leads_to_another_origin_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"http://a/b", "https://a/b"},
        {"http://a/b", "http://a:81/b"},
        {"http://a/b", "http://a.evil/b"},
        {"http://a/b", "//evil/b"},
        {"http://a/b", "ws://a/b"},
        {"http://a/b", "http://evil@a/b"},
        {"http://a/b", "http://a@evil/b"},
        {"http://a/b", "javascript:b"},
        {"http://a/b", "file:///etc/passwd"},
        {"http://a/b", "http:g"},
        {"http://a/b", "http://a?x"},
        {"http://a/b", "//"},
        {"http://unix:/run/s.sock:/sse", "http://unix:/run/t.sock:/sse"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(resolved(cases[i][0], cases[i][1]), "elsewhere");
}

static void what_cannot_be_sent_or_does_not_fit_is_refused(void **state)
{
    (void)state;
    assert_string_equal(resolved("http://a/b", "/g h"), "nothing");
    assert_string_equal(resolved("http://a/b", "/g\r\nX: y"), "nothing");
    assert_string_equal(resolved("http://a/b", "/gr\xc3\xbc\xc3\x9f"), "nothing");
    assert_string_equal(resolved("http://a/b", "/0123456789012345678901234567890123456789012345678901234567890123"),
                        "nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_means_what_the_standard_says),
        cmocka_unit_test(a_whole_url_is_good_when_it_is_of_the_same_origin),
        cmocka_unit_test(what_leads_to_another_origin_is_refused),
        cmocka_unit_test(what_cannot_be_sent_or_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
