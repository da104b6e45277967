/* change.c: from one configuration to the next, and from none to the first.
 *
 *   state     event                                   next      what happens
 *   NONE      start, SIGHUP                           TRYING    read and parsed; the trial starts
 *   TRYING    the trial says yes                      APPLYING  sockets opened; keepers get CONFIG
 *   TRYING    the same, at the first start            STARTING  sockets opened; keepers and workers start
 *   APPLYING  all keepers have said APPLIED           STARTING  workers of the new generation start
 *   STARTING  all have said READY                     NONE      in force: the old workers get DRAIN, unused sockets close
 *   any       an error, a death, a time limit         NONE      undone: new workers stop, keepers get the old CONFIG, new
 *                                                               sockets close. At the first start: weir ends, status 1
 *   any       SIGHUP                                  same      remembered; begins when this one is over
 *
 * A failure is noted by change_fail() wherever it is seen, and acted on in change_settle() alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "master.h"

/* How long keepers may take to apply a configuration, and workers to become ready. */
#define APPLY_SECONDS 30.0
#define READY_SECONDS 60.0

/* What a draining worker gets beyond drain_timeout to cut what is left. */
#define DRAIN_GRACE_SECONDS 5.0

static void on_answered(slot_t *keeper, const control_message_t *message);
static bool on_died(slot_t *slot, bool was_ready, const char *how);

static const slot_owner_t slot_owner = {.launch = launch, .answered = on_answered, .died = on_died};

static void limit_set(master_t *master, ev_tstamp seconds)
{
    ev_timer_stop(master->proc.loop, &master->change_limit);
    ev_timer_set(&master->change_limit, seconds, 0.0);
    ev_timer_start(master->proc.loop, &master->change_limit);
}

void change_fail(master_t *master, const char *why)
{
    if (master->change != CHANGE_NONE && master->change_error.text[0] == '\0')
        snprintf(master->change_error.text, sizeof(master->change_error.text), "%.*s", WEIR_ERROR_MAX - 1, why);
}

/* --- TRYING --- */

static void keepers_apply(master_t *master)
{
    master->change = CHANGE_APPLYING;
    limit_set(master, APPLY_SECONDS);
    for (size_t i = 0; i < master->nkeepers; i++)
        if (slot_is_alive(&master->keepers[i]) && launch_config(&master->keepers[i], master->coming) == WEIR_EFAIL)
            change_fail(master, "cannot send the configuration to a keeper");
}

static int keepers_start(master_t *master, weir_error_t *err)
{
    master->nkeepers = (size_t)master->coming->config->keepers;
    master->keepers = calloc(master->nkeepers, sizeof(*master->keepers));
    if (master->keepers == NULL)
        return weir_error(err, "out of memory");
    for (size_t i = 0; i < master->nkeepers; i++)
        slot_init(&master->keepers[i], &slot_owner, master, PROC_KEEPER, (int)i);
    for (size_t i = 0; i < master->nkeepers; i++)
        slot_start(&master->keepers[i]);
    return WEIR_OK;
}

static void workers_start(master_t *master)
{
    master->change = CHANGE_STARTING;
    limit_set(master, READY_SECONDS);
    for (size_t i = 0; i < master->coming->nworkers; i++)
        slot_start(&master->coming->workers[i]);
}

