/* waiting.c: exchanges that wait for a link. They are in one list, the oldest first, bounded by max_waiting; each has a timer
 * of acquire_timeout.
 *
 * Whatever is told to an exchange may come back here before the call returns: with the next request of the same client, or with
 * the end of another one. So no walk of the list goes on after such a call.
 */
#include "pool.h"

#include <stdio.h>

/* The host's own bound on a hold only has to be later than ours, which knows the better reason. */
#define HOLD_MARGIN_MS 1000
#define HOLD_MAX_MS 86400000u

/* Not every server will do for it, or not every link. */
static bool is_particular(const wait_t *w)
{
    return w->bound != NULL || w->is_own;
}

void waiting_remove(wait_t *w)
{
    w->pool->host->timer_stop(&w->timer);
    weir_list_remove(&w->node);
    w->node.next = NULL;
    w->pool->nwaiting--;
    w->pool->nparticular -= is_particular(w);
    w->pool->counters.mine[GAUGE_WAITING]--;
}

/* ---- telling that there is none ---- */

typedef struct usage {
    uint32_t in_use, connecting;
    uint64_t max;
} usage_t;

static usage_t usage_of(const pool_t *pool, const wait_t *w)
{
    usage_t u = {0};
    for (uint32_t i = 0; i < pool->nservers; i++) {
        const pool_server_t *s = &pool->servers[i];
        if (!choice_is_eligible(w, s))
            continue;
        uint32_t connecting = links_count(&s->connecting);
        u.connecting += connecting;
        u.in_use += s->nlinks - connecting - links_count(&s->fresh) - links_count(&s->idle);
        u.max += pool->max;
    }
    return u;
}

/* "search/10.0.0.11:3000", or "search" when it could have been any of several servers. */
static void where(const wait_t *w, char *text, size_t n)
{
    const pool_t *pool = w->pool;
    const pool_server_t *s = w->bound != NULL ? w->bound : pool->nservers == 1 ? &pool->servers[0] : NULL;
    snprintf(text, n, "%s%s%s", pool->upstream->name, s == NULL ? "" : "/", s == NULL ? "" : s->server->name);
}

static void fail_full(wait_t *w, const char *bound_that_was_reached)
{
    const pool_t *pool = w->pool;
    usage_t u = usage_of(pool, w);
    char to[128], connecting[64] = "";
    where(w, to, sizeof(to));
    if (u.connecting > 0)
        snprintf(connecting, sizeof(connecting), "%u connecting, ", u.connecting);
    pool->host->exchange_fail(w->ex, WEIR_REASON_POOL_FULL,
                              "pool: no link to %s %s: %u of %llu in use, %s%u waiting%s%s", to, bound_that_was_reached,
                              u.in_use, (unsigned long long)u.max, connecting, pool->nwaiting,
                              pool->why[0] == '\0' ? "" : "; the last failure: ", pool->why);
}

static void fail_hopeless(wait_t *w)
{
    char to[128];
    where(w, to, sizeof(to));
    w->pool->host->exchange_fail(w->ex, WEIR_REASON_CONNECT_FAILED, "pool: no link to %s can be opened: %s", to,
                                 w->pool->why);
}

void waiting_fail_barred(wait_t *w)
{
    char to[128];
    where(w, to, sizeof(to));
    w->pool->host->exchange_fail(
        w->ex, WEIR_REASON_BREAKER_OPEN,
        "pool: %s may not be used now: the circuit of every server that would do is open; `weir status` says why", to);
}

static void on_timeout(void *arg)
{
    wait_t *w = arg;
    uint64_t ms = w->pool->options->acquire_timeout_ms;
    char text[64];
    snprintf(text, sizeof(text), ms % 1000 == 0 ? "within acquire_timeout (%llus)" : "within acquire_timeout (%llums)",
             (unsigned long long)(ms % 1000 == 0 ? ms / 1000 : ms));
    waiting_remove(w);
    fail_full(w, text);
}

/* ---- a link for everybody who waits ---- */

/* What there is for somebody who waits. */
typedef enum provided {
    PROVIDED_NOTHING,
    PROVIDED_ONE,  /* a link that nobody else counts on */
    PROVIDED_MANY, /* what others may count on too: one that is shared and is being opened, or all that may come free */
} provided_t;

/* A link that is being opened. */
static provided_t provide_connecting(pool_t *pool, const wait_t *w)
{
    for (uint32_t i = 0; i < pool->nservers; i++) {
        pool_server_t *s = &pool->servers[i];
        if (!choice_is_eligible(w, s))
            continue;
        bool can_share = pool->is_shared && !w->is_own && !weir_list_empty(&s->connecting);
        if ((!can_share && s->spare == 0) || !choice_admits(w, s))
            continue;
        if (can_share)
            return PROVIDED_MANY;
        s->spare--;
        return PROVIDED_ONE;
    }
    return PROVIDED_NOTHING;
}

/* Each server that fails is not growable for a while, so this ends. */
static bool provide_new(pool_t *pool, const wait_t *w)
{
    pool_server_t *s;
    while ((s = choice_growable(pool, w)) != NULL)
        if (links_open(s))
            return true;
    return false;
}

static bool provide_room(pool_t *pool, const wait_t *w)
{
    for (uint32_t i = 0; w->is_own && i < pool->nservers; i++)
        if (choice_is_eligible(w, &pool->servers[i]) && links_make_room(&pool->servers[i]))
            return provide_new(pool, w);
    return false;
}

