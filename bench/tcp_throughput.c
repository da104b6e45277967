/* tcp_throughput.c: how many messages a second go through one worker and one link over `tcp`, by framing, with and without `batch`, and
 * what each costs weir. One client keeps so many calls in flight that nobody waits for it.
 */
#include "way.h"

static way_t ways[] = {
    {.name = "ndjson", .transport = "ndjson"},
    {.name = "length", .transport = "length"},
    {.name = "length, batch by turn", .transport = "length", .batch = "max_delay: 0", .per_frame = 100},
    {.name = "length, batch", .transport = "length", .batch = "", .per_frame = 100},
    {.name = "length, in a legacy session", .transport = "length", .is_legacy = true},
    {.name = "length, batch, in a legacy session",
     .transport = "length",
     .batch = "",
     .is_legacy = true,
     .per_frame = 100},
};

static const column_t columns[] = {
    {"messages/s", figure_rate, 0, true, false},
    {"worker, µs a message", figure_worker_us, 2, true, false},
    {"keeper, µs a message", figure_keeper_us, 2, true, false},
    {"messages/s that a core for each would carry", figure_capacity, 0, true, false},
    {.title = NULL},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

int main(int argc, char **argv)
{
    plan_t plan = plan_of(argc, argv);
    printf("%llu calls in flight; ", (unsigned long long)plan.window);
    plan_print(&plan);
    ways_open(ways, WAYS);
    ways_run(ways, WAYS, &plan);
    ways_close(ways, WAYS);
    ways_table(ways, WAYS, plan.rounds, columns);
    return 0;
}
