/* test_lost.c: whose answer it was that was too long to be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lost.h"

/* What is found when the message comes in pieces of n bytes. */
static void found_in_pieces(const char *message, size_t n, const char *id)
{
    weir_lost_t lost;
    size_t left = strlen(message);
    lost_begin(&lost);
    for (; left > 0; left -= n < left ? n : left, message += n)
        lost_bytes(&lost, message, n < left ? n : left);
    weir_slice_t answer = lost_answer(&lost);
    assert_int_equal(answer.n, strlen(id));
    assert_memory_equal(answer.p, id, answer.n);
}

static void found(const char *message, const char *id)
{
    for (size_t n = 1; n <= 7; n += 3)
        found_in_pieces(message, n, id);
    found_in_pieces(message, strlen(message), id);
}

static void an_answer_is_known_by_its_id_wherever_that_stands(void **state)
{
    (void)state;
    found("{\"jsonrpc\":\"2.0\",\"id\":12,\"result\":{\"text\":\"x\"}}", "12");
    found("{\"result\":{\"text\":\"x\"},\"jsonrpc\":\"2.0\",\"id\":12}", "12");
    found("{ \"result\" : [1, 2, {}] ,\t\"id\" :\r 12 , \"jsonrpc\":\"2.0\" }", "12");
    found("{\"error\":{\"code\":-1,\"message\":\"\"},\"id\":4294967295}", "4294967295");
}

static void what_stands_inside_of_strings_and_members_is_not_its_id(void **state)
{
    (void)state;
    found("{\"result\":{\"id\":7,\"x\":[{\"id\":8}]},\"id\":12}", "12");
    found("{\"id\":12,\"result\":\"\\\"},\\\"id\\\":9\"}", "12");
    found("{\"id\":12,\"result\":{\"a\":\"}}}}{[\\\\\"}}", "12");
    found("{\"id\":12,\"result\":\"id\",\"other\":5}", "12");
    found("{\"result\":{\"id\":7}}", "");
}

static void what_answers_nothing_has_no_id(void **state)
{
    (void)state;
    found("{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"ping\"}", "");
    found("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"id\":12,\"result\":1}}", "");
    found("{\"id\":\"12\",\"result\":{}}", "");
    found("{\"id\":null,\"result\":{}}", "");
    found("{\"idea\":12,\"results\":{},\"a long name with id\":12}", "");
    found("no JSON at all: \"id\":12", "");
    found("]]]}}}\"id\":12,\"result\":1", "");
    found("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_known_by_its_id_wherever_that_stands),
        cmocka_unit_test(what_stands_inside_of_strings_and_members_is_not_its_id),
        cmocka_unit_test(what_answers_nothing_has_no_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