/* Whether there are links at all that may come free. */
static bool is_there_hope(const pool_t *pool, const wait_t *w)
{
    for (uint32_t i = 0; i < pool->nservers; i++)
        if (choice_is_eligible(w, &pool->servers[i]) && pool->servers[i].nlinks > 0 &&
            choice_admits(w, &pool->servers[i]))
            return true;
    return false;
}

static provided_t provide(pool_t *pool, const wait_t *w)
{
    provided_t found = provide_connecting(pool, w);
    if (found != PROVIDED_NOTHING)
        return found;
    if (provide_new(pool, w) || provide_room(pool, w))
        return PROVIDED_ONE;
    return is_there_hope(pool, w) ? PROVIDED_MANY : PROVIDED_NOTHING;
}

static void provide_all(pool_t *pool)
{
    weir_list_t doomed;
    weir_list_init(&doomed);
    for (uint32_t i = 0; i < pool->nservers; i++)
        pool->servers[i].spare = links_count(&pool->servers[i].connecting);
    WEIR_LIST_EACH(&pool->waiting, it) {
        provided_t found = provide(pool, WEIR_CONTAINER(it, wait_t, node));
        if (found == PROVIDED_MANY && pool->nparticular == 0)
            break; /* those behind it are like it: thousands may wait, and this happens for every link */
        if (found != PROVIDED_NOTHING)
            continue;
        weir_list_remove(it);
        weir_list_append(&doomed, it);
    }
    while (!weir_list_empty(&doomed)) {
        wait_t *w = WEIR_CONTAINER(doomed.next, wait_t, node);
        waiting_remove(w);
        if (choice_is_barred(pool, w) && !choice_is_failing(pool, w))
            waiting_fail_barred(w);
        else
            fail_hopeless(w);
    }
}

/* What is done here can take links down, which asks for the same again. */
void waiting_provide(pool_t *pool)
{
    pool->is_asked_again = true;
    if (pool->is_providing)
        return;
    pool->is_providing = true;
    while (pool->is_asked_again && pool->nwaiting > 0) {
        pool->is_asked_again = false;
        provide_all(pool);
    }
    pool->is_providing = false;
}

/* ---- waiting ---- */

/* Those who wait already have a link each on its way, as far as there are any; what is opened beyond that is free to have. */
static bool provide_for_newcomer(wait_t *w, pool_server_t *chosen)
{
    pool_t *pool = w->pool;
    for (uint32_t i = 0; i < pool->nservers; i++) {
        uint32_t connecting = links_count(&pool->servers[i].connecting);
        pool->servers[i].spare = connecting > pool->nwaiting ? connecting - pool->nwaiting : 0;
    }
    if (provide_connecting(pool, w) != PROVIDED_NOTHING ||
        (chosen != NULL && links_may_grow(chosen) && links_open(chosen)))
        return true;
    return provide(pool, w) != PROVIDED_NOTHING;
}

static void waiting_begin(wait_t *w)
{
    pool_t *pool = w->pool;
    w->timer = (weir_timer_t){.fire = on_timeout, .arg = w};
    weir_list_append(&pool->waiting, &w->node);
    pool->nwaiting++;
    pool->nparticular += is_particular(w);
    pool->counters.mine[GAUGE_WAITING]++;
    pool->counters.mine[COUNT_WAITED]++;
    pool->host->timer_start(pool->acquire_timeouts, &w->timer);
}

weir_verdict_t waiting_add(wait_t *w, pool_server_t *s)
{
    pool_t *pool = w->pool;
    uint64_t hold = pool->options->acquire_timeout_ms + HOLD_MARGIN_MS;
    if (s == NULL && choice_is_barred(pool, w)) {
        waiting_fail_barred(w);
        return WEIR_ANSWERED;
    }
    if (pool->nwaiting >= (uint64_t)pool->options->max_waiting) {
        fail_full(w, "and max_waiting is reached");
        return WEIR_ANSWERED;
    }
    if (!provide_for_newcomer(w, s)) {
        fail_hopeless(w);
        return WEIR_ANSWERED;
    }
    if (pool->host->exchange_hold(w->ex, hold < HOLD_MAX_MS ? hold : HOLD_MAX_MS) != WEIR_OK) {
        pool->host->exchange_fail(w->ex, WEIR_REASON_INTERNAL, "pool: the exchange cannot be held");
        return WEIR_ANSWERED;
    }
    waiting_begin(w);
    return WEIR_HELD;
}

/* One that is taken fits nobody; thousands need not be asked for that. */
static bool is_open(const pool_t *pool, const weir_link_t *link)
{
    return link->state == WEIR_LINK_IDLE || (link->state == WEIR_LINK_BUSY && pool->is_shared);
}

static wait_t *waiting_first(const pool_t *pool, const weir_link_t *link)
{
    if (!is_open(pool, link))
        return NULL;
    for (const weir_list_t *it = pool->waiting.next; it != &pool->waiting; it = it->next) {
        wait_t *w = WEIR_CONTAINER(it, wait_t, node);
        if (choice_fits(link, w) && choice_admits(w, link->server->pooled))
            return w;
    }
    return NULL;
}

/* The link stays in memory to the end of the turn whatever happens to it; a dead one fits nobody. */
void waiting_serve(pool_t *pool, weir_link_t *link)
{
    wait_t *w;
    while ((w = waiting_first(pool, link)) != NULL) {
        waiting_remove(w);
        if (links_lease(link, w))
            (void)pool->host->exchange_resume(w->ex); /* it is held: we have just taken it out of the waiting */
        else
            pool->host->exchange_fail(w->ex, WEIR_REASON_INTERNAL, "pool: %s: the link cannot be leased",
                                      pool->upstream->name);
    }
}
