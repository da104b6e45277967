/* schema.h: the configuration as a JSON Schema (2020-12), for editors. Made from the tables that read it, so the two cannot
 * disagree about what may stand where.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#include <stdio.h>

#include <weir/error.h>

#include "modules.h"

/* Write the schema of a configuration that may name any of these modules. Fails when there is no memory or `out` is full. */
int schema_write(FILE *out, const modules_t *modules, weir_error_t *err);

#endif
