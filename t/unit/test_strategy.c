/* test_strategy.c: what the strategies choose, under a clock and with loads of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "../../modules/pool/hash.c"
#include "../../modules/pool/least.c"
#include "../../modules/pool/turns.c"

#undef WEIR_MODULE
#define WEIR_MODULE __attribute__((unused)) static const weir_module_t weir_module
#include "../../modules/peak_ewma.c"

#define SERVERS_MAX 16

static uint64_t now;
static weir_upstream_t upstream;
static weir_server_t servers[SERVERS_MAX];
static weir_load_t loads[SERVERS_MAX];
static char names[SERVERS_MAX][32];
static uint32_t all[SERVERS_MAX];
static const weir_balancer_t *balancer;
static void *self;

static uint64_t fake_now(void)
{
    return now;
}

static weir_server_t *fake_server(weir_upstream_t *u, uint32_t index)
{
    (void)u;
    return &servers[index];
}

static const weir_host_t host = {.now_ms = fake_now, .upstream_server = fake_server};

static void begin(const weir_balancer_t *b, uint32_t n, const uint32_t *weights)
{
    now = 1000000;
    upstream = (weir_upstream_t){.name = "team", .nservers = n};
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "10.0.0.%u:3000", i + 1);
        servers[i] = (weir_server_t){.index = i, .name = names[i], .weight = weights == NULL ? 1 : weights[i]};
        loads[i] = (weir_load_t){.server = &servers[i], .ramp = 100, .weight = 100 * servers[i].weight};
        all[i] = i;
    }
    const weir_balancing_t balancing = {.loads = loads, .hash_by = WEIR_HASH_SESSION};
    balancer = b;
    self = b->create(&host, &upstream, &balancing, NULL);
    assert_non_null(self);
}

static void end(void)
{
    balancer->destroy(self);
}

static uint32_t choose_of(const weir_exchange_t *ex, const uint32_t *among, uint32_t n)
{
    uint32_t at = balancer->choose(self, ex, among, n);
    assert_true(at < n);
    return among[at];
}

static uint32_t choose(void)
{
    static const weir_exchange_t any;
    return choose_of(&any, all, upstream.nservers);
}

static void answered(uint32_t server, uint64_t us)
{
    const weir_outcome_t outcome = {.reason = WEIR_REASON_NONE, .status = 200, .server_us = us};
    balancer->outcome(self, server, &outcome);
}

static void assert_order(const char *order)
{
    for (; *order != '\0'; order++)
        assert_int_equal('a' + (int)choose(), *order);
}

/* ---- turns ---- */

static void equal_servers_take_turns(void **state)
{
    (void)state;
    begin(&strategy_round_robin, 3, (const uint32_t[]){5, 1, 1});
    assert_order("abcabcabc");
    end();
}

static void weights_are_served_exactly_and_smoothly(void **state)
{
    (void)state;
    begin(&strategy_weighted_round_robin, 3, (const uint32_t[]){5, 1, 1});
    assert_order("aabacaaaabacaa");
    end();
    begin(&strategy_weighted_round_robin, 4, (const uint32_t[]){7, 3, 2, 1});
    uint32_t counts[4] = {0};
    for (int i = 0; i < 13 * 1000; i++)
        counts[choose()]++;
    assert_int_equal(counts[0], 7000);
    assert_int_equal(counts[1], 3000);
    assert_int_equal(counts[2], 2000);
    assert_int_equal(counts[3], 1000);
    end();
}

static void one_that_may_not_be_chosen_leaves_its_turns_to_the_others(void **state)
{
    (void)state;
    static const weir_exchange_t any;
    static const uint32_t without_b[] = {0, 2};
    begin(&strategy_round_robin, 3, NULL);
    assert_order("abc");
    for (int i = 0; i < 10; i++)
        assert_int_equal(choose_of(&any, without_b, 2), i % 2 == 0 ? 0 : 2);
    assert_order("abc");
    end();
}

static void a_server_that_starts_slowly_gets_a_part_of_its_turns(void **state)
{
    (void)state;
    begin(&strategy_round_robin, 2, NULL);
    loads[1].ramp = 25;
    uint32_t counts[2] = {0};
    for (int i = 0; i < 125; i++)
        counts[choose()]++;
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 25);
    end();
}

/* ---- scores ---- */

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) < 1e-12);
}

