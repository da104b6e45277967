/* test_places.c: an envelope that travels as places in its message says at the other end what the scan said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "message.h"
#include "places.h"

#define META "io.modelcontextprotocol/"
#define RPC "{\"jsonrpc\":\"2.0\","

static const char *const messages[] = {
    RPC "\"id\":1,\"method\":\"ping\"}",
    RPC
    "\"id\":\"a\\u0062\",\"method\":\"tools/call\",\"params\":{\"name\":\"a\\nb\",\"arguments\":{},\"_meta\":{\"" META
    "protocolVersion\":\"2026-07-28\",\"" META "clientCapabilities\":{\"roots\":{}},\"progressToken\":7,"
    "\"traceparent\":\"00-11-22-01\"}}}",
    RPC "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"x\"}}",
    RPC "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\",\"_meta\":{\"" META
        "subscriptionId\":3}}}",
    RPC "\"id\":2,\n\"result\":{\"protocolVersion\":\"2025-06-18\"}}",
    RPC "\"id\":2,\"error\":{\"code\":-32601,\"message\":\"no\"}}",
    RPC "\"id\":3,\"method\":\"\"}",
    "[1,2]",
};

static void is_same_part(weir_slice_t there, weir_slice_t here, const char *message, const char *copy)
{
    assert_int_equal(there.n, here.n);
    if (here.p == NULL)
        assert_null(there.p);
    else
        assert_int_equal(there.p - copy, here.p - message);
}

static void an_envelope_is_the_same_at_the_other_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        weir_slice_t bytes = weir_slice_str(messages[i]);
        char *copy = malloc(bytes.n);
        weir_envelope_t here, there;
        places_t places;
        assert_non_null(copy);
        memcpy(copy, bytes.p, bytes.n);
        assert_int_equal(message_scan(bytes, &here), WEIR_SCAN_OK);
        assert_true(places_of(&here, bytes, &places));
        memset(&there, 0xaa, sizeof(there));
        assert_true(places_read(&places, weir_slice(copy, bytes.n), &there));
        const weir_slice_t *a = &there.id, *b = &here.id; /* the parts stand one behind the other */
        for (size_t part = 0; part < PLACES; part++)
            is_same_part(a[part], b[part], bytes.p, copy);
        assert_ptr_equal(&here.id + PLACES, &here.traceparent + 1);
        assert_int_equal(there.kind, here.kind);
        assert_int_equal(there.error_code, here.error_code);
        assert_int_equal(there.is_method_escaped, here.is_method_escaped);
        assert_int_equal(there.is_name_escaped, here.is_name_escaped);
        assert_int_equal(there.has_newline, here.has_newline);
        free(copy);
    }
}

static void a_part_that_stands_elsewhere_does_not_travel(void **state)
{
    (void)state;
    weir_slice_t bytes = weir_slice_str(RPC "\"id\":1,\"method\":\"tools\\/call\"}");
    weir_envelope_t env;
    places_t places;
    assert_int_equal(message_scan(bytes, &env),
                     WEIR_SCAN_OK); /* the method is its plain name, which is not in the text */
    assert_false(places_of(&env, bytes, &places));
}

static void places_beyond_the_message_are_none(void **state)
{
    (void)state;
    weir_slice_t bytes = weir_slice_str(messages[0]);
    weir_envelope_t env;
    places_t good, bad;
    assert_int_equal(message_scan(bytes, &env), WEIR_SCAN_OK);
    assert_true(places_of(&env, bytes, &good));
    assert_true(places_read(&good, bytes, &env));
    assert_false(places_read(&good, weir_slice(bytes.p, bytes.n - 5), &env));
    bad = good;
    bad.parts[1].n = UINT32_MAX;
    assert_false(places_read(&bad, bytes, &env));
    bad = good;
    bad.parts[0].at = (uint32_t)bytes.n + 2;
    bad.parts[0].n = 0;
    assert_false(places_read(&bad, bytes, &env));
    bad = good;
    bad.kind = WEIR_KIND_BATCH + 1;
    assert_false(places_read(&bad, bytes, &env));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_is_the_same_at_the_other_end),
        cmocka_unit_test(a_part_that_stands_elsewhere_does_not_travel),
        cmocka_unit_test(places_beyond_the_message_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
