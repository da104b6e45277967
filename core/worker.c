/* worker.c: a worker: accepts clients, routes, runs chains; holds nothing that must outlive it.
 *
 *   state     event                               next
 *   SERVING   DRAIN                               DRAINING: listeners take nothing new, idle clients may come once more
 *   DRAINING  no client and no exchange is left   leaves
 *   DRAINING  drain_timeout                       streams are ended the way the protocol allows, the rest is cut; leaves
 *   any       STOP                                leaves
 */
#include "worker.h"

#include <ev.h>

#include "accepter.h"
#include "access.h"
#include "admin.h"
#include "channel.h"
#include "exchanges.h"
#include "host.h"
#include "log.h"
#include "modules.h"
#include "postbox.h"
#include "proc.h"
#include "room.h"
#include "stats.h"
#include "stream.h"
#include "timer.h"

#define DRAIN_LOOK_MS 50
#define CUT_LINGER_MS 500

typedef struct worker {
    room_t room;
    struct admin *admin;
    struct ev_prepare turn;
    weir_timer_t look, limit;
} worker_t;

static worker_t *worker_self(void)
{
    return proc->self;
}

static size_t worker_clients(const worker_t *w)
{
    size_t n = 0;
    for (const weir_listener_t *l = w->room.listeners; l != NULL; l = l->next)
        n += listener_clients(l);
    return n;
}

/* Before the loop sleeps: how many clients there are. */
static void on_turn(struct ev_loop *loop, struct ev_prepare *turn, int events)
{
    (void)loop, (void)events;
    stats_set(stats_row(NULL), STATS_CLIENTS, (int64_t)worker_clients(turn->data));
}

static void worker_leave(void *arg)
{
    (void)arg;
    ev_break(proc->loop, EVBREAK_ALL);
}

static void worker_look(void *arg)
{
    worker_t *w = arg;
    if (worker_clients(w) == 0 && exchanges_count() == 0 && streams_leaving() == 0 &&
        (w->admin == NULL || admin_is_idle(w->admin)))
        worker_leave(NULL);
    else
        timer_start(timers_get(DRAIN_LOOK_MS), &w->look);
}

/* The time to drain has run out. What is cut now still has a moment to reach its client. */
static void worker_cut(void *arg)
{
    worker_t *w = arg;
    log_write(WEIR_LOG_NOTICE, "drain_timeout: cutting %zu clients and %zu exchanges", worker_clients(w),
              exchanges_count());
    exchanges_cut();
    for (weir_listener_t *l = w->room.listeners; l != NULL; l = l->next)
        listener_drain(l, true);
    w->limit.fire = worker_leave;
    timer_start(timers_get(CUT_LINGER_MS), &w->limit);
}

static void worker_drain(bool is_followed)
{
    worker_t *w = worker_self();
    if (proc->is_draining)
        return;
    proc->is_draining = true;
    if (w->admin != NULL)
        admin_drain(w->admin, is_followed);
    for (weir_listener_t *l = w->room.listeners; l != NULL; l = l->next)
        listener_drain(l, false);
    timer_start(timers_get(proc->config->drain_timeout_ms), &w->limit);
    timer_start(timers_get(DRAIN_LOOK_MS), &w->look); /* not before the listeners have taken their last clients */
}

static void worker_stop(void)
{
    worker_leave(NULL);
}

static void worker_reopen(void)
{
    weir_error_t err;
    if (proc->access != NULL && access_reopen(proc->access, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "%s", err.text);
}

static void worker_peer(int slot, uint32_t generation, int fd)
{
    weir_error_t err;
    (void)generation;
    if (channel_connect((size_t)slot, fd, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "keeper/%d cannot be reached: %s", slot, err.text);
}

static const process_events_t worker_events = {
    .drain = worker_drain,
    .stop = worker_stop,
    .reopen = worker_reopen,
    .peer = worker_peer,
};

static int worker_accept(worker_t *w, const process_args_t *args, weir_error_t *err)
{
    for (size_t i = 0; i < args->nlistens; i++) {
        weir_listener_t *l = room_listener(&w->room, args->listens[i].listener);
        if (l != NULL && listener_accept(l, args->listens[i].address, args->listens[i].fd, err) != WEIR_OK)
            return WEIR_EFAIL;
    }
    if (args->admin_fd < 0)
        return WEIR_OK;
    w->admin = admin_start(args->admin_fd, err);
    return w->admin == NULL ? WEIR_EFAIL : WEIR_OK;
}

static int worker_set_up(worker_t *w, const process_args_t *args, weir_error_t *err)
{
    proc->self = w;
    w->look = (weir_timer_t){.fire = worker_look, .arg = w};
    w->limit = (weir_timer_t){.fire = worker_cut, .arg = w};
    weir_list_init(&w->look.node);
    weir_list_init(&w->limit.node);
    ev_prepare_init(&w->turn, on_turn);
    w->turn.data = w;
    if (room_enter(args, err) != WEIR_OK)
        return WEIR_EFAIL;
    proc->access = access_open(proc->config, err);
    if (proc->access == NULL && proc->config->access_file != NULL)
        return WEIR_EFAIL;
    if (channels_new(args->peer_fds, args->npeers, &postbox_channel) != WEIR_OK)
        return weir_error(err, "no memory for the channels to the keepers");
    if (room_furnish(&w->room, proc->config, err) != WEIR_OK)
        return WEIR_EFAIL;
    return worker_accept(w, args, err);
}

static void worker_tear_down(worker_t *w)
{
    proc->is_stopping = true;
    if (w->admin != NULL)
        admin_stop(w->admin);
    room_clear(&w->room);
    channels_free();
    postboxes_free();
    access_close(proc->access);
    room_leave();
}

int worker_main(const process_args_t *args)
{
    worker_t w = {0};
    weir_error_t err;
    if (process_enter(args, &worker_events) != WEIR_OK)
        return 1;
    if (worker_set_up(&w, args, &err) != WEIR_OK) {
        log_write(WEIR_LOG_ERROR, "%s", err.text);
        return 1;
    }
    ev_prepare_start(proc->loop, &w.turn);
    room_start(&w.room);
    if (process_ready() != WEIR_OK)
        return 1;
    ev_run(proc->loop, 0);
    worker_tear_down(&w);
    process_leave();
    return 0;
}
