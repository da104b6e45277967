/* figures.h: what the core's own members of /status mean, by tables; those of modules are in their descriptors. */
#ifndef FIGURES_H
#define FIGURES_H

#include <stddef.h>

#include <weir/figure.h>

#define FIGURES_PLACES_MAX 4

/* A table, and where in /status its figures stand: paths that each of its paths goes on from, ended by NULL. */
typedef struct figures {
    const weir_figure_t *table;
    const char *places[FIGURES_PLACES_MAX + 1];
} figures_t;

/* All of them; returns how many there are. */
size_t figures_core(const figures_t **all);

#endif