static void a_score_is_half_latency_three_tenths_errors_two_tenths_age(void **state)
{
    (void)state;
    weir_load_t load = {0};
    assert_near(weir_load_score(&load).total, 1);
    load = (weir_load_t){.requests = 10, .errors = 2, .answered = 8, .answered_us = 8 * 20000, .age_ms = 7200000};
    weir_score_t score = weir_load_score(&load);
    assert_near(score.latency, 0.6);
    assert_near(score.errors, 0.8);
    assert_near(score.age, 0.8);
    assert_near(score.total, 0.5 * 0.6 + 0.3 * 0.8 + 0.2 * 0.8);
    load = (weir_load_t){.requests = 4, .errors = 4, .answered = 1, .answered_us = 90000, .age_ms = 86400000};
    assert_near(weir_load_score(&load).total, 0.2 * 0.5);
    load.age_ms = 3599999;
    assert_near(weir_load_score(&load).age, 1);
    load.age_ms = 86399999;
    assert_near(weir_load_score(&load).age, 0.8);
}

static void adaptive_gives_turns_by_health(void **state)
{
    (void)state;
    begin(&strategy_adaptive, 2, NULL);
    loads[1].answered = 1;
    loads[1].answered_us = 50000; /* score 0.5 */
    uint32_t counts[2] = {0};
    for (int i = 0; i < 300; i++)
        counts[choose()]++;
    assert_int_equal(counts[0], 200);
    assert_int_equal(counts[1], 100);
    end();
}

/* ---- least ---- */

static void the_least_loaded_is_chosen_for_its_weight_and_equals_take_turns(void **state)
{
    (void)state;
    begin(&strategy_least_loaded, 3, (const uint32_t[]){1, 1, 4});
    loads[2].weight = 100;
    assert_order("abcabc");
    loads[2].weight = 400;
    loads[0].in_flight = 2;
    loads[1].in_flight = 3;
    loads[2].in_flight = 7;
    assert_order("ccc");
    loads[2].in_flight = 9;
    assert_order("aaa");
    end();
}

static void the_fastest_is_chosen_until_it_has_too_much_to_do(void **state)
{
    (void)state;
    begin(&strategy_least_latency, 2, NULL);
    answered(0, 10000);
    assert_order("b"); /* nothing is known of it */
    answered(1, 40000);
    assert_order("aaa");
    loads[0].in_flight = 4;
    assert_order("b");
    end();
}

static void one_that_was_slow_is_tried_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin(i == 0 ? &strategy_least_latency : &peak_ewma, 2, NULL);
        answered(0, 1000);
        answered(1, 500000);
        assert_order("aaaa");
        for (uint64_t until = now + 120000; now < until && choose() == 0; now += 1000)
            answered(0, 1000);
        assert_true(now < 1000000 + 120000);
        end();
    }
}

static void a_peak_counts_at_once_and_is_forgotten_slowly(void **state)
{
    (void)state;
    begin(&peak_ewma, 2, NULL);
    for (int i = 0; i < 20; i++)
        answered(0, 1000), answered(1, 2000), now += 100;
    assert_order("aa");
    answered(0, 300000);
    assert_order("bb");
    now += 1000;
    answered(0, 1000);
    assert_order("bb");
    end();
}

static void a_server_that_fails_is_left_alone_by_peak_ewma(void **state)
{
    (void)state;
    begin(&peak_ewma, 2, NULL);
    answered(0, 1000);
    answered(1, 900);
    assert_order("bb");
    const weir_outcome_t failed = {.reason = WEIR_REASON_CONNECT_FAILED};
    balancer->outcome(self, 1, &failed);
    assert_order("aaaa");
    end();
}

static void many_do_not_rush_to_a_server_that_nobody_knows(void **state)
{
    (void)state;
    begin(&peak_ewma, 2, NULL);
    answered(0, 1000);
    assert_order("b");
    loads[1].in_flight = 1;
    assert_order("aa");
    end();
}

/* ---- hash ---- */

#define KEYS 10000

static uint32_t owner_of(int key, uint32_t n)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "session-%d", key);
    weir_exchange_t ex = {.session_token = {text, (size_t)length}};
    return choose_of(&ex, all, n);
}

static void a_key_stays_where_it_is_and_keys_spread_evenly(void **state)
{
    (void)state;
    begin(&strategy_hash, 10, NULL);
    uint32_t counts[10] = {0};
    for (int key = 0; key < KEYS; key++) {
        counts[owner_of(key, 10)]++;
        assert_int_equal(owner_of(key, 10), owner_of(key, 10));
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], KEYS / 10 * 85 / 100, KEYS / 10 * 115 / 100);
    end();
}

