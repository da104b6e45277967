/* health.c: whether a server is well. Every exchange tells; a server that has told nothing for health_check is asked. All of it is this
 * process's own knowledge: what all processes share is the breaker's circuit.
 *
 *   state    event                                     next
 *   WELL     eject_after failures in a row             EJECTED, unless no other server of the upstream is well
 *   EJECTED  an exchange or a check succeeds           WELL, with a growing part of its share for slow_start
 *
 * Only servers that can be asked are ejected: nothing else would bring them back.
 */
#include "pool.h"

/* What a server begins with when it comes back, in hundredths. */
#define RAMP_FIRST 10u

static void ramp_set(pool_server_t *s, uint32_t ramp)
{
    s->load->ramp = ramp;
    s->load->weight = s->server->weight * ramp;
}

static void ramp_tend(pool_server_t *s)
{
    uint64_t slow_start = s->pool->options->slow_start_ms;
    if (s->returned_ms == 0)
        return;
    uint64_t since = s->pool->host->now_ms() - s->returned_ms;
    if (since < slow_start) {
        ramp_set(s, RAMP_FIRST + (uint32_t)((100 - RAMP_FIRST) * since / slow_start));
        return;
    }
    s->returned_ms = 0;
    ramp_set(s, 100);
}

static bool can_be_asked(const pool_server_t *s)
{
    return s->pool->options->health_check_ms > 0 && !s->pool->is_shared;
}

static bool is_any_other_well(const pool_server_t *s)
{
    for (uint32_t i = 0; i < s->pool->nservers; i++)
        if (&s->pool->servers[i] != s && !s->pool->servers[i].is_ejected)
            return true;
    return false;
}

static void health_bad(pool_server_t *s, const char *why)
{
    const pool_t *pool = s->pool;
    s->bad++;
    if (s->is_ejected || s->bad < (uint64_t)pool->options->eject_after || !can_be_asked(s) || !is_any_other_well(s))
        return;
    s->is_ejected = true;
    load_count(s, GAUGE_EJECTED, 1);
    load_count(s, COUNT_EJECTED, 1);
    pool->host->log(WEIR_LOG_WARN, "pool: %s/%s is left alone after %u failures in a row, the last: %s",
                    pool->upstream->name, s->server->name, s->bad, why);
}

static void health_good(pool_server_t *s)
{
    const pool_t *pool = s->pool;
    s->bad = 0;
    s->checked_ms = pool->host->now_ms();
    if (!s->is_ejected)
        return;
    s->is_ejected = false;
    load_count(s, GAUGE_EJECTED, -1);
    if (pool->options->slow_start_ms > 0) {
        s->returned_ms = s->checked_ms;
        ramp_set(s, RAMP_FIRST);
    }
    pool->host->log(WEIR_LOG_NOTICE, "pool: %s/%s is well again", pool->upstream->name, s->server->name);
}

void health_heard(pool_server_t *s, const weir_outcome_t *outcome)
{
    if (weir_outcome_failed(outcome))
        health_bad(s, "an exchange failed");
    else if (outcome->reason == WEIR_REASON_NONE)
        health_good(s);
}

/* ---- checks ---- */

static void on_checked(void *arg, bool is_well, const char *why)
{
    pool_server_t *s = arg;
    s->is_checking = false;
    s->checked_ms = s->pool->host->now_ms();
    load_count(s, COUNT_CHECKS, 1);
    load_count(s, COUNT_UNWELL, !is_well);
    if (is_well)
        health_good(s);
    else
        health_bad(s, why);
}

static void check_on(pool_server_t *s, weir_link_t *link)
{
    s->is_check_due = false;
    s->is_checking = true;
    weir_list_remove(&link->node);
    load_link_busy(s, 1);
    if (s->pool->host->link_check(link, s->pool->options->health_timeout_ms, on_checked, s) == WEIR_OK)
        return;
    s->is_checking = false;
    load_link_busy(s, -1);
    weir_list_append(&s->idle, &link->node);
}

void health_link_up(pool_server_t *s, weir_link_t *link)
{
    if (s->is_check_due)
        check_on(s, link);
}

void health_connect_failed(pool_server_t *s, const char *why)
{
    if (s->is_check_due) {
        s->is_check_due = false;
        on_checked(s, false, why);
    }
}

/* On an idle link, or on one that is opened for it. While all are in use the exchanges on them will tell. */
void health_tend(pool_server_t *s)
{
    uint64_t now = s->pool->host->now_ms();
    ramp_tend(s);
    if (!can_be_asked(s) || s->is_checking || s->is_check_due ||
        now - s->checked_ms < s->pool->options->health_check_ms)
        return;
    weir_list_t *list = !weir_list_empty(&s->idle) ? &s->idle : &s->fresh;
    if (!weir_list_empty(list)) {
        check_on(s, WEIR_CONTAINER(list->next, weir_link_t, node));
        return;
    }
    s->checked_ms = now;
    s->is_check_due = weir_list_empty(&s->connecting) && s->load->in_flight == 0 && links_may_grow(s);
    if (s->is_check_due && !links_open(s))
        health_connect_failed(s, s->pool->why);
}
