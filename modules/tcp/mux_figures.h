/* mux_figures.h: what both ends of `mux` count: the edge for an upstream, the inner weir for a listener. */
#ifndef WEIR_TCP_MUX_FIGURES_H
#define WEIR_TCP_MUX_FIGURES_H

#include <weir/module.h>

typedef enum mux_figure {
    /* gauges */
    MUX_LINKS,
    MUX_CHANNELS,
    MUX_QUEUED,
    MUX_GAUGES,
    /* counters */
    MUX_OPENED = MUX_GAUGES,
    MUX_CANCELLED,
    MUX_STALLED,
    MUX_PINGED,
    MUX_BROKEN,
    MUX_MOVED,
    MUX_FIGURES,
} mux_figure_t;

/* With these numbers `host->counters` is asked for them. */
#define MUX_COUNTERS (MUX_FIGURES - MUX_GAUGES)

void mux_figures_tell(const weir_host_t *host, const weir_counters_t *counters, weir_status_t *status);

/* As `weir modules tcp` and /metrics have them. */
extern const weir_figure_t mux_figures[];

#endif
