/* tryout.h: a configuration is tried in a forked child, so that a module that crashes or hangs takes nobody with it. */
#ifndef TRYOUT_H
#define TRYOUT_H

#include <stdbool.h>
#include <sys/types.h>

#include <weir/error.h>

#include "config.h"

/* How long modules may take to load and start. */
#define TRYOUT_SECONDS 30

typedef struct tryout {
    pid_t pid;      /* 0: none under way */
    int fd;         /* becomes readable when the child has an answer or is gone */
    bool is_reaped; /* by somebody who waits for all children at once */
    int status;
} tryout_t;

int tryout_start(tryout_t *tryout, config_t *config, weir_error_t *err);

/* Take the answer, which may have to be waited for a moment: WEIR_OK, or WEIR_EFAIL with the child's story, or what became of
 * the child. With `is_late` the child is killed instead. */
int tryout_finish(tryout_t *tryout, bool is_late, weir_error_t *err);

/* Whether this process was the trial; its status is kept. */
bool tryout_reaped(tryout_t *tryout, pid_t pid, int status);

/* Start, wait, and finish: for `weir -t`. */
int tryout_run(config_t *config, weir_error_t *err);

#endif
