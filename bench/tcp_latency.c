/* tcp_latency.c: how long a call takes from end to end over `tcp`, at half of the rate that the same way had as fast as it went. Calls
 * come on a schedule, whether or not those before have been answered, and a latency begins when its call was due.
 */
#include "way.h"

static way_t ways[] = {
    {.name = "no batch", .transport = "length"},
    {.name = "batch by turn", .transport = "length", .batch = "max_delay: 0", .per_frame = 100},
};

static const column_t columns[] = {
    {"calls/s", figure_calls, 0, false, false},
    {"p50 µs", figure_p50, 0, true, false},
    {"p99 µs", figure_p99, 0, true, false},
    {.title = NULL},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

int main(int argc, char **argv)
{
    plan_t plan = plan_of(argc, argv);
    plan_print(&plan);
    ways_open(ways, WAYS);
    ways_run(ways, WAYS, &plan);
    for (size_t i = 0; i < WAYS; i++)
        ways[i].rate = way_spread(&ways[i], plan.rounds, figure_calls).median / 2;
    ways_run(ways, WAYS, &plan);
    ways_close(ways, WAYS);
    ways_table(ways, WAYS, plan.rounds, columns);
    return 0;
}
