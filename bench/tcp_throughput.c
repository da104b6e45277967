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

int main(int argc, char **argv)
{
    return rates_main(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
