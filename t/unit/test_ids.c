/* test_ids.c: the numbers that stand for requests on a link: found while they are in use, and never taken for another one's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "ids.h"

static ids_t ids;
static char things[IDS_MAX + 1];

static int end(void **state)
{
    (void)state;
    ids_free(&ids);
    return 0;
}

static void a_number_stands_for_what_it_was_given_for(void **state)
{
    (void)state;
    ids_init(&ids, 100);
    uint32_t a = ids_put(&ids, &things[0]), b = ids_put(&ids, &things[1]);
    assert_true(a != 0 && b != 0 && a != b);
    assert_ptr_equal(ids_get(&ids, a), &things[0]);
    assert_ptr_equal(ids_get(&ids, b), &things[1]);
    ids_remove(&ids, a);
    assert_null(ids_get(&ids, a));
    assert_ptr_equal(ids_get(&ids, b), &things[1]);
    assert_int_equal(ids.used, 1);
}

static void a_number_that_nobody_was_given_stands_for_nothing(void **state)
{
    (void)state;
    ids_init(&ids, 100);
    assert_null(ids_get(&ids, 0));
    assert_null(ids_get(&ids, UINT32_MAX));
    ids_remove(&ids, 65536);
    uint32_t a = ids_put(&ids, &things[0]);
    for (int bit = 0; bit < 32; bit++)
        assert_null(ids_get(&ids, a ^ 1u << bit));
    assert_null(ids_get(&ids, 0));
    ids_remove(&ids, a ^ 1u << 20);
    assert_ptr_equal(ids_get(&ids, a), &things[0]);
}

static void a_late_answer_is_not_taken_for_one_to_the_next_request(void **state)
{
    (void)state;
    ids_init(&ids, 1);
    uint32_t late = ids_put(&ids, &things[0]);
    ids_remove(&ids, late);
    for (int i = 0; i < 32766; i++) {
        uint32_t id = ids_put(&ids, &things[1]);
        assert_true(id != 0 && id != late && id <= INT32_MAX);
        assert_null(ids_get(&ids, late));
        ids_remove(&ids, late);
        assert_ptr_equal(ids_get(&ids, id), &things[1]);
        ids_remove(&ids, id);
    }
}

static void a_number_that_is_removed_twice_frees_one_place(void **state)
{
    (void)state;
    ids_init(&ids, 2);
    uint32_t a = ids_put(&ids, &things[0]);
    ids_remove(&ids, a);
    ids_remove(&ids, a);
    assert_int_equal(ids.used, 0);
    uint32_t b = ids_put(&ids, &things[1]), c = ids_put(&ids, &things[2]);
    assert_true(b != 0 && c != 0);
    assert_ptr_equal(ids_get(&ids, b), &things[1]);
    assert_ptr_equal(ids_get(&ids, c), &things[2]);
    assert_int_equal(ids_put(&ids, &things[3]), 0);
}

static void there_are_as_many_as_were_asked_for_and_then_none(void **state)
{
    (void)state;
    ids_init(&ids, 20);
    uint32_t given[20];
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(given[i] = ids_put(&ids, &things[i]), 0);
    assert_int_equal(ids_put(&ids, &things[20]), 0);
    ids_remove(&ids, given[7]);
    uint32_t again = ids_put(&ids, &things[20]);
    assert_true(again != 0 && again != given[7]);
    assert_int_equal(ids_put(&ids, &things[0]), 0);
    for (int i = 0; i < 20; i++)
        assert_ptr_equal(ids_get(&ids, given[i]), i == 7 ? NULL : &things[i]);
}

static void a_link_carries_65536_at_once_and_each_is_found(void **state)
{
    (void)state;
    ids_init(&ids, UINT32_MAX);
    uint32_t *given = malloc(IDS_MAX * sizeof(*given));
    assert_non_null(given);
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        given[i] = ids_put(&ids, &things[i]);
        assert_true(given[i] != 0 && given[i] <= INT32_MAX);
    }
    assert_int_equal(ids_put(&ids, &things[IDS_MAX]), 0);
    for (uint32_t i = 0; i < IDS_MAX; i++)
        assert_ptr_equal(ids_get(&ids, given[i]), &things[i]);
    for (uint32_t i = 0; i < IDS_MAX; i++)
        ids_remove(&ids, given[i]);
    assert_int_equal(ids.used, 0);
    free(given);
}

static void a_link_that_may_carry_none_gives_no_number(void **state)
{
    (void)state;
    ids_init(&ids, 0);
    assert_int_equal(ids_put(&ids, &things[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_number_stands_for_what_it_was_given_for, end),
        cmocka_unit_test_teardown(a_number_that_nobody_was_given_stands_for_nothing, end),
        cmocka_unit_test_teardown(a_late_answer_is_not_taken_for_one_to_the_next_request, end),
        cmocka_unit_test_teardown(a_number_that_is_removed_twice_frees_one_place, end),
        cmocka_unit_test_teardown(there_are_as_many_as_were_asked_for_and_then_none, end),
        cmocka_unit_test_teardown(a_link_carries_65536_at_once_and_each_is_found, end),
        cmocka_unit_test_teardown(a_link_that_may_carry_none_gives_no_number, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
