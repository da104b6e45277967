/* status_links.c: see status_links.h. Scores are those of the links' whole lives; the pool's own, by which it chooses, are of a server, and
 * lately.
 */
#include "status_links.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>

#include <weir/balancer.h>

#include "ledger.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

static const char *state_word(const ledger_line_t *line)
{
    switch ((weir_link_state_t)line->state) {
    case WEIR_LINK_CONNECTING:
        return "connecting";
    case WEIR_LINK_IDLE:
        return "idle";
    case WEIR_LINK_BUSY:
        return line->is_owned ? "session" : "busy";
    case WEIR_LINK_LEAVING:
        return "leaving";
    case WEIR_LINK_DEAD:
        break;
    }
    return "dead";
}

static json_t *score_status(const weir_load_t *load)
{
    weir_score_t score = weir_load_score(load);
    return json_pack("{s:f, s:f, s:f, s:f}", "total", score.total, "latency", score.latency, "errors", score.errors,
                     "age", score.age);
}

static json_t *link_status(const ledger_line_t *line)
{
    char process[32];
    uint64_t now = now_ms();
    snprintf(process, sizeof(process), "%s/%d", line->kind == PROC_KEEPER ? "keeper" : "worker", line->slot);
    weir_load_t load = {.requests = line->requests,
                        .errors = line->errors,
                        .answered = line->answered,
                        .answered_us = line->answered_us,
                        .age_ms = now > line->born_ms ? now - line->born_ms : 0};
    return json_pack(
        "{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:f, s:o}", "process", process, "pid", (json_int_t)atomic_load(&line->pid),
        "state", state_word(line), "in_flight", (json_int_t)line->in_flight, "age_ms", (json_int_t)load.age_ms,
        "requests", (json_int_t)load.requests, "errors", (json_int_t)load.errors, "latency_us",
        load.answered == 0 ? 0 : (double)load.answered_us / (double)load.answered, "score", score_status(&load));
}

json_t *links_status(const upstream_t *up, const server_t *server)
{
    json_t *links = json_array();
    const ledger_line_t *line;
    uint32_t at = 0;
    while (proc->stats != NULL &&
           (line = ledger_next(stats_ledger(proc->stats), &at, up->name_hash, server->name_hash)) != NULL)
        json_array_append_new(links, link_status(line));
    return links;
}
