/* timer.c: the timer queues of a process and its clock.
 *
 * `struct timers` owns the queues; whoever embeds a weir_timer_t owns that one and stops it before its memory goes. A running
 * timer is in exactly one list: its queue's, or that of the turn's end. A zeroed one is in none.
 *
 * The loop has one libev timer, set to the nearest deadline only when that one is nearer than what it is set to: a refresh
 * moves deadlines away, so in steady traffic libev is not called at all, and a timer that comes too early sets itself again.
 */
#include "timer.h"

#include <ev.h>
#include <stdlib.h>
#include <time.h>

#include "proc.h"

struct weir_timeouts {
    struct weir_timeouts *next;
    uint64_t duration_ms;
    weir_list_t running; /* in the order of the deadlines */
};

struct timers {
    struct ev_loop *loop; /* NULL: driven by timers_run() */
    uint64_t now;
    uint64_t now_us;    /* 0: nobody has asked since the event began */
    uint64_t armed_for; /* the deadline that `nearest` is set to; NEVER when it is not running */
    weir_timeouts_t *queues;
    weir_list_t turn_end;
    struct ev_timer nearest;
    struct ev_check turn_begins; /* takes the time right after the loop has waited */
    struct ev_prepare turn_ends; /* before it waits again, and whenever it is fed */
};

#define NEVER UINT64_MAX

uint64_t now_ms(void)
{
    return proc->timers->now;
}

uint64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_us(void)
{
    struct timers *timers = proc->timers;
    if (timers->now_us == 0)
        timers->now_us = clock_us();
    return timers->now_us;
}

void now_passes(void)
{
    proc->timers->now_us = 0;
}

static uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void arm(struct timers *timers, uint64_t deadline)
{
    if (timers->loop == NULL || deadline >= timers->armed_for)
        return;
    timers->armed_for = deadline;
    ev_timer_stop(timers->loop, &timers->nearest);
    /* Half a millisecond more, because the clock above rounds down and the loop must not wake just before the deadline. The
     * libev timer counts from the loop's own time, which was taken at about the same moment as ours. */
    double after = deadline > timers->now ? (double)(deadline - timers->now) / 1000.0 + 0.0005 : 0.0;
    ev_timer_set(&timers->nearest, after, 0.0);
    ev_timer_start(timers->loop, &timers->nearest);
}

static weir_timer_t *first_of(const weir_timeouts_t *queue)
{
    return weir_list_empty(&queue->running) ? NULL : WEIR_CONTAINER(queue->running.next, weir_timer_t, node);
}

static weir_timer_t *nearest_of(const struct timers *timers)
{
    weir_timer_t *nearest = NULL;
    for (weir_timeouts_t *q = timers->queues; q != NULL; q = q->next) {
        weir_timer_t *first = first_of(q);
        if (first != NULL && (nearest == NULL || first->deadline_ms < nearest->deadline_ms))
            nearest = first;
    }
    return nearest;
}

static void fire(weir_timer_t *timer)
{
    timer_stop(timer);
    timer->fire(timer->arg);
}

/* A timer that starts another one with no duration must not keep the loop here for ever: what is started while the due
 * ones fire has a deadline of now at the earliest, and one with duration 0 is left to the next turn. */
static void fire_due(struct timers *timers)
{
    weir_timer_t *timer;
    while ((timer = nearest_of(timers)) != NULL && timer->deadline_ms <= timers->now)
        fire(timer);
    if (timer != NULL)
        arm(timers, timer->deadline_ms);
}

void timers_end_turn(struct timers *timers)
{
    timers->now_us = 0;
    while (!weir_list_empty(&timers->turn_end))
        fire(WEIR_CONTAINER(timers->turn_end.next, weir_timer_t, node));
}

void timers_run(struct timers *timers, uint64_t now)
{
    timers->now = now;
    timers->now_us = 0;
    fire_due(timers);
    timers_end_turn(timers);
}

static void on_nearest(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    struct timers *timers = w->data;
    timers->armed_for = NEVER;
    timers->now_us = 0;
    fire_due(timers);
}

