/* tcp_batching.c: what `batch` is worth: as fast as it goes, against each message in a frame of its own; and what it costs who is alone:
 * at a low rate, how late the slowest answers come. By turn, by time, and adaptive.
 */
#include "way.h"

#define LOW_RATE 500 /* calls a second */

static way_t ways[] = {
    {.name = "no batch", .transport = "length"},
    {.name = "batch, max_delay 0 (by turn)", .transport = "length", .batch = "max_delay: 0", .per_frame = 100},
    {.name = "batch (max_delay 10 ms)", .transport = "length", .batch = "", .per_frame = 100},
    {.name = "batch, adaptive", .transport = "length", .batch = "adaptive: true", .per_frame = 100},
};

static const column_t fast[] = {
    {"messages/s", figure_rate, 0, true, false},
    {"against no batch", figure_rate, 2, true, true},
    {"worker + keeper, µs a message", figure_cpu_us, 2, false, false},
    {"against no batch", figure_cpu_us, 2, true, true},
    {.title = NULL},
};

static const column_t slow[] = {
    {"p50 µs", figure_p50, 0, true, false},
    {"p99 µs", figure_p99, 0, true, false},
    {"p99 against no batch", figure_p99, 2, true, true},
    {.title = NULL},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

int main(int argc, char **argv)
{
    plan_t plan = plan_of(argc, argv);
    plan_print(&plan);
    ways_open(ways, WAYS);
    ways_run(ways, WAYS, &plan);
    printf("As fast as it goes, %llu calls in flight:\n\n", (unsigned long long)plan.window);
    ways_table(ways, WAYS, plan.rounds, fast);
    plan.rate = LOW_RATE;
    ways_run(ways, WAYS, &plan);
    ways_close(ways, WAYS);
    printf("%d calls a second, each alone:\n\n", LOW_RATE);
    ways_table(ways, WAYS, plan.rounds, slow);
    return 0;
}
