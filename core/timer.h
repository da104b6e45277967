/* timer.h: time-outs. One list per duration: all timers of a list run equally long, so a started one goes to the end and the
 * first one is always the next to fire. Start, refresh and stop are O(1), and the loop has one libev timer for all of them.
 */
#ifndef TIMER_H
#define TIMER_H

#include <stdint.h>
#include <weir/module.h>

struct ev_loop;
struct timers;

/* The timers of a process, to be hung into proc->timers. Without a loop they run when timers_run() is called (tests). */
struct timers *timers_new(struct ev_loop *loop);
void timers_free(struct timers *timers);

/* Milliseconds of the monotonic clock, taken once per turn of the loop. */
uint64_t now_ms(void);

/* Microseconds of the same clock, taken at each call. */
uint64_t clock_us(void);

/* The same, taken once for all that one event brings: of the messages that were read together none is later than another. */
uint64_t now_us(void);
/* Another event is served from here on. */
void now_passes(void);

/* The queue of a duration; made on first use, valid as long as the process. NULL when there is no memory.
 * Meant for durations that stand in the configuration: there may be dozens of different ones, not thousands. */
weir_timeouts_t *timers_get(uint64_t duration_ms);
void timer_start(weir_timeouts_t *queue, weir_timer_t *timer);
void timer_stop(weir_timer_t *timer);
bool timer_is_running(const weir_timer_t *timer);

/* Fire at the end of this turn of the loop, before it waits again: for frees and calls that must not happen inside the
 * callback that asks for them. A timer that asks while this very work runs is served in the same turn too. */
void timer_at_turn_end(weir_timer_t *timer);

/* Do the work of the turn's end now: in a process that is about to leave there will be no other turn. */
void timers_end_turn(struct timers *timers);

/* Set the time and fire what is due, in the order of the deadlines, then the work of the turn's end. */
void timers_run(struct timers *timers, uint64_t now);

#endif
