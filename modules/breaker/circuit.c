/* circuit.c: see the table in circuit.h. */
#include "circuit.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* The word: 2 bits of state, 14 of count, 48 of time. */
#define STATE_BITS 2u
#define COUNT_BITS 14u
#define TIME_SHIFT (STATE_BITS + COUNT_BITS) /* circuit_is_quiet() knows that it is 16 */
_Static_assert(TIME_SHIFT == 16 && CIRCUIT_CLOSED == 0, "a closed circuit without failures has 16 zero bits");

/* A place: 22 bits of pid, which Linux never exceeds, and 42 of the time until which it is taken. */
#define PID_BITS 22u

static uint64_t word_make(circuit_state_t state, uint32_t count, uint64_t time_ms)
{
    return (uint64_t)state | (uint64_t)count << STATE_BITS | time_ms << TIME_SHIFT;
}

static circuit_state_t word_state(uint64_t word)
{
    return (circuit_state_t)(word & ((1u << STATE_BITS) - 1));
}

static uint32_t word_count(uint64_t word)
{
    return (uint32_t)(word >> STATE_BITS) & ((1u << COUNT_BITS) - 1);
}

static uint64_t word_time(uint64_t word)
{
    return word >> TIME_SHIFT;
}

/* The one place where a circuit changes. False when somebody else has changed it since `from` was read, which then is what it is. */
static bool circuit_move(circuit_t *c, uint64_t *from, uint64_t to, circuit_change_t *change)
{
    if (!atomic_compare_exchange_weak(&c->word, from, to))
        return false;
    if (word_state(*from) == word_state(to))
        return true;
    *change = (circuit_change_t){true, word_state(*from), word_state(to), word_count(*from)};
    atomic_fetch_add(&c->entered[word_state(to)], 1);
    return true;
}

/* ---- places of probes ---- */

static bool place_is_free(uint64_t taken, uint64_t now_ms)
{
    pid_t pid = (pid_t)(taken & ((1u << PID_BITS) - 1));
    if (taken == 0 || taken >> PID_BITS <= now_ms)
        return true;
    return kill(pid, 0) != 0 && errno == ESRCH;
}

static bool place_take(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms, circuit_pass_t *pass)
{
    uint64_t mine = (uint64_t)getpid() | (now_ms + limits->probe_limit_ms + 1) << PID_BITS;
    for (uint32_t i = 0; i < limits->probes; i++) {
        uint64_t taken = atomic_load(&c->places[i]);
        if (!place_is_free(taken, now_ms) || !atomic_compare_exchange_strong(&c->places[i], &taken, mine))
            continue;
        *pass = (circuit_pass_t){mine, i};
        return true;
    }
    return false;
}

/* False when the exchange was no probe, or has lasted so long that its place was given to another. */
static bool place_is_held(const circuit_t *c, const circuit_pass_t *pass)
{
    return pass->taken != 0 && atomic_load(&c->places[pass->place]) == pass->taken;
}

static void place_leave(circuit_t *c, circuit_pass_t *pass)
{
    uint64_t taken = pass->taken;
    pass->taken = 0;
    if (taken != 0)
        (void)atomic_compare_exchange_strong(&c->places[pass->place], &taken, 0); /* otherwise it is another's by now */
}

/* ---- letting through ---- */

static bool is_due(uint64_t word, const circuit_limits_t *limits, uint64_t now_ms)
{
    return now_ms >= word_time(word) + limits->timeout_ms;
}

/* Whoever finds an open circuit due half-opens it; then all who come race for the places. */
static bool circuit_probe(circuit_t *c, uint64_t word, const circuit_limits_t *limits, uint64_t now_ms,
                          circuit_pass_t *pass, circuit_change_t *change)
{
    while (word_state(word) == CIRCUIT_OPEN) {
        if (!is_due(word, limits, now_ms))
            return false;
        uint64_t half_open = word_make(CIRCUIT_HALF_OPEN, 0, word_time(word));
        if (circuit_move(c, &word, half_open, change))
            word = half_open;
    }
    if (word_state(word) == CIRCUIT_HALF_OPEN && place_take(c, limits, now_ms, pass)) {
        /* A probe moves the circuit before it leaves its place. So who finds the circuit half-open still may go. */
        word = atomic_load(&c->word);
        if (word_state(word) == CIRCUIT_HALF_OPEN) {
            atomic_fetch_add(&c->probed, 1);
            return true;
        }
        place_leave(c, pass);
    }
    return word_state(word) == CIRCUIT_CLOSED;
}

bool circuit_admit(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms, circuit_pass_t *pass,
                   circuit_change_t *change)
{
    uint64_t word = atomic_load_explicit(&c->word, memory_order_relaxed);
    pass->taken = 0;
    change->has_changed = false;
    if (word_state(word) == CIRCUIT_CLOSED)
        return true;
    return circuit_probe(c, word, limits, now_ms, pass, change);
}

