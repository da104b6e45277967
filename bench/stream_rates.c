/* stream_rates.c: how many messages a second go through one worker and one link over the streams that do not batch: WebSocket on both
 * sides, and a stdio server behind a client that sends lines.
 */
#include "way.h"

static way_t ways[] = {
    {.name = "ws → ws", .transport = "ws"},
    {.name = "tcp (ndjson) → stdio", .transport = "stdio"},
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
