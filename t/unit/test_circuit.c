/* test_circuit.c: the table of modules/breaker/circuit.h, row by row, under a clock of the test's own; and many processes that race
 * for the places of probes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../modules/breaker/circuit.c"

#define CAUSE 7

static const circuit_limits_t limits = {
    .failure_threshold = 5, .success_threshold = 2, .probes = 1, .timeout_ms = 30000, .probe_limit_ms = 60000};

static circuit_t c;
static uint64_t now;
static circuit_change_t change;

static int begin(void **state)
{
    (void)state;
    memset(&c, 0, sizeof(c));
    now = 1000000;
    return 0;
}

static bool admit(circuit_pass_t *pass)
{
    return circuit_admit(&c, &limits, now, pass, &change);
}

/* An exchange that is let through and fails. */
static circuit_change_t failing(void)
{
    circuit_pass_t pass;
    assert_true(admit(&pass));
    return circuit_fail(&c, &limits, now, &pass, CAUSE);
}

static circuit_change_t succeeding(void)
{
    circuit_pass_t pass;
    assert_true(admit(&pass));
    return circuit_succeed(&c, &limits, &pass);
}

static void open_it(void)
{
    for (int i = 0; i < 5; i++)
        change = failing();
    assert_int_equal(circuit_state(&c), CIRCUIT_OPEN);
}

static void half_open_it(circuit_pass_t *probe)
{
    open_it();
    now += limits.timeout_ms;
    assert_true(admit(probe));
    assert_int_equal(circuit_state(&c), CIRCUIT_HALF_OPEN);
}

static void it_opens_with_the_fifth_failure_in_a_row_and_says_so_once(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_false(failing().has_changed);
        assert_int_equal(circuit_state(&c), CIRCUIT_CLOSED);
    }
    change = failing();
    assert_true(change.has_changed);
    assert_int_equal(change.from, CIRCUIT_CLOSED);
    assert_int_equal(change.to, CIRCUIT_OPEN);
    assert_int_equal(change.count, 5);
    assert_int_equal(c.cause, CAUSE);
    assert_int_equal(c.entered[CIRCUIT_OPEN], 1);
    assert_int_equal(c.failures, 5);
}

static void a_success_between_failures_begins_the_count_anew(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            failing();
        assert_int_equal(circuit_count(&c), 4);
        assert_false(succeeding().has_changed);
        assert_int_equal(circuit_count(&c), 0);
    }
    assert_int_equal(circuit_state(&c), CIRCUIT_CLOSED);
}

static void an_open_circuit_refuses_until_its_time_and_says_how_long_that_is(void **state)
{
    (void)state;
    circuit_pass_t pass;
    open_it();
    assert_int_equal(circuit_wait_ms(&c, &limits, now), 30000);
    assert_int_equal(circuit_wait_ms(&c, &limits, now - 2), 30000);
    now += 29999;
    assert_false(admit(&pass));
    assert_false(circuit_would_admit(&c, &limits, now));
    assert_int_equal(circuit_wait_ms(&c, &limits, now), 1);
    now += 1;
    assert_true(circuit_would_admit(&c, &limits, now));
    assert_int_equal(circuit_state(&c), CIRCUIT_OPEN);
    assert_true(admit(&pass));
    assert_true(change.has_changed);
    assert_int_equal(change.to, CIRCUIT_HALF_OPEN);
}

static void the_time_counts_from_the_last_failure_also_of_one_that_was_under_way(void **state)
{
    (void)state;
    circuit_pass_t late;
    assert_true(admit(&late));
    open_it();
    now += 10000;
    assert_false(circuit_fail(&c, &limits, now, &late, CAUSE).has_changed);
    assert_int_equal(circuit_wait_ms(&c, &limits, now), 30000);
}

static void one_probe_at_a_time_goes_through_and_two_close_it(void **state)
{
    (void)state;
    circuit_pass_t probe, other;
    half_open_it(&probe);
    assert_false(admit(&other));
    assert_false(circuit_would_admit(&c, &limits, now));
    assert_int_equal(circuit_probes(&c, now), 1);
    assert_false(circuit_succeed(&c, &limits, &probe).has_changed);
    assert_true(admit(&probe));
    assert_false(admit(&other));
    change = circuit_succeed(&c, &limits, &probe);
    assert_true(change.has_changed);
    assert_int_equal(change.to, CIRCUIT_CLOSED);
    assert_int_equal(circuit_probes(&c, now), 0);
    assert_int_equal(c.probed, 2);
    assert_int_equal(c.entered[CIRCUIT_CLOSED], 1);
    for (int i = 0; i < 4; i++)
        assert_false(failing().has_changed);
}

