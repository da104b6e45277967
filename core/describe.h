/* describe.h: modules and their options in words for people, for `weir modules`. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include <stdio.h>

#include <weir/module.h>

/* One line: name, what it can do, its one line of documentation. */
void describe_line(FILE *out, const weir_module_t *module);

/* All of it: each table of options, with types, ranges and defaults; its figures. */
void describe_module(FILE *out, const weir_module_t *module, const char *file);

#endif
