/* status.c: what /status says of a pool. */
#include "pool.h"

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

void status_write(const pool_t *pool, weir_status_t *status)
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
