/* loop.h: a process around a test: loop, timers, buffers. A test that waits says for what, and a watchdog ends it. */
#ifndef T_LOOP_H
#define T_LOOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "proc.h"
#include "resolve.h"
#include "timer.h"
#include "tls.h"

#define WATCHDOG_S 60.0

static inline int process_begin(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    proc = calloc(1, sizeof(*proc));
    assert_non_null(proc);
    proc->kind = PROC_WORKER;
    proc->loop = ev_loop_new(EVFLAG_AUTO);
    proc->timers = timers_new(proc->loop);
    proc->bufs = bufs_new(16);
    assert_true(proc->loop != NULL && proc->timers != NULL && proc->bufs != NULL);
    return 0;
}

/* Every test ends here, so every test also shows that it has lost no buffer. */
static inline int process_end(void **state)
{
    (void)state;
    ev_run(proc->loop, EVRUN_NOWAIT); /* the turn's end frees what was closed */
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    resolver_free(proc->resolver);
    tls_free(proc->tls);
    timers_free(proc->timers);
    bufs_free(proc->bufs);
    ev_loop_destroy(proc->loop);
    free(proc);
    proc = NULL;
    return 0;
}

static inline void on_tick(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
}

/* Turn the loop until `condition` holds; it is asked at least every millisecond, for what no watcher would tell. */
#define RUN_UNTIL(condition)                                                                                           \
    do {                                                                                                               \
        struct ev_timer tick;                                                                                          \
        ev_timer_init(&tick, on_tick, 0.001, 0.001);                                                                   \
        ev_now_update(proc->loop);                                                                                     \
        ev_timer_start(proc->loop, &tick);                                                                             \
        ev_tstamp ticks_from = ev_now(proc->loop);                                                                     \
        bool holds = false;                                                                                            \
        while (!(holds = (condition)) && ev_now(proc->loop) - ticks_from < WATCHDOG_S)                                 \
            ev_run(proc->loop, EVRUN_ONCE);                                                                            \
        ev_timer_stop(proc->loop, &tick);                                                                              \
        if (!holds)                                                                                                    \
            fail_msg("waited in vain for: %s", #condition);                                                            \
    } while (0)

#endif
