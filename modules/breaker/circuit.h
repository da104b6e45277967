/* circuit.h: the circuit of one server: whether exchanges are let through to it, decided by what became of those before. It lies in
 * shared memory and is one for all processes, so that what one learns protects all. Nobody locks: a change of state is one
 * compare-and-swap, and who wins it is who logs it.
 *
 *   state      event                                   next       what happens
 *   CLOSED     success                                 CLOSED     failures in a row begin anew
 *   CLOSED     failure, fewer than failure_threshold   CLOSED     counted
 *   CLOSED     failure, the last of them               OPEN       its time is kept
 *   OPEN       an exchange                             OPEN       refused
 *   OPEN       a failure of one that was under way     OPEN       its time is kept
 *   OPEN       an exchange, timeout after that time    HALF_OPEN  it is a probe
 *   HALF_OPEN  an exchange, a probe's place is free    HALF_OPEN  it is a probe
 *   HALF_OPEN  an exchange, none is                    HALF_OPEN  refused
 *   HALF_OPEN  a probe succeeds, not the last needed   HALF_OPEN  counted; its place is free
 *   HALF_OPEN  success_threshold probes have           CLOSED
 *   HALF_OPEN  a probe fails                           OPEN       its time is kept
 *   any        an operator says open                   HELD       all are refused
 *   any        an operator says close                  CLOSED
 *
 * Successes are the business of CLOSED and of probes; what an exchange that was let through earlier comes to is no news later.
 *
 * A probe's place is a word that says by whom and until when it is taken. It is free again when its exchange has ended, when its
 * process has died, or at that time, which is later than an exchange can last without an answer.
 */
#ifndef BREAKER_CIRCUIT_H
#define BREAKER_CIRCUIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CIRCUIT_PROBES_MAX 16
#define CIRCUIT_COUNT_MAX 10000

typedef enum circuit_state {
    CIRCUIT_CLOSED,
    CIRCUIT_OPEN,
    CIRCUIT_HALF_OPEN,
    CIRCUIT_HELD,
} circuit_state_t;

/* In shared memory; all zero is a closed circuit. */
typedef struct circuit {
    _Atomic uint64_t word; /* state, count (failures in a row, or successes of probes), time of the last failure */
    _Atomic uint64_t places[CIRCUIT_PROBES_MAX]; /* 0: free */
    _Atomic uint64_t failures, probed;           /* ever */
    _Atomic uint64_t entered[CIRCUIT_HELD + 1];  /* how often it came into a state */
    _Atomic uint32_t cause;                      /* of the last failure that opened it; the caller's own */
} circuit_t;

/* As configured; may differ between processes for as long as a reload takes. */
typedef struct circuit_limits {
    uint32_t failure_threshold, success_threshold, probes;
    uint64_t timeout_ms;
    uint64_t probe_limit_ms; /* how long a probe may last */
} circuit_limits_t;

/* What an exchange was let through with. All zero: as any. */
typedef struct circuit_pass {
    uint64_t taken; /* a probe: what stands in its place */
    uint32_t place;
} circuit_pass_t;

typedef struct circuit_change {
    bool has_changed; /* by this very call */
    circuit_state_t from, to;
    uint32_t count; /* what had been counted */
} circuit_change_t;

/* May an exchange go through? If so it ends in one of the next three. */
bool circuit_admit(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms, circuit_pass_t *pass,
                   circuit_change_t *change);
circuit_change_t circuit_succeed(circuit_t *c, const circuit_limits_t *limits, circuit_pass_t *pass);
/* `pass` NULL: not an exchange, but a link for one that was let through; half-open it was a probe. */
circuit_change_t circuit_fail(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms, circuit_pass_t *pass,
                              uint32_t cause);
/* It came to nothing that says anything of the server. */
void circuit_leave(circuit_t *c, circuit_pass_t *pass);

/* Would one be let through? Changes nothing. */
bool circuit_would_admit(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms);

/* By hand. */
circuit_change_t circuit_hold(circuit_t *c);
circuit_change_t circuit_close(circuit_t *c);

/* As it is nearly always: closed, and the last exchange succeeded. */
static inline bool circuit_is_quiet(const circuit_t *c)
{
    return (atomic_load_explicit(&c->word, memory_order_relaxed) & 0xffffu) == 0;
}

circuit_state_t circuit_state(const circuit_t *c);
uint32_t circuit_count(const circuit_t *c);
uint32_t circuit_probes(const circuit_t *c, uint64_t now_ms); /* under way */
/* Until it may let one through: 0 also while a probe is finding out. HELD does not know, and says timeout. */
uint64_t circuit_wait_ms(const circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms);

#endif
