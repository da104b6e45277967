/* health.c: whether a server is well. Every exchange tells; a server that has told nobody for health_check is asked. What one process
 * finds out all of them know: it lies in shared memory, and whoever sees first that it is time to ask does so, for all.
 *
 *   state    event                                     next
 *   WELL     eject_after failures in a row             EJECTED, unless no other server of the upstream is well
 *   EJECTED  an exchange or a check succeeds           WELL, with a growing part of its share for slow_start
 *
 * Only servers that are asked are ejected: nothing else would bring them back.
 */
#include "pool.h"

/* What a server begins with when it comes back, in hundredths. */
#define RAMP_FIRST 10u

/* Who answers all the time is noted so often in the time of a check, and no more: the note is everybody's memory. */
#define NOTES 8

int health_begin(pool_server_t *s, weir_error_t *err)
{
    const pool_t *pool = s->pool;
    uint64_t never = 0;
    s->health = pool->host->shared(pool->upstream, s->server, "pool health", sizeof(*s->health), err);
    if (s->health == NULL)
        return WEIR_EFAIL;
    (void)atomic_compare_exchange_strong(&s->health->heard_ms, &never, pool->host->now_ms()); /* no news is good news */
    s->returned_ms = atomic_load(&s->health->returned_ms);
    return WEIR_OK;
}

/* ---- slow start ---- */

static void ramp_set(pool_server_t *s, uint32_t ramp)
{
    s->load->ramp = ramp;
    s->load->weight = s->server->weight * ramp;
}

static void ramp_tend(pool_server_t *s)
{
    uint64_t slow_start = s->pool->options->slow_start_ms, now = s->pool->host->now_ms();
    if (s->returned_ms == 0)
        return;
    uint64_t since = now > s->returned_ms ? now - s->returned_ms : 0;
    if (since < slow_start) {
        ramp_set(s, RAMP_FIRST + (uint32_t)((100 - RAMP_FIRST) * since / slow_start));
        return;
    }
    s->returned_ms = 0;
    ramp_set(s, 100);
}

/* ---- ejected and back ---- */

/* What others have found out. A server that is back begins slowly here too, so it is not taken for well before this is called. */
static void health_follow(pool_server_t *s)
{
    bool is_ejected = atomic_load(&s->health->is_ejected);
    if (s->is_ejected && !is_ejected)
        s->returned_ms = atomic_load(&s->health->returned_ms);
    s->is_ejected = is_ejected;
    ramp_tend(s);
}

static bool is_any_other_well(const pool_server_t *s)
{
    for (uint32_t i = 0; i < s->pool->nservers; i++)
        if (&s->pool->servers[i] != s && !health_is_ejected(&s->pool->servers[i]))
            return true;
    return false;
}

void health_bad(pool_server_t *s, const char *why)
{
    const pool_t *pool = s->pool;
    uint32_t bad = atomic_fetch_add(&s->health->bad, 1) + 1;
    bool was_ejected = false;
    if (bad < (uint64_t)pool->options->eject_after || !health_is_asked(pool) || !is_any_other_well(s) ||
        !atomic_compare_exchange_strong(&s->health->is_ejected, &was_ejected, true))
        return;
    s->is_ejected = true;
    load_count(s, COUNT_EJECTED, 1);
    pool->host->log(WEIR_LOG_WARN, "pool: %s/%s is left alone after %u failures in a row, the last: %s",
                    pool->upstream->name, s->server->name, bad, why);
}

/* Apart, so that its frame is not made for every exchange. */
__attribute__((noinline)) static void health_back(pool_server_t *s)
{
    const pool_t *pool = s->pool;
    bool was_ejected = true;
    atomic_store(&s->health->returned_ms, pool->host->now_ms());
    if (!atomic_compare_exchange_strong(&s->health->is_ejected, &was_ejected, false))
        return;
    health_follow(s);
    pool->host->log(WEIR_LOG_NOTICE, "pool: %s/%s is well again", pool->upstream->name, s->server->name);
}

void health_good(pool_server_t *s)
{
    struct pool_health *health = s->health;
    uint64_t now = s->pool->host->now_ms();
    if (atomic_load_explicit(&health->bad, memory_order_relaxed) > 0)
        atomic_store(&health->bad, 0);
    uint64_t noted = atomic_load_explicit(&health->heard_ms, memory_order_relaxed);
    if (now > noted + s->pool->options->health_check_ms / NOTES)
        atomic_store(&health->heard_ms, now);
    if (atomic_load_explicit(&health->is_ejected, memory_order_relaxed))
        health_back(s);
}

/* ---- checks ---- */

