/* child_stderr.h: what a child says on its stderr: lines of weir's log, with its name and pid. A line that is too long is cut, and when there
 * are too many in a second the rest of them are counted only: a child must not fill the disk.
 *
 * Part of a weir_child_t, which sets `fd`, the reading end.
 */
#ifndef CHILD_STDERR_H
#define CHILD_STDERR_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct child_stderr {
    const char *name; /* the child's, which outlives this */
    pid_t pid;
    int fd; /* -1: none */
    struct ev_io readable;
    char *text; /* of the line at hand, only while it is incomplete */
    size_t used;
    bool is_cut; /* the rest of the line is read over */
    uint64_t window_ms;
    uint32_t lines, lost; /* in the window */
} child_stderr_t;

void child_stderr_init(child_stderr_t *e, const char *name);

/* Read from now on: not before the pid is known, which each line is logged with. */
void child_stderr_begin(child_stderr_t *e, pid_t pid);

/* The child has ended: what is still in the pipe, up to a bound, and what was not said yet. */
void child_stderr_end(child_stderr_t *e);

void child_stderr_close(child_stderr_t *e);

#endif
