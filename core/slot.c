/* slot.c: the life of a process as the master sees it. Every change of state goes through slot_move().
 *
 *   state     event                    next      what happens
 *   EMPTY     start                    STARTING  forked; its control channel is watched
 *   STARTING  READY                    READY     the master is told
 *   STARTING  died                     WAITING   the master is told; it may prefer EMPTY (a generation that is given up)
 *   READY     died                     WAITING   the same
 *   WAITING   back-off has passed      STARTING  forked again: 100 ms, doubling to 10 s; 10 s of life make it 100 ms again
 *   WAITING   drain, stop              EMPTY
 *   STARTING  drain                    DRAINING  DRAIN said, its time limit runs
 *   READY     drain                    DRAINING  the same
 *   DRAINING  exited                   EMPTY
 *   DRAINING  time limit               STOPPING  STOP said, a short limit runs
 *   any       stop                     STOPPING  the same
 *   STOPPING  exited                   EMPTY
 *   STOPPING  time limit               STOPPING  SIGKILL
 */
#include "slot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fork.h"
#include "log.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_LAST_MS 10000u
#define BACKOFF_FORGET_SECONDS 10.0

/* Workers have nothing to see to; a keeper takes its children through closed stdin, TERM and KILL. */
#define STOP_SECONDS_WORKER 5.0
#define STOP_SECONDS_KEEPER 15.0

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents);

static const char *state_name(slot_state_t state)
{
    static const char *const names[] = {"empty", "starting", "ready", "draining", "stopping", "waiting"};
    return names[state];
}

static void slot_move(slot_t *slot, slot_state_t state)
{
    log_write(WEIR_LOG_DEBUG, "%s/%d: %s, was %s", slot_kind(slot), slot->index, state_name(state),
              state_name(slot->state));
    slot->state = state;
}

static void timer_set(slot_t *slot, ev_tstamp seconds)
{
    ev_timer_stop(proc->loop, &slot->timer);
    ev_timer_set(&slot->timer, seconds, 0.0);
    ev_now_update(proc->loop); /* the loop's time is old after a fork */
    ev_timer_start(proc->loop, &slot->timer);
}

bool slot_is_alive(const slot_t *slot)
{
    return slot->pid > 0;
}

const char *slot_kind(const slot_t *slot)
{
    return slot->kind == PROC_WORKER ? "worker" : "keeper";
}

static void on_control(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)revents;
    slot_t *slot = w->data;
    control_message_t message;
    int descriptor;
    int rc = control_receive(w->fd, &message, &descriptor);
    if (descriptor >= 0)
        close(descriptor); /* none of ours sends any */
    if (rc == WEIR_ECLOSED)
        ev_io_stop(loop, w); /* it is dying; SIGCHLD says how */
    else if (rc == WEIR_OK && message.word == CONTROL_READY && slot->state == SLOT_STARTING)
        slot_move(slot, SLOT_READY);
    else if (rc == WEIR_OK && (message.word == CONTROL_APPLIED || message.word == CONTROL_FAILED))
        slot->owner->answered(slot, &message);
}

void slot_init(slot_t *slot, const slot_owner_t *owner, struct master *master, proc_kind_t kind, int index)
{
    *slot = (slot_t){.owner = owner, .master = master, .kind = kind, .index = index, .control_fd = -1};
    ev_init(&slot->timer, on_timer);
    ev_init(&slot->control, on_control);
    slot->timer.data = slot->control.data = slot;
}

static void backoff(slot_t *slot, const char *what)
{
    if (ev_time() - slot->started_at >= BACKOFF_FORGET_SECONDS || slot->backoff_ms == 0)
        slot->backoff_ms = BACKOFF_FIRST_MS;
    log_write(WEIR_LOG_ERROR, "%s/%d %s; starting it again in %u ms", slot_kind(slot), slot->index, what,
              slot->backoff_ms);
    timer_set(slot, slot->backoff_ms / 1000.0);
    slot->backoff_ms = slot->backoff_ms * 2 < BACKOFF_LAST_MS ? slot->backoff_ms * 2 : BACKOFF_LAST_MS;
    slot_move(slot, SLOT_WAITING);
}

/* Died, or could not be forked: another one, unless the master gives up. */
static void follow(slot_t *slot, bool was_ready, bool is_clean, const char *how)
{
    if (slot->owner->died(slot, was_ready, how)) {
        backoff(slot, how);
        return;
    }
    /* Somebody told it to end, as he told us: who stops a group of processes stops each of them. */
    log_write(is_clean ? WEIR_LOG_INFO : WEIR_LOG_ERROR, "%s/%d %s", slot_kind(slot), slot->index, how);
    slot_move(slot, SLOT_EMPTY);
}

