/* ledger.h: what is known of each link of all processes, for /status: a table in shared memory, in which a link has a line as long as it
 * lives.
 *
 *   line    event                            next    what happens
 *   free    a link is opened                 taken   by the process that has the link, which is its only writer
 *   taken   the link dies                    free
 *   taken   its process dies                 free    by the master
 *
 * Nobody waits for a line: when there is none, or no shared memory, a link is written down where nobody reads.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>
#include <sys/types.h>

#include <weir/exchange.h>

#define LEDGER_LINES 8192u

typedef struct ledger_line {
    _Atomic(pid_t) pid; /* 0: free */
    uint8_t kind;       /* of the process: proc_kind_t */
    uint8_t state;      /* weir_link_state_t */
    bool is_owned;      /* by a session */
    int slot;
    uint32_t in_flight;
    uint64_t upstream, server; /* hashes of their names */
    uint64_t born_ms;
    uint64_t requests, errors; /* exchanges that have ended on it, and those of them that failed */
    uint64_t answered, answered_us;
} ledger_line_t;

typedef struct ledger {
    _Atomic uint32_t nlines; /* that have ever been taken */
    ledger_line_t lines[LEDGER_LINES];
} ledger_t;

/* A line for a link to this server; never NULL. No ledger: nowhere. */
ledger_line_t *ledger_take(ledger_t *ledger, uint64_t upstream, uint64_t server);
void ledger_give_back(ledger_line_t *line);
/* Where nobody reads. */
ledger_line_t *ledger_nowhere(void);

/* An exchange has ended on it. */
void ledger_heard(ledger_line_t *line, const weir_outcome_t *outcome);

/* The master's: a process has died. */
void ledger_forget(ledger_t *ledger, pid_t pid);

/* The line at or after `*at` that is of this server; NULL: there are no more. `*at` begins at 0. */
const ledger_line_t *ledger_next(const ledger_t *ledger, uint32_t *at, uint64_t upstream, uint64_t server);

#endif
