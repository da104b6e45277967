/* fork.c: from the master's fork to a child's main. The child starts with an empty signal mask, no handlers, its own
 * context in `proc`, its own open log, and no descriptor that is not meant for it: a forgotten end of a control channel would
 * hide a death from its owner.
 */
#include "fork.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

/* What a terminal sends to all of us, and the master alone acts on: it must not end a process that has no handler yet. */
static bool is_masters(int number)
{
    return number == SIGINT || number == SIGHUP || number == SIGUSR1 || number == SIGUSR2;
}

static int signals_default(proc_kind_t kind)
{
    for (int number = 1; number < SIGRTMIN; number++) {
        bool is_ignored = kind != PROC_TRIAL && is_masters(number);
        struct sigaction plain = {.sa_handler = is_ignored ? SIG_IGN : SIG_DFL};
        if (sigaction(number, &plain, NULL) != 0 && errno != EINVAL) /* KILL, STOP */
            return -1;
    }
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Close every gap between the descriptors to keep. */
static int descriptors_close(const int *kept, size_t n)
{
    int *sorted = malloc((n + 1) * sizeof(*sorted));
    if (sorted == NULL)
        return -1;
    if (n > 0)
        memcpy(sorted, kept, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), ascending);
    unsigned next = STDERR_FILENO + 1;
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned at = sorted[i] < 0 ? 0 : (unsigned)sorted[i];
        if (at > next)
            rc |= close_range(next, at - 1, 0);
        if (at >= next)
            next = at + 1;
    }
    rc |= close_range(next, ~0u, 0);
    free(sorted);
    return rc;
}

/* The child's own context, still with nothing in it; process_enter() goes on from here. A trial opens its logs itself: that they
 * cannot be opened is an answer. */
static int context_new(const fork_plan_t *plan)
{
    weir_error_t err;
    *proc = (proc_t){.kind = plan->kind, .slot = plan->slot, .generation = plan->generation, .config = plan->config};
    if (plan->kind == PROC_TRIAL)
        return 0;
    proc->log = log_open((weir_level_t)plan->config->log_level, plan->config->log_file, &err);
    if (proc->log != NULL)
        return 0;
    log_write(WEIR_LOG_ERROR, "%s", err.text);
    return -1;
}

/* What the parent had open for itself. The loop's descriptors are copies: the parent's go on. */
static void context_free(void)
{
    log_close(proc->log);
    if (proc->loop != NULL)
        ev_loop_destroy(proc->loop);
    *proc = (proc_t){.kind = proc->kind};
}

static int child_prepare(const fork_plan_t *plan)
{
    context_free();
    if (plan->room != NULL)
        title_set(plan->room, plan->title);
    if (signals_default(plan->kind) == 0 && descriptors_close(plan->kept, plan->nkept) == 0)
        return context_new(plan);
    log_write(WEIR_LOG_ERROR, "cannot prepare a new process: %s", strerror(errno));
    return -1;
}

pid_t fork_child(const fork_plan_t *plan, int (*main_function)(void *), void *arg)
{
    fflush(NULL); /* or both would write what is buffered */
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    /* The one place besides main() where a process ends: a child has no main() to return to. */
    exit(child_prepare(plan) == 0 ? main_function(arg) : EXIT_FAILURE);
}

void fork_status(int status, char *text, size_t n)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        snprintf(text, n, "killed by signal %d (SIG%s)%s", WTERMSIG(status), name == NULL ? "?" : name,
                 WCOREDUMP(status) ? ", core dumped" : "");
    } else {
        snprintf(text, n, "exited with status %d", WEXITSTATUS(status));
    }
}
