/* option.h: from a map of the configuration into a struct, by a table of options (include/weir/option.h). */
#ifndef CORE_OPTION_H
#define CORE_OPTION_H

#include <weir/error.h>
#include <weir/option.h>

#include "arena.h"
#include "tree.h"

/* Where a tree comes from: what errors name, and where relative paths begin. */
typedef struct config_source {
    const char *file;
    const char *dir;
} config_source_t;

/* One map may be read by several tables: an upstream's keys are the core's and its transport's. */
typedef struct option_set {
    const weir_option_t *table; /* NULL: none */
    void *out;                  /* NULL: its keys are known, and read elsewhere */
    const char *what;           /* whose keys: "an upstream", or a module by its name */
} option_set_t;

/* Read all options of a table; `map` NULL or null means all defaults. Errors say file:line:column. */
int options_read(const config_source_t *source, arena_t *arena, const weir_option_t *table, const node_t *map,
                 void *out, const char *what, weir_error_t *err);
/* The same for several tables; every key must be in one of them. */
int options_read_sets(const config_source_t *source, arena_t *arena, const option_set_t *sets, size_t nsets,
                      const node_t *map, weir_error_t *err);
/* Read a table and leave keys that it does not know to somebody else. */
int options_read_some(const config_source_t *source, arena_t *arena, const weir_option_t *table, const node_t *map,
                      void *out, const char *what, weir_error_t *err);

/* Only refuse keys that are in none of the tables. */
int options_check_keys(const config_source_t *source, const option_set_t *sets, size_t nsets, const node_t *map,
                       weir_error_t *err);

/* A file as the configuration names it: a relative one begins in the configuration's folder. NULL when there is no memory. */
const char *config_path(const config_source_t *source, arena_t *arena, weir_slice_t text);

/* "file:line:column: " + story. Returns WEIR_EFAIL. */
int config_error(const config_source_t *source, const node_t *at, weir_error_t *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same before the story that is there. `at` NULL: only "file: ". */
int config_error_at(const config_source_t *source, const node_t *at, weir_error_t *err);

#endif
