/* test_mirrored.c: values of the fields that mirror a part of a message, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "exchange.h"
#include "mirrored.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement ---- */

static const struct {
    const char *text, *value;
} pairs[] = {
    {"us-west1", "us-west1"},
    {"", ""},
    {"us west 1", "us west 1"},
    {"a\tb", "a\tb"},
    {" padded ", "=?base64?IHBhZGRlZCA=?="},
    {"\tindented", "=?base64?CWluZGVudGVk?="},
    {"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
    {"line1\r\nline2", "=?base64?bGluZTENCmxpbmUy?="},
    {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "=?base64?SGVsbG8sIOS4lueVjA==?="},
    {"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
    {"\x7f", "=?base64?fw==?="},
    {"=?base64?SGVsbG8=", "=?base64?SGVsbG8="},
    {"SGVsbG8=?=", "SGVsbG8=?="},
    {"=?BASE64?SGVsbG8=?=", "=?BASE64?SGVsbG8=?="},
};

/* What a value says, in memory of its own; NULL: nothing. */
static char *decoded(const char *p, size_t n)
{
    exchange_t ex = {0};
    char *copy = malloc(n + 1), *text = NULL;
    assert_non_null(copy);
    memcpy(copy, p, n);
    weir_slice_t value = weir_slice(copy, n);
    if (mirrored_decode(&ex.pub, &value) == WEIR_OK)
        text = strndup(value.n == 0 ? "" : value.p, value.n);
    free(copy);
    arena_free(ex.arena);
    return text;
}

static bool is_refused(const char *value)
{
    char *text = decoded(value, strlen(value));
    free(text);
    return text == NULL;
}

/* ---- the scenes ---- */

static void a_text_becomes_a_value_that_a_field_can_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        exchange_t ex = {0};
        weir_slice_t value = weir_slice_str(pairs[i].text);
        assert_int_equal(mirrored_encode(&ex.pub, &value), WEIR_OK);
        assert_int_equal(value.n, strlen(pairs[i].value));
        assert_memory_equal(value.p, pairs[i].value, value.n);
        arena_free(ex.arena);
    }
}

static void a_value_becomes_the_text_it_stands_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char *text = decoded(pairs[i].value, strlen(pairs[i].value));
        assert_non_null(text);
        assert_string_equal(text, pairs[i].text);
        free(text);
    }
    char *text = decoded("=?base64?"
                         "?=",
                         11);
    assert_non_null(text);
    assert_string_equal(text, "");
    free(text);
}

static void base64_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const values[] = {
        "=?base64?SGVsbG8?=",  "=?base64?SGVs!!!bG8=?=", "=?base64?====?=",     "=?base64?A===?=",
        "=?base64?SGVs bG8?=", "=?base64?SGVs-_8=?=",    "=?base64?SG=VsbG8?=", "=?base64?=?=",
    };
    for (size_t i = 0; i < COUNT(values); i++)
        assert_true(is_refused(values[i]));
}

static void characters_that_no_field_may_hold_are_refused(void **state)
{
    (void)state;
    assert_true(is_refused("a\x01z"));
    assert_true(is_refused("a\x7fz"));
    assert_true(is_refused("\xe4\xb8\x96"));
    char *text = decoded("a\0b", 3);
    assert_null(text);
}

/* Bytes of every length and value come back as they went. */
static void what_was_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(255 - i);
    for (size_t n = 1; n <= sizeof(bytes); n++) {
        exchange_t ex = {0};
        weir_slice_t value = weir_slice(bytes, n);
        assert_int_equal(mirrored_encode(&ex.pub, &value), WEIR_OK);
        assert_ptr_not_equal(value.p, bytes);
        assert_int_equal(mirrored_decode(&ex.pub, &value), WEIR_OK);
        assert_int_equal(value.n, n);
        assert_memory_equal(value.p, bytes, n);
        arena_free(ex.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_becomes_a_value_that_a_field_can_hold),
        cmocka_unit_test(a_value_becomes_the_text_it_stands_for),
        cmocka_unit_test(base64_that_is_none_is_refused),
        cmocka_unit_test(characters_that_no_field_may_hold_are_refused),
        cmocka_unit_test(what_was_encoded_decodes_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