static void on_turn_begins(struct ev_loop *loop, struct ev_check *w, int events)
{
    (void)loop, (void)events;
    struct timers *timers = w->data;
    timers->now = clock_ms();
    timers->now_us = 0;
}

static void on_turn_ends(struct ev_loop *loop, struct ev_prepare *w, int events)
{
    (void)loop, (void)events;
    timers_end_turn(w->data);
}

/* The two that mark the turn do not keep the loop alive. */
static void watch_turns(struct timers *timers, struct ev_loop *loop)
{
    ev_timer_init(&timers->nearest, on_nearest, 0.0, 0.0);
    ev_check_init(&timers->turn_begins, on_turn_begins);
    ev_prepare_init(&timers->turn_ends, on_turn_ends);
    timers->nearest.data = timers->turn_begins.data = timers->turn_ends.data = timers;
    ev_set_priority(&timers->turn_begins, EV_MAXPRI); /* before everything that asks for the time */
    ev_set_priority(&timers->turn_ends, EV_MINPRI);
    ev_check_start(loop, &timers->turn_begins);
    ev_prepare_start(loop, &timers->turn_ends);
    ev_unref(loop);
    ev_unref(loop);
}

struct timers *timers_new(struct ev_loop *loop)
{
    struct timers *timers = calloc(1, sizeof(*timers));
    if (timers == NULL)
        return NULL;
    timers->loop = loop;
    timers->now = clock_ms();
    timers->armed_for = NEVER;
    weir_list_init(&timers->turn_end);
    if (loop != NULL)
        watch_turns(timers, loop);
    return timers;
}

static void forget_all(weir_list_t *list)
{
    WEIR_LIST_EACH(list, it)
        *it = (weir_list_t){NULL, NULL};
}

void timers_free(struct timers *timers)
{
    if (timers == NULL)
        return;
    if (timers->loop != NULL) {
        ev_ref(timers->loop);
        ev_ref(timers->loop);
        ev_timer_stop(timers->loop, &timers->nearest);
        ev_check_stop(timers->loop, &timers->turn_begins);
        ev_prepare_stop(timers->loop, &timers->turn_ends);
    }
    while (timers->queues != NULL) {
        weir_timeouts_t *queue = timers->queues;
        timers->queues = queue->next;
        forget_all(&queue->running);
        free(queue);
    }
    forget_all(&timers->turn_end);
    free(timers);
}

weir_timeouts_t *timers_get(uint64_t duration_ms)
{
    for (weir_timeouts_t *q = proc->timers->queues; q != NULL; q = q->next)
        if (q->duration_ms == duration_ms)
            return q;
    weir_timeouts_t *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return NULL;
    queue->duration_ms = duration_ms;
    weir_list_init(&queue->running);
    queue->next = proc->timers->queues;
    proc->timers->queues = queue;
    return queue;
}

bool timer_is_running(const weir_timer_t *timer)
{
    return timer->node.next != NULL;
}

void timer_start(weir_timeouts_t *queue, weir_timer_t *timer)
{
    timer_stop(timer);
    timer->deadline_ms = proc->timers->now + (queue->duration_ms > 0 ? queue->duration_ms : 1);
    weir_list_append(&queue->running, &timer->node);
    /* Only the first of a queue can be the nearest of all. */
    if (queue->running.next == &timer->node)
        arm(proc->timers, timer->deadline_ms);
}

void timer_stop(weir_timer_t *timer)
{
    if (!timer_is_running(timer))
        return;
    weir_list_remove(&timer->node);
    timer->node = (weir_list_t){NULL, NULL};
}

void timer_at_turn_end(weir_timer_t *timer)
{
    timer_stop(timer);
    struct timers *timers = proc->timers;
    timer->deadline_ms = timers->now;
    weir_list_append(&timers->turn_end, &timer->node);
    /* Its priority is the lowest, so that it comes after everything that is pending now. */
    if (timers->loop != NULL)
        ev_feed_event(timers->loop, &timers->turn_ends, EV_PREPARE);
}
