/* visit.h: asking the running weir, at the `admin:` address of a configuration. */
#ifndef VISIT_H
#define VISIT_H

#include <weir/error.h>

#include "config.h"

/* What it says under a path, NUL-terminated; the caller frees it. NULL with the reason: no such address, nobody there, another answer. */
char *visit_get(const config_t *config, const char *path, weir_error_t *err);

/* Tell it something; when it says no, the error is what it says. */
int visit_post(const config_t *config, const char *path, weir_error_t *err);

#endif
