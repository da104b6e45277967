/* fork.h: making a child process that has nothing of its parent but what it was given. */
#ifndef FORK_H
#define FORK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "proc.h"
#include "title.h"

typedef struct fork_plan {
    proc_kind_t kind;
    int slot;
    uint32_t generation;
    const char *title;
    const title_t *room; /* for the title, or NULL */
    config_t *config;    /* for its log */
    const int *kept;     /* descriptors besides 0, 1 and 2 that stay open */
    size_t nkept;
} fork_plan_t;

/* Fork; in the child, `main_function` runs and its value is the exit status. Returns the pid, or -1 with errno. */
pid_t fork_child(const fork_plan_t *plan, int (*main_function)(void *), void *arg);

/* What a wait status says, for people: "exited with status 1", "killed by signal 11 (SIGSEGV)". */
void fork_status(int status, char *text, size_t n);

#endif
