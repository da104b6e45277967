/* figure.h: what a figure is called at /metrics: "weir_pool_links", "weir_exchanges_total". The name comes from its path unless it has one of
 * its own; the unit, which is the base unit, and the kind are said at its end, as the format wants it.
 */
#ifndef FIGURE_H
#define FIGURE_H

#include <stddef.h>

#include <weir/figure.h>

/* `owner` is the module's name; NULL: the core's own. */
void figure_metric(char *name, size_t n, const char *owner, const weir_figure_t *figure);

/* What a value of /status is multiplied with, so that it is in base units. */
double figure_scale(const weir_figure_t *figure);

#endif