static void a_probe_that_fails_opens_it_again_from_that_time(void **state)
{
    (void)state;
    circuit_pass_t probe, other;
    half_open_it(&probe);
    (void)circuit_succeed(&c, &limits, &probe);
    assert_true(admit(&probe));
    now += 500;
    change = circuit_fail(&c, &limits, now, &probe, CAUSE);
    assert_int_equal(change.from, CIRCUIT_HALF_OPEN);
    assert_int_equal(change.to, CIRCUIT_OPEN);
    now += 29999;
    assert_false(admit(&other));
    now += 1;
    assert_true(admit(&other)); /* and successes count from none again */
    assert_false(circuit_succeed(&c, &limits, &other).has_changed);
}

static void what_was_let_through_before_says_nothing_to_a_half_open_circuit(void **state)
{
    (void)state;
    circuit_pass_t old_good, old_bad, probe;
    assert_true(admit(&old_good) && admit(&old_bad));
    half_open_it(&probe);
    assert_false(circuit_succeed(&c, &limits, &old_good).has_changed);
    assert_false(circuit_fail(&c, &limits, now, &old_bad, CAUSE).has_changed);
    assert_int_equal(circuit_state(&c), CIRCUIT_HALF_OPEN);
    assert_int_equal(circuit_count(&c), 0);
}

static void a_probe_that_says_nothing_gives_its_place_back(void **state)
{
    (void)state;
    circuit_pass_t probe, other;
    half_open_it(&probe);
    circuit_leave(&c, &probe);
    assert_int_equal(circuit_state(&c), CIRCUIT_HALF_OPEN);
    assert_true(admit(&other));
    circuit_leave(&c, &probe); /* once only: the place is another's now */
    assert_int_equal(circuit_probes(&c, now), 1);
}

static void a_link_that_cannot_be_opened_for_a_probe_opens_it_again(void **state)
{
    (void)state;
    circuit_pass_t probe;
    half_open_it(&probe);
    change = circuit_fail(&c, &limits, now, NULL, CAUSE);
    assert_int_equal(change.to, CIRCUIT_OPEN);
    circuit_leave(&c, &probe);
    assert_int_equal(circuit_probes(&c, now), 0);
}

static void a_probe_of_a_process_that_was_killed_is_replaced_at_once(void **state)
{
    (void)state;
    circuit_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    circuit_pass_t pass;
    for (int i = 0; i < 5; i++)
        (void)circuit_fail(shared, &limits, now, NULL, CAUSE);
    now += limits.timeout_ms;
    pid_t pid = fork();
    if (pid == 0) {
        if (circuit_admit(shared, &limits, now, &pass, &change))
            pause();
        _exit(1);
    }
    while (circuit_probes(shared, now) == 0)
        usleep(100);
    assert_false(circuit_admit(shared, &limits, now, &pass, &change));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(circuit_admit(shared, &limits, now, &pass, &change));
    munmap(shared, sizeof(*shared));
}

static void a_probe_without_end_is_replaced_in_time_and_does_not_count(void **state)
{
    (void)state;
    circuit_pass_t endless, next;
    half_open_it(&endless);
    now += limits.probe_limit_ms;
    assert_false(admit(&next));
    now += 1;
    assert_true(admit(&next));
    assert_false(circuit_fail(&c, &limits, now, &endless, CAUSE).has_changed);
    assert_int_equal(circuit_probes(&c, now), 1);
    assert_int_equal(circuit_state(&c), CIRCUIT_HALF_OPEN);
}

static void by_hand_it_stays_open_until_it_is_closed_by_hand(void **state)
{
    (void)state;
    circuit_pass_t pass;
    assert_true(circuit_hold(&c).has_changed);
    assert_false(circuit_hold(&c).has_changed);
    now += 10 * limits.timeout_ms;
    assert_false(admit(&pass));
    assert_false(circuit_would_admit(&c, &limits, now));
    assert_false(circuit_fail(&c, &limits, now, NULL, CAUSE).has_changed);
    assert_int_equal(circuit_state(&c), CIRCUIT_HELD);
    assert_true(circuit_close(&c).has_changed);
    assert_true(admit(&pass));
    assert_int_equal(circuit_count(&c), 0);
}

