/* test_buf.c: the buffer pool. */
#include "loop.h"

static void a_buffer_has_the_standard_size_or_what_was_asked_for(void **state)
{
    (void)state;
    weir_buf_t *small = buf_new(0), *large = buf_new(100000);
    assert_int_equal(small->size, BUF_SIZE);
    assert_int_equal(large->size, 100000);
    memset(small->data, 'x', small->size);
    memset(large->data, 'x', large->size);
    buf_unref(small);
    buf_unref(large);
}

static void a_buffer_lives_until_its_last_reference_is_dropped(void **state)
{
    (void)state;
    weir_buf_t *buf = buf_new(0);
    buf_ref(buf);
    buf_unref(buf);
    assert_int_equal(buf->refs, 1);
    assert_int_equal(bufs_in_use(proc->bufs), 1);
    buf_unref(buf);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    buf_unref(NULL);
}

/* Under AddressSanitizer nothing is kept, so that every use after the end is seen. */
static void a_returned_buffer_is_given_out_again(void **state)
{
    (void)state;
    weir_buf_t *first = buf_new(0);
    uintptr_t was = (uintptr_t)first;
    buf_unref(first);
    weir_buf_t *second = buf_new(0);
#ifndef __SANITIZE_ADDRESS__
    assert_int_equal((uintptr_t)second, was);
#else
    assert_int_not_equal((uintptr_t)second, was);
#endif
    buf_unref(second);
}

static void more_than_the_free_list_holds_goes_back_to_the_system(void **state)
{
    (void)state;
    weir_buf_t *bufs[40];
    for (int i = 0; i < 40; i++)
        bufs[i] = buf_new(0);
    assert_int_equal(bufs_in_use(proc->bufs), 40);
    for (int i = 0; i < 40; i++)
        buf_unref(bufs[i]);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
}

static void an_impossible_size_is_refused(void **state)
{
    (void)state;
    assert_null(buf_new(SIZE_MAX - 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_buffer_has_the_standard_size_or_what_was_asked_for, process_begin,
                                        process_end),
        cmocka_unit_test_setup_teardown(a_buffer_lives_until_its_last_reference_is_dropped, process_begin, process_end),
        cmocka_unit_test_setup_teardown(a_returned_buffer_is_given_out_again, process_begin, process_end),
        cmocka_unit_test_setup_teardown(more_than_the_free_list_holds_goes_back_to_the_system, process_begin,
                                        process_end),
        cmocka_unit_test_setup_teardown(an_impossible_size_is_refused, process_begin, process_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
