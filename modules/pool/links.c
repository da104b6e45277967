/* links.c: the links of a server, from the pool's side. A link is in exactly one place:
 *
 *   place        event                                next
 *   -            links_open                           connecting
 *   connecting   UP                                   fresh, after those who wait have had their choice
 *   connecting   DOWN                                 -; the server has failed
 *   fresh, idle  leased to an exchange, exclusive     no list
 *   fresh, idle  leased to an exchange, shared        busy
 *   fresh        leased to a session's first exchange no list; the session owns it until it ends
 *   busy         leased to one more                   busy
 *   any          FREE: its last exchange has ended    idle, at the front
 *   any          DOWN                                 -
 */
#include "pool.h"

#include <stdio.h>

/* How soon links are opened again after some have gone; and at a server that closes those that nobody uses. */
#define REFILL_MS 10
#define REFILL_UNWANTED_MS 30000

uint32_t links_count(const weir_list_t *list)
{
    uint32_t n = 0;
    for (const weir_list_t *it = list->next; it != list; it = it->next)
        n++;
    return n;
}

static weir_link_t *first_of(const weir_list_t *list)
{
    return weir_list_empty(list) ? NULL : WEIR_CONTAINER(list->next, weir_link_t, node);
}

/* ---- opening ---- */

bool links_may_grow(const pool_server_t *s)
{
    return s->nlinks < s->pool->max;
}

void links_failed(pool_server_t *s, const char *why)
{
    pool_t *pool = s->pool;
    load_count(s, COUNT_FAILED, 1);
    s->failed_ms = pool->host->now_ms();
    snprintf(pool->why, sizeof(pool->why), "%s", why == NULL ? "unknown" : why);
}

bool links_open(pool_server_t *s)
{
    weir_error_t err = {""};
    weir_link_t *link = s->pool->host->link_open(s->server, &err);
    if (link == NULL) {
        links_failed(s, err.text);
        return false;
    }
    s->nlinks++;
    load_count(s, GAUGE_LINKS, 1);
    load_count(s, GAUGE_CONNECTING, 1);
    load_count(s, COUNT_OPENED, 1);
    weir_list_append(&s->connecting, &link->node);
    return true;
}

/* Sessions need links that have carried nothing, so of shared ones `min` of those are kept. */
uint32_t links_missing(const pool_server_t *s)
{
    uint32_t min = s->pool->min, max = s->pool->max;
    if (min == 0 || s->nlinks >= max)
        return 0;
    uint32_t have = s->pool->is_shared ? links_count(&s->fresh) + links_count(&s->connecting) : s->nlinks;
    uint32_t missing = have < min ? min - have : 0;
    return missing < max - s->nlinks ? missing : max - s->nlinks;
}

static uint64_t refill_ms(const pool_server_t *s)
{
    if (s->failed_ms > 0 || !s->pool->host->server_admits(s->server, NULL))
        return RETRY_MS;
    return s->is_unwanted ? REFILL_UNWANTED_MS : REFILL_MS;
}

void links_refill_later(pool_server_t *s)
{
    const weir_host_t *host = s->pool->host;
    weir_timeouts_t *queue = links_missing(s) > 0 ? host->timeouts(refill_ms(s)) : NULL;
    if (queue != NULL)
        host->timer_start(queue, &s->refill);
}

/* ---- leasing ---- */

bool links_lease(weir_link_t *link, wait_t *w)
{
    pool_server_t *s = link->server->pooled;
    bool was_fresh = !link->is_used;
    if (w->pool->host->exchange_lease(w->ex, link) != WEIR_OK)
        return false;
    weir_list_remove(&link->node);
    if (w->pool->is_shared && !w->is_own)
        weir_list_append(&s->busy, &link->node);
    w->server = s;
    load_begun(s);
    if (link->exchanges == 1)
        load_link_busy(s, 1);
    if ((was_fresh && w->pool->is_shared) || s->is_unwanted) {
        s->is_unwanted = false;
        links_refill_later(s);
    }
    return true;
}

static weir_link_t *links_least_busy(const pool_server_t *s)
{
    weir_link_t *best = NULL;
    for (const weir_list_t *it = s->busy.next; it != &s->busy; it = it->next) {
        weir_link_t *link = WEIR_CONTAINER(it, weir_link_t, node);
        if (best == NULL || link->exchanges < best->exchanges)
            best = link;
    }
    return best;
}

/* A shared link at work that has room for one more. Those at work are filled first: what one child knows (a subscription, a change
 * that it has to tell) another one does not. */
static weir_link_t *links_roomy(const pool_server_t *s)
{
    uint64_t room = (uint64_t)s->pool->options->exchanges_per_link;
    for (const weir_list_t *it = s->busy.next; it != &s->busy; it = it->next) {
        weir_link_t *link = WEIR_CONTAINER(it, weir_link_t, node);
        if (link->exchanges < room)
            return link;
    }
    return NULL;
}

/* All are full: the exchange shares the least busy one, and one more is opened for those that come. */
static weir_link_t *links_share(pool_server_t *s)
{
    weir_link_t *link = links_least_busy(s);
    if (link != NULL && weir_list_empty(&s->connecting) && links_may_grow(s) && s->failed_ms == 0)
        (void)links_open(s); /* this exchange has a link; the failure is counted */
    return link;
}

bool links_take(pool_server_t *s, wait_t *w)
{
    weir_link_t *link = NULL;
    if (!w->is_own) {
        link = s->pool->is_shared ? links_roomy(s) : NULL;
        if (link == NULL)
            link = first_of(&s->idle);
    }
    if (link == NULL)
        link = first_of(&s->fresh);
    if (link == NULL && !w->is_own)
        link = links_share(s);
    return link != NULL && links_lease(link, w);
}

bool links_make_room(pool_server_t *s)
{
    weir_link_t *link = first_of(&s->idle);
    if (link == NULL)
        return false;
    s->pool->host->link_close(link, WEIR_REASON_POOL_FULL, "closed to make room for a session");
    return true;
}
