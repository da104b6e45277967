/* ledger.c: see ledger.h. A link takes the first free line, so that readers have few to look at. */
#include "ledger.h"

#include <stdatomic.h>
#include <unistd.h>

#include "proc.h"

static ledger_line_t nowhere;

ledger_line_t *ledger_nowhere(void)
{
    return &nowhere;
}

static void lines_count(ledger_t *ledger, uint32_t taken)
{
    uint32_t n = atomic_load(&ledger->nlines);
    while (n <= taken && !atomic_compare_exchange_weak(&ledger->nlines, &n, taken + 1))
        continue;
}

static ledger_line_t *line_claim(ledger_t *ledger)
{
    for (uint32_t i = 0; i < LEDGER_LINES; i++) {
        ledger_line_t *line = &ledger->lines[i];
        pid_t nobody = 0;
        if (atomic_load(&line->pid) != 0 || !atomic_compare_exchange_strong(&line->pid, &nobody, getpid()))
            continue;
        lines_count(ledger, i);
        return line;
    }
    return NULL;
}

ledger_line_t *ledger_take(ledger_t *ledger, uint64_t upstream, uint64_t server)
{
    ledger_line_t *line = ledger == NULL ? NULL : line_claim(ledger);
    if (line == NULL)
        return &nowhere;
    line->kind = (uint8_t)proc->kind;
    line->slot = proc->slot;
    line->state = WEIR_LINK_CONNECTING;
    line->is_owned = false;
    line->in_flight = 0;
    line->upstream = upstream;
    line->server = server;
    line->requests = line->errors = line->answered = line->answered_us = 0;
    return line;
}

void ledger_give_back(ledger_line_t *line)
{
    line->upstream = line->server = 0;
    atomic_store(&line->pid, 0);
}

void ledger_heard(ledger_line_t *line, const weir_outcome_t *outcome)
{
    bool is_error = weir_outcome_failed(outcome);
    line->requests++;
    line->errors += is_error;
    if (is_error || outcome->reason != WEIR_REASON_NONE || outcome->server_us == 0)
        return;
    line->answered++;
    line->answered_us += outcome->server_us;
}

void ledger_forget(ledger_t *ledger, pid_t pid)
{
    for (uint32_t i = 0; i < atomic_load(&ledger->nlines); i++)
        if (atomic_load(&ledger->lines[i].pid) == pid)
            ledger_give_back(&ledger->lines[i]);
}

const ledger_line_t *ledger_next(const ledger_t *ledger, uint32_t *at, uint64_t upstream, uint64_t server)
{
    while (*at < atomic_load(&ledger->nlines)) {
        const ledger_line_t *line = &ledger->lines[(*at)++];
        if (atomic_load(&line->pid) != 0 && line->upstream == upstream && line->server == server)
            return line;
    }
    return NULL;
}
