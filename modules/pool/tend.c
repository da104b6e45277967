/* tend.c: what happens to a pool by the clock: links that are too old go, links that nobody needs go, links are opened before they are
 * needed.
 *
 * Growing is quick and shrinking is slow: one look above grow_above opens links, CALM_LOOKS below shrink_below close some. So a load
 * that swings does not open and close links with every swing.
 */
#include "pool.h"

#define LOOK_MS 1000
#define CALM_LOOKS 10
/* The part of a server's links that one look opens or closes. */
#define STEP_PART 4

/* A tenth more or less, by where the link lies in memory: links that were opened together do not go together. */
static bool is_old(const pool_server_t *s, const weir_link_t *link)
{
    uint64_t max_age = s->pool->options->max_age_ms;
    if (max_age == 0)
        return false;
    uint64_t jitter = ((uintptr_t)link * 0x9e3779b97f4a7c15u >> 32) % 201; /* 0 to 200: nine tenths to eleven */
    return s->pool->host->now_ms() - link->born_ms > max_age / 1000 * (900 + jitter) + max_age % 1000;
}

/* One that is shared and at work finishes what it carries, and takes nothing new. */
static void let_go(pool_server_t *s, weir_link_t *link, int counter, const char *why)
{
    load_count(s, counter, 1);
    s->pool->host->link_retire(link, why);
    s->is_unwanted = false; /* it was not the server that closed it */
    links_refill_later(s);
}

static void close_old(pool_server_t *s, weir_list_t *list)
{
    if (s->pool->nwaiting > 0) /* they would move links about while this walks the list */
        return;
    WEIR_LIST_EACH(list, it) {
        weir_link_t *link = WEIR_CONTAINER(it, weir_link_t, node);
        if (is_old(s, link))
            let_go(s, link, COUNT_AGED, "it is older than max_age");
    }
}

/* Shared links are filled before others are opened, so one is a large step. */
static uint32_t step_of(const pool_server_t *s)
{
    return s->pool->is_shared || s->nlinks < STEP_PART ? 1 : s->nlinks / STEP_PART;
}

static void grow(pool_server_t *s)
{
    if (s->failed_ms > 0 || !s->pool->host->server_admits(s->server, NULL))
        return;
    for (uint32_t n = step_of(s); n > 0 && links_may_grow(s) && links_open(s); n--)
        load_count(s, COUNT_GROWN, 1);
}

/* How much of what a server's links can carry they do carry. Links that sessions own have no part in it. */
typedef struct use {
    uint64_t carried, room;
} use_t;

/* One exchange a link. */
static use_t use_exclusive(const pool_server_t *s)
{
    uint32_t idle = links_count(&s->idle) + links_count(&s->fresh);
    return (use_t){.carried = s->nopen > idle ? s->nopen - idle : 0, .room = s->nopen};
}

static use_t use_shared(const pool_server_t *s)
{
    uint64_t each = (uint64_t)s->pool->options->exchanges_per_link;
    use_t use = {.room = each * (links_count(&s->idle) + links_count(&s->fresh))};
    for (const weir_list_t *it = s->busy.next; it != &s->busy; it = it->next) {
        use.carried += WEIR_CONTAINER(it, weir_link_t, node)->exchanges;
        use.room += each;
    }
    return use;
}

/* Whether one more link than `min` could go. Of shared ones the last that has been at work stays: what it knows of a client's
 * subscription another one would not. */
static weir_list_t *list_to_shrink(pool_server_t *s)
{
    uint32_t fresh = links_count(&s->fresh), idle = links_count(&s->idle);
    if (!s->pool->is_shared && s->nlinks <= s->pool->min)
        return NULL;
    if (fresh > 0 && (!s->pool->is_shared || fresh > s->pool->min))
        return &s->fresh;
    uint32_t kept = s->pool->is_shared && weir_list_empty(&s->busy) ? 1 : 0;
    return idle > kept ? &s->idle : NULL;
}

/* Those that were never used, then those that were used least lately. */
static void shrink(pool_server_t *s)
{
    weir_list_t *list;
    for (uint32_t n = step_of(s); n > 0 && (list = list_to_shrink(s)) != NULL; n--)
        let_go(s, WEIR_CONTAINER(list->prev, weir_link_t, node), COUNT_SHRUNK, "the pool has too many");
}

static void resize(pool_server_t *s)
{
    const pool_options_t *o = s->pool->options;
    use_t use = s->pool->is_shared ? use_shared(s) : use_exclusive(s);
    if (use.room == 0)
        return;
    double part = (double)use.carried / (double)use.room;
    s->calm = part < o->shrink_below ? s->calm + 1 : 0;
    if (part > o->grow_above && weir_list_empty(&s->connecting))
        grow(s);
    if (s->calm < CALM_LOOKS)
        return;
    s->calm = 0;
    shrink(s);
}

static void on_tend(void *arg)
{
    pool_t *pool = arg;
    for (uint32_t i = 0; i < pool->nservers; i++) {
        pool_server_t *s = &pool->servers[i];
        load_tend(s);
        close_old(s, &s->idle);
        close_old(s, &s->fresh);
        close_old(s, &s->busy);
        health_tend(s);
        resize(s);
    }
    tend_start(pool);
}

void tend_start(pool_t *pool)
{
    weir_timeouts_t *queue = pool->host->timeouts(LOOK_MS);
    pool->tend.fire = on_tend;
    pool->tend.arg = pool;
    if (queue != NULL)
        pool->host->timer_start(queue, &pool->tend);
}
