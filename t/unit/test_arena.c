/* test_arena.c: memory that goes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "arena.h"

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    arena_t *arena = arena_new(256);
    char *pieces[200];
    for (size_t i = 0; i < 200; i++) {
        size_t n = i * 7 % 300;
        pieces[i] = arena_alloc(arena, n + 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        for (size_t at = 0; at <= n; at++)
            assert_int_equal(pieces[i][at], 0);
        memset(pieces[i], (int)i + 1, n + 1);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t at = 0; at <= i * 7 % 300; at++)
            assert_int_equal((unsigned char)pieces[i][at], (unsigned char)(i + 1));
    arena_free(arena);
}

static void what_is_larger_than_a_block_fits_all_the_same(void **state)
{
    (void)state;
    arena_t *arena = arena_new(64);
    char *large = arena_alloc(arena, 100000);
    assert_non_null(large);
    memset(large, 1, 100000);
    assert_non_null(arena_alloc(arena, 1));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 15));
    arena_free(arena);
    arena_free(NULL);
}

static void a_copy_is_terminated(void **state)
{
    (void)state;
    arena_t *arena = arena_new(64);
    assert_string_equal(arena_strdup(arena, weir_slice("abcdef", 3)), "abc");
    assert_string_equal(arena_strdup(arena, weir_slice(NULL, 0)), "");
    arena_free(arena);
}

static void a_reset_forgets_everything_and_begins_with_zeros_again(void **state)
{
    (void)state;
    arena_t *arena = arena_new(128);
    char *first = arena_alloc(arena, 32);
    memset(first, 1, 32);
    for (int i = 0; i < 50; i++)
        memset(arena_alloc(arena, 100), 2, 100);
    arena_reset(arena);
    char *again = arena_alloc(arena, 32);
    assert_ptr_equal(again, first);
    for (int i = 0; i < 32; i++)
        assert_int_equal(again[i], 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(what_is_larger_than_a_block_fits_all_the_same),
        cmocka_unit_test(a_copy_is_terminated),
        cmocka_unit_test(a_reset_forgets_everything_and_begins_with_zeros_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
