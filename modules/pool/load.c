/* load.c: what is known of a server: of this process for the strategies (weir_load_t), of all processes for /status. The figures of the
 * window are those of its newer half, which is up to WINDOW_MS long, and of the half before.
 */
#include "pool.h"

#define WINDOW_MS 30000

void load_count(pool_server_t *s, int counter, int64_t change)
{
    s->counters.mine[counter] += change;
}

static void load_age(pool_server_t *s)
{
    uint64_t now = s->pool->host->now_ms();
    s->load->links = s->nopen;
    s->load->age_ms = s->nopen == 0 ? 0 : now - s->born_ms / s->nopen;
}

/* Take the older half out, and make the newer one the older. */
static void window_turn(pool_server_t *s)
{
    weir_load_t *load = s->load, *before = &s->before;
    uint64_t now = s->pool->host->now_ms();
    if (now - s->window_ms < WINDOW_MS)
        return;
    s->window_ms = now;
    load->requests -= before->requests;
    load->errors -= before->errors;
    load->answered -= before->answered;
    load->answered_us -= before->answered_us;
    *before = *load;
    load_age(s);
}

static void window_show(pool_server_t *s)
{
    int64_t *mine = s->counters.mine;
    mine[GAUGE_REQUESTS] = (int64_t)s->load->requests;
    mine[GAUGE_ERRORS] = (int64_t)s->load->errors;
    mine[GAUGE_ANSWERED] = (int64_t)s->load->answered;
    mine[GAUGE_ANSWERED_US] = (int64_t)s->load->answered_us;
}

void load_begun(pool_server_t *s)
{
    s->load->in_flight++;
    s->counters.mine[GAUGE_IN_FLIGHT]++;
}

void load_ended(pool_server_t *s, const weir_outcome_t *outcome)
{
    weir_load_t *load = s->load;
    bool is_error = weir_outcome_failed(outcome);
    window_turn(s);
    load->in_flight--;
    load->requests++;
    load->errors += is_error;
    if (!is_error && outcome->reason == WEIR_REASON_NONE && outcome->server_us > 0) {
        load->answered++;
        load->answered_us += outcome->server_us;
    }
    s->counters.mine[GAUGE_IN_FLIGHT]--;
    s->counters.mine[COUNT_REQUESTS]++;
    s->counters.mine[COUNT_ERRORS] += is_error;
    window_show(s);
    health_heard(s, outcome);
}

void load_link_up(pool_server_t *s, const weir_link_t *link)
{
    s->nopen++;
    s->born_ms += link->born_ms;
    load_count(s, GAUGE_BORN_MS, (int64_t)link->born_ms);
    load_count(s, GAUGE_CONNECTING, -1);
    load_age(s);
}

void load_link_busy(pool_server_t *s, int change)
{
    load_count(s, GAUGE_BUSY, change);
}

/* An exclusive one that is leased is in no list; a shared one that dies still has its exchanges, which are told after. */
static bool link_was_busy(const pool_server_t *s, const weir_link_t *link)
{
    return s->pool->is_shared ? link->exchanges > 0 || link->is_owned : weir_list_empty(&link->node);
}

void load_link_gone(pool_server_t *s, const weir_link_t *link)
{
    s->nopen--;
    s->born_ms -= link->born_ms;
    load_count(s, GAUGE_BORN_MS, -(int64_t)link->born_ms);
    if (link_was_busy(s, link))
        load_link_busy(s, -1);
    load_age(s);
}

/* ---- /status ---- */

static void links_status(const int64_t *sum, weir_status_t *status)
{
    int64_t open = sum[GAUGE_LINKS] - sum[GAUGE_CONNECTING];
    status->number(status, "links", (double)sum[GAUGE_LINKS]);
    status->number(status, "connecting", (double)sum[GAUGE_CONNECTING]);
    status->number(status, "idle", (double)(open - sum[GAUGE_BUSY]));
    status->number(status, "busy", (double)sum[GAUGE_BUSY]);
    status->number(status, "utilisation", open > 0 ? (double)sum[GAUGE_BUSY] / (double)open : 0);
    status->number(status, "opened", (double)sum[COUNT_OPENED]);
    status->number(status, "failed", (double)sum[COUNT_FAILED]);
}

/* The score of all processes together. */
static void score_status(const pool_server_t *s, const int64_t *sum, weir_status_t *status)
{
    weir_load_t load = *s->load;
    load.requests = (uint64_t)sum[GAUGE_REQUESTS];
    load.errors = (uint64_t)sum[GAUGE_ERRORS];
    load.answered = (uint64_t)sum[GAUGE_ANSWERED];
    load.answered_us = (uint64_t)sum[GAUGE_ANSWERED_US];
    int64_t open = sum[GAUGE_LINKS] - sum[GAUGE_CONNECTING], now = (int64_t)s->pool->host->now_ms();
    load.age_ms = open > 0 ? (uint64_t)(now - sum[GAUGE_BORN_MS] / open) : 0;
    weir_score_t score = weir_load_score(&load);
    status->number(status, "latency_us", load.answered == 0 ? 0 : (double)load.answered_us / (double)load.answered);
    status->enter(status, "score");
    status->number(status, "total", score.total);
    status->number(status, "latency", score.latency);
    status->number(status, "errors", score.errors);
    status->number(status, "age", score.age);
    status->leave(status);
}

static void server_status(const pool_server_t *s, const int64_t *sum, weir_status_t *status)
{
    status->enter(status, s->server->name);
    links_status(sum, status);
    status->number(status, "in_flight", (double)sum[GAUGE_IN_FLIGHT]);
    status->number(status, "requests", (double)sum[COUNT_REQUESTS]);
    status->number(status, "errors", (double)sum[COUNT_ERRORS]);
    score_status(s, sum, status);
    status->number(status, "checks", (double)sum[COUNT_CHECKS]);
    status->number(status, "checks_failed", (double)sum[COUNT_UNWELL]);
    status->number(status, "ejected", (double)sum[COUNT_EJECTED]);
    status->number(status, "ejected_now", health_is_ejected(s));
    status->number(status, "aged", (double)sum[COUNT_AGED]);
    status->number(status, "grown", (double)sum[COUNT_GROWN]);
    status->number(status, "shrunk", (double)sum[COUNT_SHRUNK]);
    status->leave(status);
}

static void servers_status(const pool_t *pool, weir_status_t *status)
{
    int64_t sum[SERVER_COUNTERS];
    status->enter(status, "servers");
    for (uint32_t i = 0; i < pool->nservers; i++) {
        pool->host->counters_sum(&pool->servers[i].counters, sum);
        server_status(&pool->servers[i], sum, status);
    }
    status->leave(status);
}

void load_status(const pool_t *pool, weir_status_t *status)
{
    int64_t all[SERVER_COUNTERS] = {0}, sum[SERVER_COUNTERS], own[POOL_COUNTERS];
    for (uint32_t i = 0; i < pool->nservers; i++) {
        pool->host->counters_sum(&pool->servers[i].counters, sum);
        for (int at = 0; at < SERVER_COUNTERS; at++)
            all[at] += sum[at];
    }
    pool->host->counters_sum(&pool->counters, own);
    status->text(status, "strategy", pool->options->strategy);
    links_status(all, status);
    status->number(status, "waiting", (double)own[GAUGE_WAITING]);
    status->number(status, "waited", (double)own[COUNT_WAITED]);
    servers_status(pool, status);
}