void slot_start(slot_t *slot)
{
    weir_error_t err;
    slot->started_at = ev_time();
    slot->is_answer_due = slot->is_overdue = false;
    slot_move(slot, SLOT_STARTING);
    if (slot->owner->launch(slot, &err) != WEIR_OK) {
        follow(slot, false, false, err.text);
        return;
    }
    ev_io_set(&slot->control, slot->control_fd, EV_READ);
    ev_io_start(proc->loop, &slot->control);
    log_write(WEIR_LOG_INFO, "%s/%d started (pid %ld, configuration %u)", slot_kind(slot), slot->index, (long)slot->pid,
              slot->started_with);
}

int slot_tell(slot_t *slot, const control_message_t *message, int descriptor)
{
    if (slot->pid == 0)
        return WEIR_ECLOSED;
    int rc = control_send(slot->control_fd, message, descriptor);
    if (rc == WEIR_EAGAIN) {
        log_write(WEIR_LOG_ERROR, "%s/%d (pid %ld) does not listen to its master; killing it", slot_kind(slot),
                  slot->index, (long)slot->pid);
        slot_kill(slot);
    }
    return rc;
}

int slot_say(slot_t *slot, control_word_t word)
{
    const control_message_t message = {.word = word, .slot = slot->index};
    return slot_tell(slot, &message, -1);
}

void slot_drain(slot_t *slot, ev_tstamp limit, uint32_t next)
{
    const control_message_t message = {.word = CONTROL_DRAIN, .slot = slot->index, .generation = next};
    if (slot->state == SLOT_WAITING) {
        ev_timer_stop(proc->loop, &slot->timer);
        slot_move(slot, SLOT_EMPTY);
    } else if (slot->state == SLOT_STARTING || slot->state == SLOT_READY) {
        slot_move(slot, SLOT_DRAINING);
        timer_set(slot, limit);
        (void)slot_tell(slot, &message, -1); /* one that cannot hear it is dying */
    }
}

void slot_stop(slot_t *slot)
{
    if (slot->state == SLOT_EMPTY || slot->state == SLOT_STOPPING)
        return;
    ev_timer_stop(proc->loop, &slot->timer);
    if (slot->state == SLOT_WAITING) {
        slot_move(slot, SLOT_EMPTY);
        return;
    }
    slot_move(slot, SLOT_STOPPING);
    timer_set(slot, slot->kind == PROC_WORKER ? STOP_SECONDS_WORKER : STOP_SECONDS_KEEPER);
    (void)slot_say(slot, CONTROL_STOP); /* likewise */
}

void slot_kill(slot_t *slot)
{
    if (slot->pid > 0)
        (void)kill(slot->pid, SIGKILL); /* cannot fail: it is ours, and not waited for yet */
    slot->is_overdue = true;
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    slot_t *slot = w->data;
    if (slot->state == SLOT_WAITING) {
        slot_start(slot);
    } else if (slot->state == SLOT_DRAINING) {
        log_write(WEIR_LOG_WARN, "%s/%d (pid %ld) is still draining; stopping it", slot_kind(slot), slot->index,
                  (long)slot->pid);
        slot_stop(slot);
    } else if (slot->state == SLOT_STOPPING) {
        log_write(WEIR_LOG_ERROR, "%s/%d (pid %ld) does not stop; killing it", slot_kind(slot), slot->index,
                  (long)slot->pid);
        slot_kill(slot);
    }
}

void slot_reaped(slot_t *slot, int status)
{
    char how[96], what[160];
    fork_status(status, how, sizeof(how));
    snprintf(what, sizeof(what), "(pid %ld) %s", (long)slot->pid, how);
    ev_io_stop(proc->loop, &slot->control);
    ev_timer_stop(proc->loop, &slot->timer);
    close(slot->control_fd);
    slot->control_fd = -1;
    slot->pid = 0;
    slot->is_answer_due = false;
    if (slot->state == SLOT_STARTING || slot->state == SLOT_READY) {
        follow(slot, slot->state == SLOT_READY, status == 0, what);
        return;
    }
    if (status != 0 && !slot->is_overdue)
        log_write(WEIR_LOG_ERROR, "%s/%d %s while it was ending", slot_kind(slot), slot->index, what);
    slot_move(slot, SLOT_EMPTY);
}
