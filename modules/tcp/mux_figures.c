/* mux_figures.c: see mux_figures.h. */
#include "mux_figures.h"

static const char *const names[MUX_FIGURES] = {
    [MUX_LINKS] = "links",   [MUX_CHANNELS] = "channels",   [MUX_QUEUED] = "queued",
    [MUX_OPENED] = "opened", [MUX_CANCELLED] = "cancelled", [MUX_STALLED] = "stalled",
    [MUX_PINGED] = "pinged", [MUX_BROKEN] = "broken",       [MUX_MOVED] = "moved",
};

void mux_figures_tell(const weir_host_t *host, const weir_counters_t *counters, weir_status_t *status)
{
    int64_t sum[MUX_FIGURES];
    host->counters_sum(counters, sum);
    status->enter(status, "mux");
    for (size_t i = 0; i < MUX_FIGURES; i++)
        status->number(status, names[i], (double)sum[i]);
    status->leave(status);
}

const weir_figure_t mux_figures[] = {
    WEIR_GAUGE("mux/links", "Links to other weirs that have been greeted by both ends"),
    WEIR_GAUGE("mux/channels", "Exchanges that are under way on links"),
    WEIR_GAUGE("mux/queued", "At the edge: exchanges that wait for a channel, or for a link that takes no bytes"),
    WEIR_COUNTER("mux/opened", "Channels that were opened, one for each exchange"),
    WEIR_COUNTER("mux/cancelled", "Channels that the edge gave up before their answer was whole"),
    WEIR_COUNTER("mux/stalled", "Times that a reply was stopped: at the edge for its client, at the inner weir for "
                                "want of credit, or by a link that takes no bytes"),
    WEIR_COUNTER("mux/pinged", "Times that the other weir was asked whether it is there, or asked so"),
    WEIR_COUNTER("mux/broken", "Links that ended with exchanges on them, or were cut for what came, or did not come"),
    WEIR_COUNTER("mux/moved", "At the edge: exchanges that a link had not sent when it broke, and another one took"),
    {.path = NULL},
};
