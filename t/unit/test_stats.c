/* test_stats.c: counters in shared memory: several processes count, readers see the sum, and no death loses or blocks anything. */
#include "loop.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "stats.h"

/* ---- arrangement: shared memory, and this process as one that counts ---- */

static void *shared;

static int begin(void **state)
{
    (void)state;
    shared = mmap(NULL, PROCESS_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    proc = calloc(1, sizeof(*proc));
    assert_non_null(proc);
    proc->stats = stats_attach(shared, PROCESS_SHARED_SIZE);
    assert_non_null(proc->stats);
    return stats_claim(proc->stats, getpid());
}

static int end(void **state)
{
    (void)state;
    free(proc);
    proc = NULL;
    return munmap(shared, PROCESS_SHARED_SIZE);
}

static size_t row_of(const char *name)
{
    for (size_t i = 0; i < STATS_ROWS && stats_name(proc->stats, i) != NULL; i++)
        if (strcmp(stats_name(proc->stats, i), name) == 0)
            return i;
    fail_msg("there is no row %s", name);
    return 0;
}

static stats_row_t sum_of(const char *name)
{
    stats_row_t sum;
    stats_sum(proc->stats, row_of(name), &sum);
    return sum;
}

static void answer(stats_row_t *row, uint64_t bytes)
{
    weir_outcome_t outcome = {.reason = WEIR_REASON_NONE, .us = 10, .bytes_in = bytes, .bytes_out = 2 * bytes};
    stats_begin(row);
    stats_end(row, &outcome);
    stats_time(row, outcome.us);
}

/* Another process counts one exchange under a name, and begins another. Returns its pid, when it has died. */
static pid_t count_in_child(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (stats_claim(proc->stats, getpid()) != WEIR_OK)
            _exit(1);
        answer(stats_row(name), 100);
        stats_begin(stats_row(name));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return pid;
}

/* ---- scenes ---- */

static void an_exchange_is_counted_from_its_beginning_to_its_end(void **state)
{
    (void)state;
    stats_row_t *row = stats_row("search");
    stats_begin(row);
    assert_int_equal(sum_of("search").exchanges, 1);
    assert_int_equal(sum_of("search").gauges[STATS_IN_FLIGHT], 1);
    weir_outcome_t failed = {.reason = WEIR_REASON_TIMEOUT, .us = 5, .bytes_in = 7, .bytes_out = 8};
    stats_end(row, &failed);
    answer(row, 100);
    stats_row_t sum = sum_of("search");
    assert_true(sum.exchanges == 2 && sum.gauges[STATS_IN_FLIGHT] == 0);
    assert_true(sum.ended[WEIR_REASON_TIMEOUT] == 1 && sum.ended[WEIR_REASON_NONE] == 1);
    assert_true(sum.bytes_in == 107 && sum.bytes_out == 208);
    assert_true(sum.us == 10 && sum.latency[latency_bucket(10)] == 1); /* latency is that of answers */
}

static void a_name_has_one_row_and_what_has_none_goes_to_other(void **state)
{
    (void)state;
    assert_ptr_equal(stats_row("a"), stats_row("a"));
    assert_ptr_not_equal(stats_row("a"), stats_row("b"));
    assert_ptr_not_equal(stats_row("a"), stats_row(NULL));
    assert_string_equal(stats_name(proc->stats, STATS_ROW_OTHER), "other");
    assert_null(stats_name(proc->stats, 3));
    assert_null(stats_name(proc->stats, STATS_ROWS));
    stats_add(stats_row(NULL), STATS_CLIENTS, 3);
    stats_add(stats_row(NULL), STATS_CLIENTS, -1);
    assert_int_equal(sum_of("other").gauges[STATS_CLIENTS], 2);
}

static void long_names_that_begin_alike_have_rows_of_their_own(void **state)
{
    (void)state;
    char one[100], other[100];
    memset(one, 'x', sizeof(one));
    one[sizeof(one) - 1] = '\0';
    memcpy(other, one, sizeof(other));
    other[sizeof(other) - 2] = 'y';
    assert_ptr_not_equal(stats_row(one), stats_row(other));
    assert_ptr_equal(stats_row(one), stats_row(one));
}

static void names_beyond_the_last_row_share_other(void **state)
{
    (void)state;
    char name[16];
    for (int i = 1; i < STATS_ROWS; i++) {
        snprintf(name, sizeof(name), "u%d", i);
        assert_ptr_not_equal(stats_row(name), stats_row(NULL));
    }
    assert_ptr_equal(stats_row("one more"), stats_row(NULL));
    assert_ptr_not_equal(stats_row("u1"), stats_row(NULL));
}

static void processes_count_beside_each_other_and_readers_see_the_sum(void **state)
{
    (void)state;
    answer(stats_row("search"), 1);
    count_in_child("search");
    count_in_child("search");
    stats_row_t sum = sum_of("search");
    assert_true(sum.exchanges == 5 && sum.ended[WEIR_REASON_NONE] == 3 && sum.bytes_in == 201);
    assert_true(sum.us == 30 && sum.latency[latency_bucket(10)] == 3);
    assert_int_equal(sum.gauges[STATS_IN_FLIGHT], 2);
}

static void what_a_dead_process_counted_stays_and_what_it_had_in_hand_goes(void **state)
{
    (void)state;
    pid_t pid = count_in_child("search");
    assert_int_equal(sum_of("search").gauges[STATS_IN_FLIGHT], 1);
    stats_fold(proc->stats, pid);
    stats_row_t sum = sum_of("search");
    assert_true(sum.exchanges == 2 && sum.ended[WEIR_REASON_NONE] == 1 && sum.bytes_in == 100);
    assert_true(sum.us == 10 && sum.latency[latency_bucket(10)] == 1);
    assert_int_equal(sum.gauges[STATS_IN_FLIGHT], 0);
    stats_fold(proc->stats, pid); /* once is enough */
    assert_true(sum_of("search").exchanges == 2);
}

static void a_folded_cell_is_given_out_again_empty(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * STATS_CELLS; i++)
        stats_fold(proc->stats, count_in_child("search"));
    assert_true(sum_of("search").exchanges == 2 * 3 * STATS_CELLS);
    assert_int_equal(sum_of("search").gauges[STATS_IN_FLIGHT], 0);
}