static int change_tried(master_t *master, weir_error_t *err)
{
    generation_t *coming = master->coming;
    if (master_give_logs(coming->config, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (master->current == NULL && master_log(master, coming->config, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (sockets_open(&master->sockets, coming->config, coming->nworkers, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (master->current != NULL) {
        keepers_apply(master);
        return WEIR_OK;
    }
    if (keepers_start(master, err) != WEIR_OK)
        return WEIR_EFAIL;
    workers_start(master);
    return WEIR_OK;
}

static void tryout_over(master_t *master, bool is_late)
{
    weir_error_t err = {""};
    ev_io_stop(master->proc.loop, &master->tryout_answer);
    ev_timer_stop(master->proc.loop, &master->change_limit);
    if (tryout_finish(&master->tryout, is_late, &err) != WEIR_OK || change_tried(master, &err) != WEIR_OK)
        change_fail(master, err.text);
}

static void on_tryout_answer(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop, (void)revents;
    tryout_over(w->data, false);
}

static void on_limit(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    master_t *master = w->data;
    if (master->change == CHANGE_TRYING)
        tryout_over(master, true);
    else if (master->change == CHANGE_APPLYING)
        change_fail(master, "a keeper did not apply the configuration in time");
    else
        change_fail(master, "the processes were not ready in time");
}

static int change_try(master_t *master, weir_error_t *err)
{
    master->coming = generation_new(master, &slot_owner, err);
    if (master->coming == NULL || tryout_start(&master->tryout, master->coming->config, err) != WEIR_OK)
        return WEIR_EFAIL;
    ev_io_init(&master->tryout_answer, on_tryout_answer, master->tryout.fd, EV_READ);
    ev_timer_init(&master->change_limit, on_limit, 0.0, 0.0);
    master->tryout_answer.data = master->change_limit.data = master;
    ev_io_start(master->proc.loop, &master->tryout_answer);
    limit_set(master, TRYOUT_SECONDS);
    return WEIR_OK;
}

void change_begin(master_t *master)
{
    if (master->change != CHANGE_NONE) {
        master->is_change_due = true;
        return;
    }
    weir_error_t err = {""};
    master->is_change_due = false;
    master->change = CHANGE_TRYING;
    master->change_error.text[0] = '\0';
    if (change_try(master, &err) != WEIR_OK)
        change_fail(master, err.text);
}

/* --- APPLYING --- */

static void on_answered(slot_t *keeper, const control_message_t *message)
{
    master_t *master = keeper->master;
    if (master->coming == NULL || message->generation != master->coming->number)
        return; /* of a change that was given up */
    keeper->is_answer_due = false;
    if (message->word == CONTROL_FAILED)
        change_fail(master, message->text);
}

static bool is_answer_due(const master_t *master)
{
    for (size_t i = 0; i < master->nkeepers; i++)
        if (master->keepers[i].is_answer_due)
            return true;
    return false;
}

/* Whether to start another one. A generation that has not come yet is given up instead, one that has left needs none. */
static bool on_died(slot_t *slot, bool was_ready, const char *how)
{
    master_t *master = slot->master;
    if (master->ending != ENDING_NOT)
        return false;
    bool is_first = master->current == NULL;
    bool is_coming = slot->generation != NULL && slot->generation == master->coming;
    if (master->change == CHANGE_STARTING && !was_ready && (is_coming || is_first)) {
        char why[WEIR_ERROR_MAX];
        snprintf(why, sizeof(why), "%s/%d %s before it was ready", slot_kind(slot), slot->index, how);
        change_fail(master, why);
        return false;
    }
    return slot->generation == NULL || is_coming || slot->generation == master->current;
}

/* --- STARTING --- */

static bool slots_are_ready(const slot_t *slots, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i].state != SLOT_READY)
            return false;
    return true;
}

static bool is_all_ready(const master_t *master)
{
    bool is_first = master->current == NULL;
    return slots_are_ready(master->coming->workers, master->coming->nworkers) && !is_answer_due(master) &&
           (!is_first || slots_are_ready(master->keepers, master->nkeepers));
}

/* The new configuration's log becomes the master's own; the old one stays when that fails. */
static void log_change(master_t *master)
{
    weir_error_t err;
    if (master_log(master, master->coming->config, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s; the old log stays in use", err.text);
}

static void generation_drain(generation_t *generation, uint32_t next)
{
    for (size_t i = 0; i < generation->nworkers; i++)
        slot_drain(&generation->workers[i], generation->config->drain_timeout_ms / 1000.0 + DRAIN_GRACE_SECONDS, next);
}

static void keepers_say(const master_t *master, const config_t *before)
{
    const config_t *config = master->current->config;
    const char *was = before == NULL || before->user == NULL ? "" : before->user;
    const char *is = config->user == NULL ? "" : config->user;
    if (before != NULL && strcmp(was, is) != 0)
        log_write(WEIR_LOG_WARN, "user: workers are '%s' from now on; keepers stay what they are until the next start",
                  is);
    if ((size_t)config->keepers != master->nkeepers)
        log_write(WEIR_LOG_WARN, "keepers: %zu run, as at the start; the configured %zu come with the next one",
                  master->nkeepers, (size_t)config->keepers);
}

static void ready_say(const master_t *master, const config_t *before)
{
    const generation_t *current = master->current;
    keepers_say(master, before);
    log_write(WEIR_LOG_NOTICE, "ready: %zu workers, %zu keepers (configuration %u)", current->nworkers,
              master->nkeepers, current->number);
}

static void ready_first(const master_t *master)
{
    const master_options_t *options = master->options;
    if (options->is_daemon && master_logs_to_stderr(master->current->config))
        log_write(WEIR_LOG_WARN, "log: nothing is logged from now on: a daemon has no stderr; give it a file");
    if (options->is_daemon && daemon_ready() != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "cannot let go of stderr: %s", strerror(errno));
    if (options->on_ready != NULL)
        options->on_ready(options->arg, sockets_first(&master->sockets));
}

static void change_commit(master_t *master)
{
    weir_error_t err;
    generation_t *old = master->current;
    master->change = CHANGE_NONE;
    ev_timer_stop(master->proc.loop, &master->change_limit);
    if (old != NULL)
        log_change(master);
    sockets_commit(&master->sockets);
    if (master_pid_file(master, master->coming->config, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s", err.text);
    master->current = master->coming;
    master->coming = NULL;
    master->proc.config = master->current->config;
    master->proc.generation = master->current->number;
    if (old != NULL)
        generation_drain(old, master->current->number);
    ready_say(master, old == NULL ? NULL : old->config);
    if (old == NULL)
        ready_first(master);
}

/* --- undone --- */

static void generation_give_up(generation_t *generation)
{
    for (size_t i = 0; i < generation->nworkers; i++)
        slot_stop(&generation->workers[i]);
}

static void keepers_restore(master_t *master)
{
    for (size_t i = 0; i < master->nkeepers; i++) {
        slot_t *keeper = &master->keepers[i];
        if (slot_is_alive(keeper) && launch_config(keeper, master->current) != WEIR_OK)
            log_write(WEIR_LOG_ERROR, "keeper/%d cannot be told to go back to the old configuration", keeper->index);
        keeper->is_answer_due = false; /* nothing depends on it */
    }
}

void change_abort(master_t *master)
{
    change_state_t reached = master->change;
    master->change = CHANGE_NONE;
    master->change_error.text[0] = '\0';
    if (reached == CHANGE_NONE)
        return;
    if (master->tryout.pid > 0) {
        ev_io_stop(master->proc.loop, &master->tryout_answer);
        (void)tryout_finish(&master->tryout, true, NULL); /* whatever it says, nobody wants to know any more */
    }
    ev_timer_stop(master->proc.loop, &master->change_limit);
    if (reached != CHANGE_TRYING)
        sockets_rollback(&master->sockets);
    if (reached != CHANGE_TRYING && master->current != NULL)
        keepers_restore(master);
    if (master->coming != NULL)
        generation_give_up(master->coming);
    master->coming = NULL;
}

/* The first start failed: whoever started us looks at stderr, and not into the log. */
static void start_failed(master_t *master)
{
    if (master->proc.log != NULL && !master_logs_to_stderr(master->coming->config))
        log_write(WEIR_LOG_ERROR, "%s", master->change_error.text);
    fprintf(stderr, "weir: %s\n", master->change_error.text);
    master->status = EXIT_FAILURE;
    master->ending = ENDING_STOP;
}

static void change_undo(master_t *master)
{
    if (master->current == NULL) {
        start_failed(master);
    } else {
        log_write(WEIR_LOG_ERROR, "%s", master->change_error.text);
        log_write(WEIR_LOG_ERROR, "reload failed; configuration %u goes on serving", master->current->number);
    }
    change_abort(master);
}

bool change_settle(master_t *master)
{
    if (master->change_error.text[0] != '\0')
        change_undo(master);
    else if (master->change == CHANGE_APPLYING && !is_answer_due(master))
        workers_start(master);
    else if (master->change == CHANGE_STARTING && is_all_ready(master))
        change_commit(master);
    else if (master->change == CHANGE_NONE && master->is_change_due && master->ending == ENDING_NOT)
        change_begin(master);
    else
        return false;
    return true;
}
