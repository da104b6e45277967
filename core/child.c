/* child.c: see the table in child.h.
 *
 * Owned here: each weir_child_t from child_start() until its minder has been reaped, with its channel to the minder, a pidfd of
 * the minder (the loop is not libev's default one, which alone has child watchers), and what it says on its stderr. The stream
 * over stdin and stdout is the owner's.
 *
 * Should a minder be killed, what it minded becomes a child of this process, a subreaper: it is found, killed and reaped.
 */
#include "child.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_stderr.h"
#include "fork.h"
#include "kin.h"
#include "log.h"
#include "minder.h"
#include "proc.h"
#include "stats.h"
#include "stream.h"
#include "timer.h"

#define SWEEP_MS 20

typedef enum child_state { CHILD_RUNNING, CHILD_CLOSING, CHILD_TERMED, CHILD_KILLED } child_state_t;

struct children {
    weir_list_t list;
    size_t count;
    void (*on_empty)(void);
    weir_timer_t sweep; /* while there may be orphans */
};

struct weir_child {
    weir_list_t node;
    child_state_t state;
    char *name;
    stats_row_t *stats;
    pid_t pid, minder;
    int pidfd, control;
    struct ev_io on_exit, on_control;
    weir_timer_t timer;
    uint64_t stop_timeout_ms;
    void *owner; /* NULL: nobody is to be told */
    void (*started)(void *owner);
    void (*exited)(void *owner, const char *how);
    char how[MINDER_TEXT_MAX];
    child_stderr_t errors;
};

/* ---- the end ---- */

static void children_tell_empty(struct children *all)
{
    void (*fn)(void) = all->on_empty;
    if (fn == NULL || all->count > 0 || timer_is_running(&all->sweep))
        return;
    all->on_empty = NULL;
    fn();
}

static bool is_minder(const struct children *all, pid_t pid)
{
    WEIR_LIST_EACH(&all->list, it)
        if (WEIR_CONTAINER(it, weir_child_t, node)->minder == pid)
            return true;
    return false;
}

static void sweep_again(struct children *all)
{
    weir_timeouts_t *queue = timers_get(SWEEP_MS);
    if (queue != NULL)
        timer_start(queue, &all->sweep);
}

/* Kill and reap what a minder left behind. All children of a keeper are minders or orphans. */
static void on_sweep(void *arg)
{
    struct children *all = arg;
    pid_t pids[KIN_MAX];
    size_t n = kin_children(getpid(), pids, KIN_MAX), left = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_minder(all, pids[i]))
            continue;
        kin_signal(pids[i], SIGKILL);
        (void)kill(pids[i], SIGKILL);
        left += waitpid(pids[i], NULL, WNOHANG) == 0;
    }
    if (left > 0)
        sweep_again(all);
    else
        children_tell_empty(all);
}

