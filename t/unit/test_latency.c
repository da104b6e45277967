/* test_latency.c: a histogram of times: every time is in the bucket that says so, and quantiles are true to a quarter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "latency.h"

static uint64_t lower(unsigned bucket)
{
    return bucket == 0 ? 0 : latency_bound(bucket - 1);
}

static void a_time_lies_above_the_bound_before_its_bucket_and_not_above_its_own(void **state)
{
    (void)state;
    uint64_t last = latency_bound(LATENCY_BUCKETS - 2);
    for (uint64_t us = 1; us <= last; us += us < 5000 ? 1 : us / 97) {
        unsigned bucket = latency_bucket(us);
        assert_true(lower(bucket) < us && us <= latency_bound(bucket));
    }
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        assert_int_equal(latency_bucket(latency_bound(i)), i);
        assert_int_equal(latency_bucket(lower(i) + 1), i);
    }
}

static void a_bucket_is_no_wider_than_a_quarter_of_what_it_holds(void **state)
{
    (void)state;
    for (unsigned i = LATENCY_PARTS; i < LATENCY_BUCKETS; i++)
        assert_true(latency_bound(i) - lower(i) <= lower(i) / 4);
}

static void the_shortest_and_the_longest_time_have_a_bucket(void **state)
{
    (void)state;
    assert_int_equal(latency_bucket(0), 0);
    assert_int_equal(latency_bucket(1), 0);
    assert_int_equal(latency_bucket(3600u * 1000000u), LATENCY_BUCKETS - 1);
    assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

/* Prometheus is told the count up to each power of two of microseconds. */
static void powers_of_two_are_bounds(void **state)
{
    (void)state;
    for (unsigned i = LATENCY_PARTS - 1, power = 4; i < LATENCY_BUCKETS; i += LATENCY_PARTS, power++)
        assert_true(latency_bound(i) == UINT64_C(1) << power);
}

static void of_nothing_there_is_no_quantile(void **state)
{
    (void)state;
    const uint64_t buckets[LATENCY_BUCKETS] = {0};
    assert_int_equal(latency_count(buckets), 0);
    assert_int_equal(latency_quantile(buckets, 0.99), 0);
}

static void quantiles_of_what_is_known_are_true_to_a_quarter(void **state)
{
    (void)state;
    uint64_t buckets[LATENCY_BUCKETS] = {0};
    for (uint64_t us = 1; us <= 100000; us++)
        buckets[latency_bucket(us)]++;
    assert_int_equal(latency_count(buckets), 100000);
    for (double q = 0.01; q <= 1; q += 0.01) {
        double is = (double)latency_quantile(buckets, q), should = q * 100000;
        assert_true(is >= should * 0.75 - 4 && is <= should * 1.25 + 4);
    }
}

static void one_slow_answer_of_a_hundred_and_one_is_the_p99_and_not_the_p50(void **state)
{
    (void)state;
    uint64_t buckets[LATENCY_BUCKETS] = {0};
    buckets[latency_bucket(200)] = 99;
    buckets[latency_bucket(1000000)] = 2;
    assert_true(latency_quantile(buckets, 0.5) <= 224);
    assert_true(latency_quantile(buckets, 0.99) >= 900000);
    assert_true(latency_quantile(buckets, 0.98) <= 224);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_lies_above_the_bound_before_its_bucket_and_not_above_its_own),
        cmocka_unit_test(a_bucket_is_no_wider_than_a_quarter_of_what_it_holds),
        cmocka_unit_test(the_shortest_and_the_longest_time_have_a_bucket),
        cmocka_unit_test(powers_of_two_are_bounds),
        cmocka_unit_test(of_nothing_there_is_no_quantile),
        cmocka_unit_test(quantiles_of_what_is_known_are_true_to_a_quarter),
        cmocka_unit_test(one_slow_answer_of_a_hundred_and_one_is_the_p99_and_not_the_p50),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
