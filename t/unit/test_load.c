/* test_load.c: what the pool knows of a server, under a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../modules/pool/load.c"

static uint64_t now;

static uint64_t fake_now(void)
{
    return now;
}

static const weir_host_t host = {.now_ms = fake_now};
static int64_t counted[SERVER_COUNTERS];
static weir_server_t server;
static weir_load_t load;
static pool_t pool;
static pool_server_t s;

static int begin(void **state)
{
    (void)state;
    now = 1000000;
    memset(counted, 0, sizeof(counted));
    load = (weir_load_t){.server = &server, .ramp = 100, .weight = 100};
    pool = (pool_t){.host = &host};
    s = (pool_server_t){.server = &server, .pool = &pool, .load = &load, .counters = {.mine = counted}};
    return 0;
}

static void ended(const weir_outcome_t outcome)
{
    load_begun(&s);
    load_ended(&s, &outcome, weir_outcome_failed(&outcome));
}

static void answered(uint64_t us)
{
    ended((weir_outcome_t){.reason = WEIR_REASON_NONE, .status = 200, .server_us = us});
}

static void failed(void)
{
    ended((weir_outcome_t){.reason = WEIR_REASON_SERVER_DIED, .status = 502, .server_us = 7});
}

/* The pool looks at its servers once a second. */
static void pass(uint64_t seconds)
{
    for (; seconds > 0; seconds--) {
        now += 1000;
        load_tend(&s);
    }
}

/* What the strategies read and what /status adds up say the same. */
static void window_is(uint64_t requests, uint64_t errors, uint64_t answers, uint64_t us)
{
    assert_int_equal(load.requests, requests);
    assert_int_equal(load.errors, errors);
    assert_int_equal(load.answered, answers);
    assert_int_equal(load.answered_us, us);
    assert_int_equal(counted[GAUGE_REQUESTS], requests);
    assert_int_equal(counted[GAUGE_ERRORS], errors);
    assert_int_equal(counted[GAUGE_ANSWERED], answers);
    assert_int_equal(counted[GAUGE_ANSWERED_US], us);
}

static void each_end_is_counted_for_what_it_was(void **state)
{
    (void)state;
    answered(100);
    failed();
    ended((weir_outcome_t){.reason = WEIR_REASON_CLIENT_GONE, .server_us = 5}); /* nobody's fault, and no latency */
    ended((weir_outcome_t){.reason = WEIR_REASON_NONE, .status = 200, .server_us = 0}); /* it only listened */
    window_is(4, 1, 1, 100);
    assert_int_equal(counted[COUNT_REQUESTS], 4);
    assert_int_equal(counted[COUNT_ERRORS], 1);
}

static void an_exchange_is_in_flight_until_it_ends(void **state)
{
    const weir_outcome_t outcome = {.reason = WEIR_REASON_NONE, .status = 200, .server_us = 1};
    (void)state;
    load_begun(&s);
    load_begun(&s);
    assert_int_equal(load.in_flight, 2);
    assert_int_equal(counted[GAUGE_IN_FLIGHT], 2);
    load_ended(&s, &outcome, false);
    assert_int_equal(load.in_flight, 1);
    assert_int_equal(counted[GAUGE_IN_FLIGHT], 1);
}

static void what_is_older_than_the_window_is_forgotten(void **state)
{
    (void)state;
    pass(30);
    failed();
    pass(1); /* the first look with something to see begins the newer half */
    answered(100);
    window_is(2, 1, 1, 100);
    pass(29);
    window_is(2, 1, 1, 100);
    pass(1); /* the failure goes */
    window_is(1, 0, 1, 100);
    answered(50);
    pass(30);
    window_is(1, 0, 1, 50);
    assert_int_equal(counted[COUNT_REQUESTS], 3);
    assert_int_equal(counted[COUNT_ERRORS], 1);
}

static void what_was_heard_last_is_kept_while_nothing_new_is_heard(void **state)
{
    (void)state;
    answered(100);
    pass(3600);
    window_is(1, 0, 1, 100);
    failed();
    pass(1);
    window_is(1, 1, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_end_is_counted_for_what_it_was, begin),
        cmocka_unit_test_setup(an_exchange_is_in_flight_until_it_ends, begin),
        cmocka_unit_test_setup(what_is_older_than_the_window_is_forgotten, begin),
        cmocka_unit_test_setup(what_was_heard_last_is_kept_while_nothing_new_is_heard, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