bool circuit_would_admit(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&c->word, memory_order_relaxed);
    switch (word_state(word)) {
    case CIRCUIT_CLOSED:
        return true;
    case CIRCUIT_OPEN:
        return is_due(word, limits, now_ms);
    case CIRCUIT_HALF_OPEN:
        return circuit_probes(c, now_ms) < limits->probes;
    case CIRCUIT_HELD:
        break;
    }
    return false;
}

/* ---- what became of it ---- */

static circuit_change_t probe_succeeded(circuit_t *c, const circuit_limits_t *limits)
{
    circuit_change_t change = {0};
    uint64_t word = atomic_load(&c->word), next;
    do {
        if (word_state(word) != CIRCUIT_HALF_OPEN)
            return change;
        uint32_t count = word_count(word) + 1;
        next = count < limits->success_threshold ? word_make(CIRCUIT_HALF_OPEN, count, word_time(word))
                                                 : word_make(CIRCUIT_CLOSED, 0, 0);
    } while (!circuit_move(c, &word, next, &change));
    return change;
}

circuit_change_t circuit_succeed(circuit_t *c, const circuit_limits_t *limits, circuit_pass_t *pass)
{
    circuit_change_t change = {0};
    if (place_is_held(c, pass)) {
        change = probe_succeeded(c, limits);
        place_leave(c, pass);
        return change;
    }
    uint64_t word = atomic_load_explicit(&c->word, memory_order_relaxed);
    while (word_state(word) == CIRCUIT_CLOSED && word_count(word) > 0)
        if (circuit_move(c, &word, word_make(CIRCUIT_CLOSED, 0, 0), &change))
            break;
    return change;
}

static uint64_t word_failed(uint64_t word, const circuit_limits_t *limits, uint64_t now_ms, bool is_probe)
{
    uint32_t count = word_count(word) + 1;
    switch (word_state(word)) {
    case CIRCUIT_CLOSED:
        if (count < limits->failure_threshold)
            return word_make(CIRCUIT_CLOSED, count, now_ms);
        return word_make(CIRCUIT_OPEN, 0, now_ms);
    case CIRCUIT_OPEN:
        return word_make(CIRCUIT_OPEN, 0, now_ms);
    case CIRCUIT_HALF_OPEN:
        return is_probe ? word_make(CIRCUIT_OPEN, 0, now_ms) : word;
    case CIRCUIT_HELD:
        break;
    }
    return word;
}

circuit_change_t circuit_fail(circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms, circuit_pass_t *pass,
                              uint32_t cause)
{
    circuit_change_t change = {0};
    bool is_probe = pass == NULL || place_is_held(c, pass);
    uint64_t word = atomic_load(&c->word), next;
    atomic_fetch_add_explicit(&c->failures, 1, memory_order_relaxed);
    do
        next = word_failed(word, limits, now_ms, is_probe);
    while (next != word && !circuit_move(c, &word, next, &change));
    if (pass != NULL)
        place_leave(c, pass);
    if (change.has_changed)
        atomic_store(&c->cause, cause);
    change.count += change.has_changed && change.from == CIRCUIT_CLOSED; /* and this one */
    return change;
}

void circuit_leave(circuit_t *c, circuit_pass_t *pass)
{
    place_leave(c, pass);
}

/* ---- by hand ---- */

static circuit_change_t circuit_set(circuit_t *c, circuit_state_t state)
{
    circuit_change_t change = {0};
    uint64_t word = atomic_load(&c->word);
    while (word_state(word) != state && !circuit_move(c, &word, word_make(state, 0, 0), &change))
        continue;
    return change;
}

circuit_change_t circuit_hold(circuit_t *c)
{
    return circuit_set(c, CIRCUIT_HELD);
}

circuit_change_t circuit_close(circuit_t *c)
{
    return circuit_set(c, CIRCUIT_CLOSED);
}

/* ---- looking ---- */

circuit_state_t circuit_state(const circuit_t *c)
{
    return word_state(atomic_load(&c->word));
}

uint32_t circuit_count(const circuit_t *c)
{
    return word_count(atomic_load(&c->word));
}

uint32_t circuit_probes(const circuit_t *c, uint64_t now_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CIRCUIT_PROBES_MAX; i++)
        n += !place_is_free(atomic_load(&c->places[i]), now_ms);
    return n;
}

uint64_t circuit_wait_ms(const circuit_t *c, const circuit_limits_t *limits, uint64_t now_ms)
{
    uint64_t word = atomic_load(&c->word);
    uint64_t since = word_time(word);
    uint64_t open_ms = now_ms > since ? now_ms - since : 0; /* whoever opened it may be a turn ahead of us */
    switch (word_state(word)) {
    case CIRCUIT_CLOSED:
        return 0;
    case CIRCUIT_OPEN:
        return limits->timeout_ms > open_ms ? limits->timeout_ms - open_ms : 0;
    case CIRCUIT_HALF_OPEN:
        return 0;
    case CIRCUIT_HELD:
        break;
    }
    return limits->timeout_ms;
}
