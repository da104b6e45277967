/* process.c: the part that workers and keepers share: a loop of their own, a log, timers, signals, and an ear for the master.
 *
 * Owns process_t, whose first member is what `proc` points to, from process_enter() to process_leave().
 *
 *   what happens                    worker                       keeper
 *   STOP, SIGTERM                   events->stop                 events->stop
 *   DRAIN, SIGQUIT                  events->drain                events->drain
 *   REOPEN                          log again, events->reopen    log again, events->reopen
 *   PEER                            events->peer                 events->peer
 *   CONFIG                          -                            events->config, then APPLIED or FAILED
 *   the master died                 killed (PR_SET_PDEATHSIG)    control channel ends: events->master_gone
 *   SIGINT, SIGHUP, SIGUSR1/2       nothing: a terminal sends Ctrl-C to all of us, and the master says what it means
 */
#include "process.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "control.h"
#include "log.h"
#include "proc.h"
#include "resolve.h"
#include "stats.h"
#include "stream.h"
#include "timer.h"
#include "tls.h"
#include "user.h"

/* Unused buffers that a process keeps: 4 MiB of them. */
#define BUFS_KEPT 256

typedef struct process {
    proc_t proc; /* first: proc_of */
    const process_args_t *args;
    const process_events_t *events;
    struct ev_io control;
    struct ev_signal term, quit;
    bool is_unprivileged;
} process_t;

static process_t *process_self(void)
{
    return WEIR_CONTAINER(proc, process_t, proc);
}

static void leave_loop(void)
{
    ev_break(proc->loop, EVBREAK_ALL);
}

static void call_or(void (*callback)(void), void (*otherwise)(void))
{
    if (callback != NULL)
        callback();
    else if (otherwise != NULL)
        otherwise();
}

static void drain(const process_events_t *events, bool is_followed)
{
    if (events->drain != NULL)
        events->drain(is_followed);
}

static void on_term(struct ev_loop *loop, struct ev_signal *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    call_or(process_self()->events->stop, leave_loop);
}

static void on_quit(struct ev_loop *loop, struct ev_signal *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    drain(process_self()->events, false);
}

