/* figures.h: what the members of /status mean, by tables: the core's own here, those of modules in their descriptors. */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdbool.h>
#include <stddef.h>

#include <weir/figure.h>

#define FIGURES_PLACES_MAX 2

/* A table, and where in /status its figures stand: paths that each of its paths goes on from, ended by NULL. */
typedef struct figures {
    const weir_figure_t *table;
    const char *places[FIGURES_PLACES_MAX + 1];
} figures_t;

/* The core's own; returns how many there are. */
size_t figures_core(const figures_t **all);

/* The name of a figure at /metrics: "weir_pool_links", "weir_exchanges_total". `owner` is the module's, or NULL. */
void figure_metric(char *name, size_t n, const char *owner, const weir_figure_t *figure);

/* What a value of /status is multiplied with, so that it is in base units. */
double figure_scale(const weir_figure_t *figure);

#endif
