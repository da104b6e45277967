/* master.c: signals in, processes watched, and the end.
 *
 *   signal             what happens
 *   HUP                change to what the configuration says now (change.c)
 *   QUIT               sockets close, workers drain, then keepers stop, then we leave
 *   TERM, INT          sockets close, workers stop, then keepers stop, then we leave
 *   INT, once more     all are killed, and we leave
 *   USR1               logs are opened again everywhere
 *   USR2               not supported yet
 *   CHLD               the dead are waited for and their slots told
 *
 * Signals are read from a descriptor, so that nothing of them has to be undone in a forked child. What follows from several
 * events together is found out in on_settle(), once in every turn of the loop, and nowhere else.
 *
 * The master is the reaper of what its keepers leave behind (PR_SET_CHILD_SUBREAPER): when a keeper was killed, the orphans come
 * to us, and are ended too (strays.h). It may also be pid 1 of a container.
 */
#include "master.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "nofile.h"
#include "pidfile.h"
#include "stats.h"
#include "strays.h"
#include "user.h"

/* How long what a keeper left behind may take to end by itself; and how long the killed may take to die, at the very end. */
#define STRAYS_PATIENCE_SECONDS 1.0
#define STRAYS_SECONDS 4.0

static void slots_each(slot_t *slots, size_t n, void (*act)(slot_t *))
{
    for (size_t i = 0; i < n; i++)
        act(&slots[i]);
}

static void workers_each(master_t *master, void (*act)(slot_t *))
{
    WEIR_LIST_EACH(&master->generations, node)
        slots_each(generation_of(node)->workers, generation_of(node)->nworkers, act);
}

static void processes_each(master_t *master, void (*act)(slot_t *))
{
    workers_each(master, act);
    slots_each(master->keepers, master->nkeepers, act);
}

static slot_t *slot_find(slot_t *slots, size_t n, pid_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i].pid == pid)
            return &slots[i];
    return NULL;
}

static slot_t *process_find(master_t *master, pid_t pid)
{
    slot_t *found = slot_find(master->keepers, master->nkeepers, pid);
    WEIR_LIST_EACH(&master->generations, node)
        if (found == NULL)
            found = slot_find(generation_of(node)->workers, generation_of(node)->nworkers, pid);
    return found;
}

/* --- processes --- */

static bool is_ours(void *arg, pid_t pid)
{
    master_t *master = arg;
    return process_find(master, pid) != NULL || pid == master->tryout.pid;
}

/* Looked for when something died that may have left something behind, and as long as there is any. */
static size_t strays_end(master_t *master)
{
    size_t n = strays_signal(master->strangers, is_ours, master, master->is_patience_over ? SIGKILL : SIGTERM);
    if (n == 0) {
        ev_timer_stop(master->proc.loop, &master->strays_patience);
        master->is_patience_over = false;
    } else if (!ev_is_active(&master->strays_patience)) {
        ev_timer_again(master->proc.loop, &master->strays_patience);
    }
    return n;
}

static void on_strays_patience(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    master_t *master = w->data;
    master->is_patience_over = true;
    (void)strays_end(master);
}

static void reaped(master_t *master, pid_t pid, int status)
{
    slot_t *slot = process_find(master, pid);
    if (tryout_reaped(&master->tryout, pid, status))
        return;
    if (master->proc.stats != NULL)
        stats_fold(master->proc.stats, pid);
    if (slot == NULL || slot->kind == PROC_KEEPER)
        (void)strays_end(master); /* the next SIGCHLD looks again */
    if (slot != NULL)
        slot_reaped(slot, status);
}

static void on_children(master_t *master)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reaped(master, pid, status);
}

/* --- the end --- */

static void drain_to_quit(slot_t *worker)
{
    const config_t *config = worker->generation->config;
    slot_drain(worker, config->drain_timeout_ms / 1000.0 + 5.0, 0);
}

static void ending_begin(master_t *master, ending_t ending)
{
    if (ending <= master->ending)
        return;
    log_write(WEIR_LOG_NOTICE, ending == ENDING_QUIT   ? "draining, then leaving"
                               : ending == ENDING_STOP ? "stopping"
                                                       : "killing all processes");
    master->ending = ending;
    change_abort(master);
    sockets_close(&master->sockets);
    if (ending == ENDING_QUIT)
        workers_each(master, drain_to_quit);
    else if (ending == ENDING_STOP)
        workers_each(master, slot_stop);
    else
        processes_each(master, slot_kill);
}

static bool is_over(const slot_t *slots, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i].state != SLOT_EMPTY)
            return false;
    return true;
}

static void on_strays_limit(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    (void)w, (void)revents;
    log_write(WEIR_LOG_ERROR, "leaving behind processes that do not die when killed");
    ev_break(loop, EVBREAK_ALL);
}

/* All of ours are gone: what they left behind must go before us, since nobody would look for it after. */
static void strays_settle(master_t *master)
{
    if (strays_end(master) == 0)
        ev_break(master->proc.loop, EVBREAK_ALL);
    else if (!ev_is_active(&master->strays_limit))
        ev_timer_start(master->proc.loop, &master->strays_limit);
}

static void ending_settle(master_t *master)
{
    if (!weir_list_empty(&master->generations))
        return;
    slots_each(master->keepers, master->nkeepers, slot_stop);
    if (is_over(master->keepers, master->nkeepers))
        strays_settle(master);
}

/* --- turns of the loop --- */