static void reopen(const process_events_t *events)
{
    weir_error_t err;
    if (log_reopen(proc->log, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s; the old file stays in use", err.text);
    call_or(events->reopen, NULL);
}

static void say(control_word_t word, uint32_t generation, const char *text)
{
    process_t *self = process_self();
    control_message_t message = {.word = word, .slot = self->args->slot, .generation = generation};
    if (text != NULL)
        snprintf(message.text, sizeof(message.text), "%s", text);
    if (control_send(self->args->control_fd, &message, -1) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "cannot talk to the master: %s", strerror(errno));
}

/* The whole text of a configuration, NUL-terminated; the caller frees it. */
static char *text_read(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    size_t size = (size_t)st.st_size, have = 0;
    char *text = malloc(size + 1);
    while (text != NULL && have < size) {
        ssize_t n = pread(fd, text + have, size - have, (off_t)have);
        if (n <= 0 && errno != EINTR) {
            free(text);
            return NULL;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    if (text != NULL)
        text[size] = '\0';
    return text;
}

static int config_apply(const process_events_t *events, const control_message_t *message, int descriptor,
                        weir_error_t *err)
{
    if (events->config == NULL)
        return WEIR_OK;
    char *text = descriptor < 0 ? NULL : text_read(descriptor);
    if (text == NULL)
        return weir_error(err, "cannot read the configuration that the master sent: %s", strerror(errno));
    int rc = events->config(text, message->text, message->generation, err);
    free(text);
    return rc;
}

static void on_config(const process_events_t *events, const control_message_t *message, int descriptor)
{
    weir_error_t err = {""};
    if (config_apply(events, message, descriptor, &err) == WEIR_OK)
        say(CONTROL_APPLIED, message->generation, NULL);
    else
        say(CONTROL_FAILED, message->generation, err.text);
}

/* Act on one message; the descriptor that came with it is given away or closed. */
static void on_message(const process_events_t *events, const control_message_t *message, int descriptor)
{
    switch ((control_word_t)message->word) {
    case CONTROL_DRAIN:
        drain(events, message->generation != 0);
        break;
    case CONTROL_STOP:
        call_or(events->stop, leave_loop);
        break;
    case CONTROL_REOPEN:
        reopen(events);
        break;
    case CONTROL_CONFIG:
        on_config(events, message, descriptor);
        break;
    case CONTROL_PEER:
        if (events->peer == NULL || descriptor < 0)
            break;
        events->peer(message->slot, message->generation, descriptor);
        return;
    case CONTROL_READY:
    case CONTROL_APPLIED:
    case CONTROL_FAILED:
        break; /* only ever said to the master */
    }
    if (descriptor >= 0)
        close(descriptor);
}

static void on_control(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)revents;
    process_t *self = process_self();
    control_message_t message;
    int descriptor;
    int rc = control_receive(w->fd, &message, &descriptor);
    if (rc == WEIR_OK) {
        on_message(self->events, &message, descriptor);
    } else if (rc == WEIR_ECLOSED) {
        ev_io_stop(loop, w);
        log_write(WEIR_LOG_ERROR, "the master has gone; leaving");
        call_or(self->events->master_gone, leave_loop);
    }
}

static void on_ignored_signal(int number)
{
    (void)number;
}

/* A handler that does nothing, and not SIG_IGN: what is ignored stays ignored in the programs we start. SIGPIPE is the exception
 * that has to be: children give it back themselves. */
static int signals_set(process_t *self)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    struct sigaction nothing = {.sa_handler = on_ignored_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        if (sigaction(ignored[i], &nothing, NULL) != 0)
            return WEIR_EFAIL;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return WEIR_EFAIL;
    ev_signal_init(&self->term, on_term, SIGTERM);
    ev_signal_init(&self->quit, on_quit, SIGQUIT);
    ev_signal_start(self->proc.loop, &self->term);
    ev_signal_start(self->proc.loop, &self->quit);
    ev_unref(self->proc.loop);
    ev_unref(self->proc.loop);
    return WEIR_OK;
}

/* A worker holds nothing that must outlive it: the kernel may end it with its master. Asked for again after every change of the
 * user, which makes the kernel forget it. */
static int follow_master(const process_t *self, weir_error_t *err)
{
    if (self->proc.kind == PROC_WORKER && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return weir_error(err, "cannot ask to be ended with the master: %s", strerror(errno));
    return WEIR_OK;
}

static int process_equip(process_t *self, weir_error_t *err)
{
    self->proc.loop = ev_loop_new(EVFLAG_AUTO);
    if (self->proc.loop == NULL)
        return weir_error(err, "cannot make an event loop: %s", strerror(errno));
    self->proc.timers = timers_new(self->proc.loop);
    self->proc.bufs = bufs_new(BUFS_KEPT);
    if (self->proc.timers == NULL || self->proc.bufs == NULL)
        return weir_error(err, "out of memory");
    if (signals_set(self) != WEIR_OK)
        return weir_error(err, "cannot set signals: %s", strerror(errno));
    ev_io_init(&self->control, on_control, self->args->control_fd, EV_READ);
    ev_io_start(self->proc.loop, &self->control); /* keeps ev_run() from returning when there is nothing to do */
    return follow_master(self, err);
}

int process_enter(const process_args_t *args, const process_events_t *events)
{
    process_t *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        log_write(WEIR_LOG_ERROR, "out of memory");
        return WEIR_EFAIL;
    }
    self->proc = *proc; /* the kind, the slot, the generation and the open log, set at the fork */
    self->proc.config = args->config;
    self->args = args;
    self->events = events;
    proc = &self->proc;
    weir_error_t err;
    if (process_equip(self, &err) == WEIR_OK)
        return WEIR_OK;
    log_write(WEIR_LOG_ERROR, "%s", err.text);
    return WEIR_EFAIL;
}

/* Root is given up by workers always, by keepers unless a server is to run as somebody else. */
static bool is_root_needed(const process_t *self)
{
    return self->proc.kind == PROC_KEEPER && config_needs_root(self->proc.config);
}

int process_drop(weir_error_t *err)
{
    process_t *self = process_self();
    const char *name = self->proc.config->user;
    if (self->is_unprivileged || name == NULL || geteuid() != 0 || is_root_needed(self))
        return WEIR_OK;
    user_t user;
    if (user_find(name, &user, err) != WEIR_OK || user_become(&user, err) != WEIR_OK)
        return WEIR_EFAIL;
    self->is_unprivileged = true;
    return follow_master(self, err);
}

int process_ready(void)
{
    weir_error_t err;
    if (process_drop(&err) != WEIR_OK) {
        log_write(WEIR_LOG_ERROR, "%s", err.text);
        return WEIR_EFAIL;
    }
    say(CONTROL_READY, proc->generation, NULL);
    return WEIR_OK;
}

void process_leave(void)
{
    process_t *self = process_self();
    ev_io_stop(proc->loop, &self->control);
    ev_ref(proc->loop);
    ev_ref(proc->loop);
    ev_signal_stop(proc->loop, &self->term);
    ev_signal_stop(proc->loop, &self->quit);
    streams_drop();
    resolver_free(proc->resolver);
    tls_free(proc->tls);
    timers_free(proc->timers);
    bufs_free(proc->bufs);
    ev_loop_destroy(proc->loop);
    close(self->args->control_fd);
    log_close(proc->log);
    proc = NULL;
    free(self);
}