static void there_are_so_many_cells_and_then_none(void **state)
{
    (void)state;
    for (int i = 1; i < STATS_CELLS; i++)
        assert_int_equal(stats_claim(proc->stats, 100000 + i), WEIR_OK);
    assert_int_equal(stats_claim(proc->stats, 99999), WEIR_EFULL);
    stats_fold(proc->stats, 100007);
    assert_int_equal(stats_claim(proc->stats, 99999), WEIR_OK);
}

/* The memory of counters is large, and most of it belongs to nobody. */
static void reading_touches_no_cell_that_nobody_took(void **state)
{
    (void)state;
    unsigned char resident[PROCESS_SHARED_SIZE / 4096];
    size_t pages = 0;
    answer(stats_row("search"), 1);
    (void)sum_of("search");
    stats_fold(proc->stats, getpid());
    assert_int_equal(mincore(shared, PROCESS_SHARED_SIZE, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++)
        pages += resident[i] & 1;
    assert_in_range(pages, 1, 32);
}

/* Processes that begin at the same moment name the same rows. */
static void names_that_are_claimed_at_once_end_up_in_one_row_each(void **state)
{
    (void)state;
    pid_t pids[8];
    for (int i = 0; i < 8; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char name[16];
            if (stats_claim(proc->stats, getpid()) != WEIR_OK)
                _exit(1);
            for (int j = 0; j < 100; j++) {
                snprintf(name, sizeof(name), "u%d", (j * 37 + i * 11) % 100);
                stats_begin(stats_row(name));
            }
            _exit(0);
        }
    }
    int status;
    for (int i = 0; i < 8; i++)
        assert_true(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    assert_null(stats_name(proc->stats, 101));
    for (int j = 0; j < 100; j++) {
        char name[16];
        snprintf(name, sizeof(name), "u%d", j);
        assert_int_equal(sum_of(name).exchanges, 8);
    }
}

static void who_has_no_shared_memory_counts_nowhere(void **state)
{
    (void)state;
    struct stats *kept = proc->stats;
    proc->stats = NULL;
    answer(stats_row("a"), 1);
    answer(stats_row(NULL), 1);
    proc->stats = kept;
    assert_null(stats_name(kept, 1));
    assert_null(stats_attach(shared, 1000));
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_exchange_is_counted_from_its_beginning_to_its_end),
        SCENE(a_name_has_one_row_and_what_has_none_goes_to_other),
        SCENE(long_names_that_begin_alike_have_rows_of_their_own),
        SCENE(names_beyond_the_last_row_share_other),
        SCENE(processes_count_beside_each_other_and_readers_see_the_sum),
        SCENE(what_a_dead_process_counted_stays_and_what_it_had_in_hand_goes),
        SCENE(a_folded_cell_is_given_out_again_empty),
        SCENE(there_are_so_many_cells_and_then_none),
        SCENE(reading_touches_no_cell_that_nobody_took),
        SCENE(names_that_are_claimed_at_once_end_up_in_one_row_each),
        SCENE(who_has_no_shared_memory_counts_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