/* Watchers and descriptors; those that were never made are -1, and stopping a watcher that is not running is harmless. */
static void child_free(weir_child_t *child)
{
    timer_stop(&child->timer);
    ev_io_stop(proc->loop, &child->on_exit);
    ev_io_stop(proc->loop, &child->on_control);
    child_stderr_close(&child->errors);
    const int fds[] = {child->pidfd, child->control};
    for (size_t i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    stats_add(child->stats, STATS_CHILDREN, -1);
    free(child->name);
    free(child);
}

/* One message of the minder; false when there is none. */
static bool control_read(weir_child_t *child)
{
    minder_message_t message;
    ssize_t n = recv(child->control, &message, sizeof(message), MSG_DONTWAIT);
    if (n != (ssize_t)sizeof(message)) {
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            ev_io_stop(proc->loop, &child->on_control);
        return false;
    }
    if (message.word == MINDER_ENDED) {
        snprintf(child->how, sizeof(child->how), "%.*s", (int)sizeof(message.text) - 1, message.text);
    } else if (message.word == MINDER_STARTED) {
        child->pid = message.pid;
        child_stderr_begin(&child->errors, child->pid);
        log_write(WEIR_LOG_INFO, "%s[%d] started", child->name, (int)child->pid);
        if (child->owner != NULL && child->started != NULL)
            child->started(child->owner);
    }
    return true;
}

static void on_control(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop, (void)revents;
    control_read(w->data);
}

static void child_reap(weir_child_t *child)
{
    int status = 0;
    char text[MINDER_TEXT_MAX - 64];
    pid_t pid = waitpid(child->minder, &status, 0);
    if (child->how[0] != '\0')
        return;
    snprintf(text, sizeof(text), "it cannot be said how");
    if (pid == child->minder)
        fork_status(status, text, sizeof(text));
    snprintf(child->how, sizeof(child->how), "lost its minder (%s) and was killed", text);
    sweep_again(proc->children);
}

/* The minder has ended, and so has everything below it. */
static void on_exit_of_minder(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop, (void)revents;
    weir_child_t *child = w->data;
    struct children *all = proc->children;
    while (control_read(child))
        ;
    child_stderr_end(&child->errors);
    child_reap(child);
    weir_level_t level = child->state == CHILD_RUNNING ? WEIR_LOG_WARN : WEIR_LOG_INFO;
    log_write(level, "%s[%d] %s", child->name, (int)child->pid, child->how);
    weir_list_remove(&child->node);
    all->count--;
    if (child->owner != NULL && child->exited != NULL)
        child->exited(child->owner, child->how);
    child_free(child);
    children_tell_empty(all);
}

/* ---- the beginning ---- */

/* Both ends of what connects a child: ours in [0], the minder's in [1]. */
typedef struct plumbing {
    int control[2], in[2], out[2], errors[2];
} plumbing_t;

static void pair_close(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    pair[0] = pair[1] = -1;
}

static void plumbing_close(plumbing_t *p)
{
    pair_close(p->control);
    pair_close(p->in);
    pair_close(p->out);
    pair_close(p->errors);
}

/* Pipes keep their 64 KiB: larger ones come out of an allowance per user, and when it is used up new pipes get one page. */
static int pipe_make(int pair[2], bool is_from_child)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pair[0] = ends[is_from_child ? 0 : 1];
    pair[1] = ends[is_from_child ? 1 : 0];
    return fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

static int plumbing_make(plumbing_t *p, weir_error_t *err)
{
    *p = (plumbing_t){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->control) == 0 && pipe_make(p->in, false) == 0 &&
        pipe_make(p->out, true) == 0 && pipe_make(p->errors, true) == 0)
        return WEIR_OK;
    weir_error(err, "cannot make its pipes: %s", strerror(errno));
    plumbing_close(p);
    return WEIR_EFAIL;
}

/* No signal may reach the minder while it still has this process's handlers. */
static pid_t minder_fork(const weir_child_spec_t *spec, const plumbing_t *p)
{
    sigset_t all, before;
    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, &before) != 0)
        return -1;
    minder_fds_t fds = {.control = p->control[1], .in = p->in[1], .out = p->out[1], .errors = p->errors[1]};
    pid_t pid = fork();
    if (pid == 0)
        minder_main(spec, &fds);
    int kept = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* a valid set cannot fail */
    errno = kept;
    return pid;
}

static void on_stop_timeout(void *arg);

/* A child is named after its upstream: "search/3". */
static stats_row_t *row_of(const char *name)
{
    char upstream[64];
    snprintf(upstream, sizeof(upstream), "%.*s", (int)strcspn(name, "/"), name);
    return stats_row(upstream);
}

static weir_child_t *child_new(const weir_child_spec_t *spec, void *owner)
{
    weir_child_t *child = calloc(1, sizeof(*child));
    if (child == NULL || (child->name = strdup(spec->name)) == NULL) {
        free(child);
        return NULL;
    }
    weir_list_init(&child->node);
    child->stats = row_of(spec->name);
    stats_add(child->stats, STATS_CHILDREN, 1);
    child->owner = owner;
    child->started = spec->started;
    child->exited = spec->exited;
    child->stop_timeout_ms = spec->stop_timeout_ms;
    child->timer = (weir_timer_t){.fire = on_stop_timeout, .arg = child};
    child->pidfd = child->control = -1;
    child_stderr_init(&child->errors, child->name);
    ev_init(&child->on_exit, on_exit_of_minder);
    ev_init(&child->on_control, on_control);
    child->on_exit.data = child->on_control.data = child;
    return child;
}

static int child_fork(weir_child_t *child, const weir_child_spec_t *spec, plumbing_t *p, weir_error_t *err)
{
    child->minder = minder_fork(spec, p);
    if (child->minder < 0)
        return weir_error(err, "cannot fork: %s", strerror(errno));
    child->pidfd = pidfd_open(child->minder, 0);
    if (child->pidfd >= 0)
        return WEIR_OK;
    weir_error(err, "cannot watch its minder: %s", strerror(errno));
    plumbing_close(p); /* which ends it */
    (void)waitpid(child->minder, NULL, 0);
    return WEIR_EFAIL;
}