static void generations_sweep(master_t *master)
{
    WEIR_LIST_EACH(&master->generations, node) {
        generation_t *generation = generation_of(node);
        bool is_used = master->ending == ENDING_NOT && (generation == master->current || generation == master->coming);
        if (!is_used && generation_is_empty(generation)) {
            if (generation == master->current) {
                master->current = NULL;
                master->proc.config = NULL;
            }
            generation_free(generation);
        }
    }
}

static void on_settle(struct ev_loop *loop, struct ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    master_t *master = w->data;
    while (change_settle(master))
        ;
    generations_sweep(master);
    if (master->ending != ENDING_NOT)
        ending_settle(master);
}

static void slot_reopen(slot_t *slot)
{
    (void)slot_say(slot, CONTROL_REOPEN); /* a process that is down opens its logs when it starts */
}

/* First we, who may make files, then those who may only open them. */
static void logs_reopen(master_t *master)
{
    weir_error_t err;
    if (log_reopen(master->proc.log, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s; the old file stays in use", err.text);
    if (master->proc.config != NULL && master_give_logs(master->proc.config, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s", err.text);
    processes_each(master, slot_reopen);
}

static void on_signal(master_t *master, int number)
{
    switch (number) {
    case SIGCHLD:
        on_children(master);
        break;
    case SIGHUP:
        log_write(WEIR_LOG_NOTICE, "SIGHUP: reading the configuration again");
        if (master->ending == ENDING_NOT)
            change_begin(master);
        break;
    case SIGQUIT:
        ending_begin(master, ENDING_QUIT);
        break;
    case SIGTERM:
        ending_begin(master, ENDING_STOP);
        break;
    case SIGINT:
        ending_begin(master, master->ending >= ENDING_STOP ? ENDING_KILL : ENDING_STOP);
        break;
    case SIGUSR1:
        logs_reopen(master);
        break;
    default:
        log_write(WEIR_LOG_WARN, "SIGUSR2: an upgrade of the running program is not supported yet");
    }
}

static void on_signals(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop, (void)revents;
    master_t *master = w->data;
    struct signalfd_siginfo info;
    while (read(w->fd, &info, sizeof(info)) == sizeof(info))
        on_signal(master, (int)info.ssi_signo);
}

/* --- start --- */

static int signals_watch(master_t *master, weir_error_t *err)
{
    static const int numbers[] = {SIGCHLD, SIGHUP, SIGQUIT, SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(&set, numbers[i]);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return weir_error(err, "cannot set signals: %s", strerror(errno));
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (master->signal_fd < 0)
        return weir_error(err, "cannot watch signals: %s", strerror(errno));
    ev_io_init(&master->signals, on_signals, master->signal_fd, EV_READ);
    ev_prepare_init(&master->settle, on_settle);
    ev_timer_init(&master->strays_limit, on_strays_limit, STRAYS_SECONDS, 0.0);
    ev_timer_init(&master->strays_patience, on_strays_patience, 0.0, STRAYS_PATIENCE_SECONDS);
    master->signals.data = master->settle.data = master->strays_patience.data = master;
    ev_io_start(master->proc.loop, &master->signals);
    ev_prepare_start(master->proc.loop, &master->settle);
    return WEIR_OK;
}

static int master_equip(master_t *master, weir_error_t *err)
{
    nofile_raise();
    master->proc.loop = ev_loop_new(EVFLAG_AUTO);
    if (master->proc.loop == NULL)
        return weir_error(err, "cannot make an event loop: %s", strerror(errno));
    master->shared =
        mmap(NULL, PROCESS_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (master->shared == MAP_FAILED)
        return weir_error(err, "cannot make shared memory: %s", strerror(errno));
    master->proc.stats = stats_attach(master->shared, PROCESS_SHARED_SIZE);
    if (getrandom(master->seed, sizeof(master->seed), 0) != (ssize_t)sizeof(master->seed))
        return weir_error(err, "cannot get random bytes: %s", strerror(errno));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return weir_error(err, "cannot become the reaper of orphans: %s", strerror(errno));
    if ((master->strangers = strays_list()) == NULL)
        return weir_error(err, "cannot list our children: %s", strerror(errno));
    return signals_watch(master, err);
}

static void master_release(master_t *master)
{
    WEIR_LIST_EACH(&master->generations, node)
        generation_free(generation_of(node));
    sockets_close(&master->sockets);
    if (master->pid_file != NULL)
        pidfile_remove(master->pid_file);
    free(master->pid_file);
    free(master->keepers);
    free(master->strangers);
    if (master->signal_fd >= 0)
        close(master->signal_fd);
    if (master->shared != NULL && master->shared != MAP_FAILED)
        munmap(master->shared, PROCESS_SHARED_SIZE);
    if (master->proc.loop != NULL)
        ev_loop_destroy(master->proc.loop);
    log_close(master->proc.log);
    proc = NULL;
}

int master_run(const master_options_t *options)
{
    master_t master = {.proc = {.kind = PROC_MASTER}, .options = options, .signal_fd = -1, .tryout = {.fd = -1}};
    weir_error_t err = {""};
    weir_list_init(&master.generations);
    sockets_init(&master.sockets);
    proc = &master.proc;
    if (master_equip(&master, &err) == WEIR_OK) {
        change_begin(&master);
        ev_run(master.proc.loop, 0);
        if (master.status == EXIT_SUCCESS)
            log_write(WEIR_LOG_NOTICE, "weir has left");
    } else {
        log_write(WEIR_LOG_ERROR, "%s", err.text);
        master.status = EXIT_FAILURE;
    }
    master_release(&master);
    return master.status;
}
