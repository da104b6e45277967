/* source.h: the text of a configuration file, and the configuration made of it. */
#ifndef SOURCE_H
#define SOURCE_H

#include <weir/error.h>

#include "config.h"

/* The whole file, NUL-terminated; the caller frees it. NULL with `err`. */
char *source_read(const char *file, weir_error_t *err);

/* Read and parse. `*config` is NULL on failure. */
int source_load(const char *file, config_t **config, weir_error_t *err);

#endif