static void child_watch(weir_child_t *child)
{
    struct ev_loop *loop = proc->loop;
    ev_io_set(&child->on_exit, child->pidfd, EV_READ);
    ev_io_set(&child->on_control, child->control, EV_READ);
    ev_io_start(loop, &child->on_exit);
    ev_io_start(loop, &child->on_control);
}

static int child_open(weir_child_t *child, const weir_child_spec_t *spec, weir_stream_t **stream, weir_error_t *err)
{
    plumbing_t p;
    if (plumbing_make(&p, err) != WEIR_OK)
        return WEIR_EFAIL;
    *stream = stream_pipes(p.out[0], p.in[0], err);
    p.out[0] = p.in[0] = -1; /* the stream's */
    if (*stream == NULL || child_fork(child, spec, &p, err) != WEIR_OK) {
        if (*stream != NULL)
            stream_close(*stream);
        *stream = NULL;
        plumbing_close(&p);
        return WEIR_EFAIL;
    }
    child->control = p.control[0];
    child->errors.fd = p.errors[0];
    p.control[0] = p.errors[0] = -1;
    plumbing_close(&p);
    stream_own(*stream, spec->events, child->owner);
    child_watch(child);
    return WEIR_OK;
}

weir_child_t *child_start(const weir_child_spec_t *spec, void *owner, weir_stream_t **stream, weir_error_t *err)
{
    weir_child_t *child = child_new(spec, owner);
    if (child == NULL) {
        weir_error(err, "cannot start %s: out of memory", spec->name);
        return NULL;
    }
    if (child_open(child, spec, stream, err) != WEIR_OK) {
        weir_error_wrap(err, "cannot start %s: ", spec->name);
        child_free(child);
        return NULL;
    }
    weir_list_append(&proc->children->list, &child->node);
    proc->children->count++;
    return child;
}

long child_pid(const weir_child_t *child)
{
    return child->pid;
}

/* ---- stopping ---- */

static void child_wait(weir_child_t *child)
{
    weir_timeouts_t *queue = timers_get(child->stop_timeout_ms);
    if (queue != NULL)
        timer_start(queue, &child->timer);
}

/* What cannot be said to a minder needs not: it has gone, or goes. */
static void child_say(const weir_child_t *child, char word)
{
    (void)send(child->control, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The one place where a child's state changes; it never goes back. */
static void child_move(weir_child_t *child, child_state_t state)
{
    if (state <= child->state)
        return;
    child->state = state;
    timer_stop(&child->timer);
    if (state == CHILD_TERMED)
        child_say(child, MINDER_TERM);
    else if (state == CHILD_KILLED)
        child_say(child, MINDER_KILL);
    if (state != CHILD_KILLED)
        child_wait(child);
}

static void on_stop_timeout(void *arg)
{
    weir_child_t *child = arg;
    log_write(WEIR_LOG_WARN, "%s[%d] goes on %s; it gets %s (stop_timeout: %llu ms)", child->name, (int)child->pid,
              child->state == CHILD_CLOSING ? "after its stdin was closed" : "after SIGTERM",
              child->state == CHILD_CLOSING ? "SIGTERM" : "SIGKILL", (unsigned long long)child->stop_timeout_ms);
    child_move(child, child->state + 1);
}

void child_stop(weir_child_t *child)
{
    child->owner = NULL;
    child_move(child, CHILD_CLOSING);
}

/* ---- all of them ---- */

struct children *children_new(void)
{
    struct children *children = calloc(1, sizeof(*children));
    if (children == NULL)
        return NULL;
    weir_list_init(&children->list);
    children->sweep = (weir_timer_t){.fire = on_sweep, .arg = children};
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        log_write(WEIR_LOG_WARN, "cannot become a subreaper, so a minder that is killed may leave processes behind: %s",
                  strerror(errno));
    return children;
}

void children_free(struct children *children)
{
    if (children == NULL)
        return;
    timer_stop(&children->sweep);
    WEIR_LIST_EACH(&children->list, it)
        child_free(WEIR_CONTAINER(it, weir_child_t, node));
    free(children);
}

size_t children_count(const struct children *children)
{
    return children->count;
}

void children_stop(struct children *children, bool is_hurried)
{
    WEIR_LIST_EACH(&children->list, it)
        child_move(WEIR_CONTAINER(it, weir_child_t, node), is_hurried ? CHILD_KILLED : CHILD_TERMED);
}

void children_on_empty(void (*fn)(void))
{
    proc->children->on_empty = fn;
    children_tell_empty(proc->children);
}