/* ---- the race ---- */

#define RACERS 8
#define ROUNDS 3000

typedef struct track {
    circuit_t circuit;
    _Atomic uint32_t inside, most, through, closings;
    _Atomic uint32_t begun;
} track_t;

/* Each tries until the circuit is closed; a probe stays a moment, so that those who got past it by mistake would be seen. */
static void race(track_t *t, const circuit_limits_t *limits_now, uint32_t seed)
{
    circuit_change_t made;
    circuit_pass_t pass;
    atomic_fetch_add(&t->begun, 1);
    while (atomic_load(&t->begun) < RACERS)
        continue;
    while (circuit_state(&t->circuit) != CIRCUIT_CLOSED) {
        if (!circuit_admit(&t->circuit, limits_now, now, &pass, &made) || pass.taken == 0)
            continue;
        uint32_t inside = atomic_fetch_add(&t->inside, 1) + 1, most = atomic_load(&t->most);
        while (inside > most && !atomic_compare_exchange_weak(&t->most, &most, inside))
            continue;
        atomic_fetch_add(&t->through, 1);
        for (volatile uint32_t i = 0; i < (seed = seed * 1103515245u + 12345u) % 400; i++)
            continue;
        atomic_fetch_sub(&t->inside, 1);
        made = circuit_succeed(&t->circuit, limits_now, &pass);
        atomic_fetch_add(&t->closings, made.has_changed);
    }
    _exit(0);
}

static void run_race(uint32_t probes)
{
    track_t *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t != MAP_FAILED);
    circuit_limits_t many = limits;
    many.probes = probes;
    many.success_threshold = ROUNDS;
    for (int i = 0; i < 5; i++)
        (void)circuit_fail(&t->circuit, &many, now, NULL, CAUSE);
    now += many.timeout_ms;
    for (uint32_t i = 0; i < RACERS; i++)
        if (fork() == 0)
            race(t, &many, i);
    for (int i = 0, status; i < RACERS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_true(t->most <= probes);
    assert_true(t->through >= ROUNDS);
    assert_true(t->through < ROUNDS + probes); /* those that were inside when the last one closed it */
    assert_int_equal(t->circuit.probed, t->through);
    assert_int_equal(t->closings, 1);
    assert_int_equal(t->circuit.entered[CIRCUIT_HALF_OPEN], 1);
    assert_int_equal(t->circuit.entered[CIRCUIT_CLOSED], 1);
    munmap(t, sizeof(*t));
}

static void of_many_processes_that_race_one_at_a_time_gets_through(void **state)
{
    (void)state;
    run_race(1);
}

static void of_many_processes_that_race_three_at_a_time_get_through(void **state)
{
    (void)state;
    run_race(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_opens_with_the_fifth_failure_in_a_row_and_says_so_once, begin),
        cmocka_unit_test_setup(a_success_between_failures_begins_the_count_anew, begin),
        cmocka_unit_test_setup(an_open_circuit_refuses_until_its_time_and_says_how_long_that_is, begin),
        cmocka_unit_test_setup(the_time_counts_from_the_last_failure_also_of_one_that_was_under_way, begin),
        cmocka_unit_test_setup(one_probe_at_a_time_goes_through_and_two_close_it, begin),
        cmocka_unit_test_setup(a_probe_that_fails_opens_it_again_from_that_time, begin),
        cmocka_unit_test_setup(what_was_let_through_before_says_nothing_to_a_half_open_circuit, begin),
        cmocka_unit_test_setup(a_probe_that_says_nothing_gives_its_place_back, begin),
        cmocka_unit_test_setup(a_link_that_cannot_be_opened_for_a_probe_opens_it_again, begin),
        cmocka_unit_test_setup(a_probe_of_a_process_that_was_killed_is_replaced_at_once, begin),
        cmocka_unit_test_setup(a_probe_without_end_is_replaced_in_time_and_does_not_count, begin),
        cmocka_unit_test_setup(by_hand_it_stays_open_until_it_is_closed_by_hand, begin),
        cmocka_unit_test_setup(of_many_processes_that_race_one_at_a_time_gets_through, begin),
        cmocka_unit_test_setup(of_many_processes_that_race_three_at_a_time_get_through, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
