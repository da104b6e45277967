/* pidfile.h: the file that holds the master's pid, for `weir -s` and for init systems. */
#ifndef PIDFILE_H
#define PIDFILE_H

#include <sys/types.h>

#include <weir/error.h>

/* Write our pid, by way of a temporary file, so that nobody ever reads half a number. */
int pidfile_write(const char *path, weir_error_t *err);

/* The pid in the file, if a process of that pid lives. */
int pidfile_read(const char *path, pid_t *pid, weir_error_t *err);

/* Remove the file, unless it has come to name another process. */
void pidfile_remove(const char *path);

#endif