static void health_checked(pool_server_t *s, bool is_well, const char *why)
{
    load_count(s, COUNT_CHECKS, 1);
    load_count(s, COUNT_UNWELL, !is_well);
    if (is_well) {
        health_good(s);
        return;
    }
    s->pool->host->log(WEIR_LOG_WARN, "pool: %s/%s: a health check failed: %s", s->pool->upstream->name,
                       s->server->name, why);
    health_bad(s, why);
}

/* A link of messages that has not answered is used up: what is on it may still be answered, nothing new goes there. */
static void on_checked(void *arg, bool is_well, const char *why)
{
    pool_server_t *s = arg;
    weir_link_t *link = s->checked;
    s->checked = NULL;
    if (why == NULL) /* the link was closed meanwhile */
        return;
    if (!is_well && s->pool->is_messages && link->state != WEIR_LINK_DEAD)
        s->pool->host->link_retire(link, why);
    health_checked(s, is_well, why);
}

static bool check_link(pool_server_t *s, weir_link_t *link)
{
    s->checked = link;
    if (s->pool->host->link_check(link, s->pool->options->health_timeout_ms, on_checked, s) == WEIR_OK)
        return true;
    s->checked = NULL;
    return false;
}

/* An exchange of weir's own is on it; FREE or DOWN follows. */
static void check_exchanges(pool_server_t *s, weir_link_t *link)
{
    bool was_idle = link->state == WEIR_LINK_IDLE;
    if (was_idle) {
        weir_list_remove(&link->node);
        if (s->pool->is_shared)
            weir_list_append(&s->busy, &link->node);
        load_link_busy(s, 1);
    }
    if (check_link(s, link) || !was_idle)
        return;
    load_link_busy(s, -1);
    weir_list_remove(&link->node);
    weir_list_append(&s->idle, &link->node);
}

static void check_on(pool_server_t *s, weir_link_t *link)
{
    s->is_check_due = false;
    if (s->pool->is_messages)
        (void)check_link(s, link); /* it stays where it is: exchanges of others may be on it, or come */
    else
        check_exchanges(s, link);
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
        health_checked(s, false, why);
    }
}

/* A process that has just been started may take its time for the first answer. */
static bool is_settled(const pool_server_t *s, const weir_link_t *link)
{
    return !s->pool->upstream->is_dear || s->pool->host->now_ms() - link->born_ms >= s->pool->options->health_check_ms;
}

/* The link to ask on: one that carries nothing, the one that was used last; one that never did, the oldest; or one that others are on as
 * well. */
static weir_link_t *link_to_ask(const pool_server_t *s)
{
    if (!weir_list_empty(&s->idle))
        return WEIR_CONTAINER(s->idle.next, weir_link_t, node);
    if (!weir_list_empty(&s->fresh) && is_settled(s, WEIR_CONTAINER(s->fresh.prev, weir_link_t, node)))
        return WEIR_CONTAINER(s->fresh.prev, weir_link_t, node);
    return weir_list_empty(&s->busy) ? NULL : WEIR_CONTAINER(s->busy.next, weir_link_t, node);
}

/* Where there is none, one may be opened for it, if that costs little. While all are in use the exchanges on them will tell. */
static bool can_open_one(const pool_server_t *s)
{
    return s->nlinks == 0 && !s->pool->upstream->is_dear && links_may_grow(s);
}

/* A tenth more or less, and another one each time: servers that began together are not asked together. */
static uint64_t interval_ms(const pool_server_t *s, uint64_t heard_ms)
{
    uint64_t interval = s->pool->options->health_check_ms;
    uint64_t mixed = (heard_ms + s->server->index) * 0x9e3779b97f4a7c15u >> 32;
    return interval - interval / 10 + interval / 5 * (mixed % 101) / 100;
}

/* Whether it is time, and this process is the one that asks. */
static bool is_my_turn(pool_server_t *s)
{
    uint64_t now = s->pool->host->now_ms(), heard = atomic_load(&s->health->heard_ms);
    return now >= heard + interval_ms(s, heard) && atomic_compare_exchange_strong(&s->health->heard_ms, &heard, now);
}

void health_tend(pool_server_t *s)
{
    if (!health_is_asked(s->pool))
        return;
    health_follow(s);
    if (s->checked != NULL || s->is_check_due)
        return;
    weir_link_t *link = link_to_ask(s);
    if ((link == NULL && !can_open_one(s)) || !is_my_turn(s))
        return;
    if (link != NULL) {
        check_on(s, link);
        return;
    }
    s->is_check_due = true;
    if (!links_open(s))
        health_connect_failed(s, s->pool->why);
}
