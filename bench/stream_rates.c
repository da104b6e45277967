/* stream_rates.c: how many messages a second go through one worker and one link over the streams that do not batch: WebSocket on both
 * sides, and a stdio server behind a client that sends lines.
 */
#include "way.h"

static way_t ways[] = {
    {.name = "ws → ws", .transport = "ws"},
    {.name = "tcp (ndjson) → stdio", .transport = "stdio"},
};

int main(int argc, char **argv)
{
    return rates_main(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
