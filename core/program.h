/* program.h: whether a program can be run, before it is tried. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <weir/error.h>

/* As execvp() would find it: with a slash in its name it is a file, without one it is looked up in `path` (the value of PATH; NULL: this
 * process's own). */
int program_check(const char *program, const char *path, weir_error_t *err);

#endif