/* The certificate says who it is; without one the Authorization does, of a head or of a client without one, and then the address. */
static void by_principal_the_certificate_counts_then_the_authorization_then_the_address(void **state)
{
    (void)state;
    const hash_t by = {.by = WEIR_HASH_PRINCIPAL};
    static weir_head_t head;
    memset(head.known, 0xff, sizeof(head.known));
    weir_exchange_t ex = {.peer = WEIR_LIT("10.0.0.9"), .session_token = WEIR_LIT("token")};
    assert_true(weir_slice_eq(hash_key(&by, &ex), WEIR_LIT("10.0.0.9")));
    ex.authorization = WEIR_LIT("Bearer a");
    assert_true(weir_slice_eq(hash_key(&by, &ex), WEIR_LIT("Bearer a")));
    ex.head = &head;
    assert_true(weir_slice_eq(hash_key(&by, &ex), WEIR_LIT("10.0.0.9")));
    head.known[WEIR_FIELD_AUTHORIZATION] = 0;
    head.fields[head.nfields++] = (weir_field_t){.id = WEIR_FIELD_AUTHORIZATION, .value = WEIR_LIT("Bearer b")};
    assert_true(weir_slice_eq(hash_key(&by, &ex), WEIR_LIT("Bearer b")));
    ex.principal = WEIR_LIT("dns:a");
    assert_true(weir_slice_eq(hash_key(&by, &ex), WEIR_LIT("dns:a")));
}

static void a_server_more_moves_only_the_keys_that_it_gets(void **state)
{
    (void)state;
    begin(&strategy_hash, 10, NULL);
    int moved = 0;
    for (int key = 0; key < KEYS; key++) {
        uint32_t before = owner_of(key, 9), after = owner_of(key, 10);
        assert_true(before == after || after == 9);
        moved += before != after;
    }
    assert_in_range(moved, KEYS / 10 * 85 / 100, KEYS / 10 * 115 / 100);
    end();
}

static void twice_the_weight_is_twice_the_keys(void **state)
{
    (void)state;
    begin(&strategy_hash, 3, (const uint32_t[]){2, 1, 1});
    uint32_t counts[3] = {0};
    for (int key = 0; key < KEYS; key++)
        counts[owner_of(key, 3)]++;
    assert_in_range(counts[0], KEYS / 2 * 93 / 100, KEYS / 2 * 107 / 100);
    end();
}

static void without_a_session_the_client_is_the_key(void **state)
{
    (void)state;
    begin(&strategy_hash, 10, NULL);
    weir_exchange_t from_a = {.peer = WEIR_LIT("192.0.2.1")}, from_b = {.peer = WEIR_LIT("192.0.2.7")};
    weir_exchange_t with_token = {.peer = from_a.peer, .session_token = WEIR_LIT("192.0.2.7")};
    assert_int_equal(choose_of(&with_token, all, 10), choose_of(&from_b, all, 10));
    assert_int_not_equal(choose_of(&from_a, all, 10), choose_of(&from_b, all, 10));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_servers_take_turns),
        cmocka_unit_test(weights_are_served_exactly_and_smoothly),
        cmocka_unit_test(one_that_may_not_be_chosen_leaves_its_turns_to_the_others),
        cmocka_unit_test(a_server_that_starts_slowly_gets_a_part_of_its_turns),
        cmocka_unit_test(a_score_is_half_latency_three_tenths_errors_two_tenths_age),
        cmocka_unit_test(adaptive_gives_turns_by_health),
        cmocka_unit_test(the_least_loaded_is_chosen_for_its_weight_and_equals_take_turns),
        cmocka_unit_test(the_fastest_is_chosen_until_it_has_too_much_to_do),
        cmocka_unit_test(one_that_was_slow_is_tried_again),
        cmocka_unit_test(a_peak_counts_at_once_and_is_forgotten_slowly),
        cmocka_unit_test(a_server_that_fails_is_left_alone_by_peak_ewma),
        cmocka_unit_test(many_do_not_rush_to_a_server_that_nobody_knows),
        cmocka_unit_test(a_key_stays_where_it_is_and_keys_spread_evenly),
        cmocka_unit_test(by_principal_the_certificate_counts_then_the_authorization_then_the_address),
        cmocka_unit_test(a_server_more_moves_only_the_keys_that_it_gets),
        cmocka_unit_test(twice_the_weight_is_twice_the_keys),
        cmocka_unit_test(without_a_session_the_client_is_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
