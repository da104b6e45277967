/* test_timer.c: timers, in a time of our own: nothing here sleeps. */
#include "loop.h"

struct ring {
    weir_timer_t timer;
    int rings;
    char name;
};

static char order[16];
static size_t norder;

static void ring(void *arg)
{
    struct ring *r = arg;
    r->rings++;
    if (norder < sizeof(order) - 1)
        order[norder++] = r->name;
}

static struct ring ring_named(char name)
{
    return (struct ring){.name = name, .timer = {.fire = ring}};
}

static int begin(void **state)
{
    (void)state;
    proc = calloc(1, sizeof(*proc));
    assert_non_null(proc);
    proc->timers = timers_new(NULL);
    assert_non_null(proc->timers);
    timers_run(proc->timers, 1000);
    memset(order, 0, sizeof(order));
    norder = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    timers_free(proc->timers);
    free(proc);
    proc = NULL;
    return 0;
}

static void a_timer_fires_when_its_time_has_passed_and_not_before(void **state)
{
    (void)state;
    struct ring a = ring_named('a');
    a.timer.arg = &a;
    timer_start(timers_get(100), &a.timer);
    timers_run(proc->timers, 1099);
    assert_int_equal(a.rings, 0);
    assert_true(timer_is_running(&a.timer));
    timers_run(proc->timers, 1100);
    assert_int_equal(a.rings, 1);
    assert_false(timer_is_running(&a.timer));
    timers_run(proc->timers, 5000);
    assert_int_equal(a.rings, 1);
}

static void timers_of_all_queues_fire_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    struct ring a = ring_named('a'), b = ring_named('b'), c = ring_named('c');
    a.timer.arg = &a, b.timer.arg = &b, c.timer.arg = &c;
    timer_start(timers_get(300), &c.timer);
    timer_start(timers_get(100), &a.timer);
    timers_run(proc->timers, 1050);
    timer_start(timers_get(100), &b.timer);
    timers_run(proc->timers, 2000);
    assert_string_equal(order, "abc");
}

static void a_refreshed_timer_starts_from_the_beginning(void **state)
{
    (void)state;
    struct ring a = ring_named('a'), b = ring_named('b');
    a.timer.arg = &a, b.timer.arg = &b;
    timer_start(timers_get(100), &a.timer);
    timer_start(timers_get(100), &b.timer);
    timers_run(proc->timers, 1090);
    timer_start(timers_get(100), &a.timer);
    timers_run(proc->timers, 1150);
    assert_string_equal(order, "b");
    timers_run(proc->timers, 1190);
    assert_string_equal(order, "ba");
}

static void a_timer_may_move_to_a_queue_of_another_duration(void **state)
{
    (void)state;
    struct ring a = ring_named('a');
    a.timer.arg = &a;
    timer_start(timers_get(100), &a.timer);
    timer_start(timers_get(500), &a.timer);
    timers_run(proc->timers, 1200);
    assert_int_equal(a.rings, 0);
    timers_run(proc->timers, 1500);
    assert_int_equal(a.rings, 1);
}

static void stopping_a_timer_that_does_not_run_is_harmless(void **state)
{
    (void)state;
    weir_timer_t zeroed = {0};
    timer_stop(&zeroed);
    struct ring a = ring_named('a');
    a.timer.arg = &a;
    timer_start(timers_get(10), &a.timer);
    timer_stop(&a.timer);
    timer_stop(&a.timer);
    timers_run(proc->timers, 9000);
    assert_int_equal(a.rings, 0);
}

struct killer {
    weir_timer_t timer;
    weir_timer_t *victim;
};

static void kill_victim(void *arg)
{
    timer_stop(((struct killer *)arg)->victim);
}

static void a_timer_may_stop_one_that_is_due_in_the_same_moment(void **state)
{
    (void)state;
    struct ring victim = ring_named('v');
    victim.timer.arg = &victim;
    struct killer killer = {.timer = {.fire = kill_victim}, .victim = &victim.timer};
    killer.timer.arg = &killer;
    timer_start(timers_get(100), &killer.timer);
    timer_start(timers_get(100), &victim.timer);
    timers_run(proc->timers, 1100);
    assert_int_equal(victim.rings, 0);
}

struct again {
    weir_timer_t timer;
    uint64_t duration_ms;
    int rings;
};

static void start_again(void *arg)
{
    struct again *again = arg;
    again->rings++;
    timer_start(timers_get(again->duration_ms), &again->timer);
}

static void a_timer_that_starts_itself_again_does_not_hold_the_loop(void **state)
{
    (void)state;
    struct again again = {.timer = {.fire = start_again}, .duration_ms = 0};
    again.timer.arg = &again;
    timer_start(timers_get(0), &again.timer);
    timers_run(proc->timers, 2000);
    assert_int_equal(again.rings, 1);
    timers_run(proc->timers, 3000);
    assert_int_equal(again.rings, 2);
    timer_stop(&again.timer);
}

static void ring_at_turn_end(void *arg)
{
    struct ring *r = arg;
    ring(r);
    r->timer.fire = ring;
    timer_at_turn_end(&r->timer);
}

static void work_of_the_turns_end_comes_after_the_timers_and_may_ask_for_more(void **state)
{
    (void)state;
    struct ring a = ring_named('a'), e = ring_named('e');
    a.timer.arg = &a, e.timer.arg = &e;
    e.timer.fire = ring_at_turn_end;
    timer_at_turn_end(&e.timer);
    timer_start(timers_get(10), &a.timer);
    timers_run(proc->timers, 1010);
    assert_string_equal(order, "aee");
    timers_run(proc->timers, 1020);
    assert_string_equal(order, "aee");
}

static void the_same_duration_has_the_same_queue(void **state)
{
    (void)state;
    assert_ptr_equal(timers_get(250), timers_get(250));
    assert_ptr_not_equal(timers_get(250), timers_get(251));
}

static void the_loop_wakes_for_the_nearest_deadline(void **state)
{
    (void)state;
    struct ring near = ring_named('n'), far = ring_named('f');
    near.timer.arg = &near, far.timer.arg = &far;
    uint64_t began = now_ms();
    timer_start(timers_get(60000), &far.timer);
    timer_start(timers_get(5), &near.timer);
    RUN_UNTIL(near.rings == 1);
    assert_true(now_ms() >= began + 5);
    assert_int_equal(far.rings, 0);
    timer_stop(&far.timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_timer_fires_when_its_time_has_passed_and_not_before, begin, end),
        cmocka_unit_test_setup_teardown(timers_of_all_queues_fire_in_the_order_of_their_deadlines, begin, end),
        cmocka_unit_test_setup_teardown(a_refreshed_timer_starts_from_the_beginning, begin, end),
        cmocka_unit_test_setup_teardown(a_timer_may_move_to_a_queue_of_another_duration, begin, end),
        cmocka_unit_test_setup_teardown(stopping_a_timer_that_does_not_run_is_harmless, begin, end),
        cmocka_unit_test_setup_teardown(a_timer_may_stop_one_that_is_due_in_the_same_moment, begin, end),
        cmocka_unit_test_setup_teardown(a_timer_that_starts_itself_again_does_not_hold_the_loop, begin, end),
        cmocka_unit_test_setup_teardown(work_of_the_turns_end_comes_after_the_timers_and_may_ask_for_more, begin, end),
        cmocka_unit_test_setup_teardown(the_same_duration_has_the_same_queue, begin, end),
        cmocka_unit_test_setup_teardown(the_loop_wakes_for_the_nearest_deadline, process_begin, process_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
