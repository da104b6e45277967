/* told.c: what the host tells of links: one is up, is free again, has gone. Which place a link is in then stands in links.c. */
#include "pool.h"

static bool is_connecting(const pool_server_t *s, const weir_link_t *link)
{
    for (const weir_list_t *it = s->connecting.next; it != &s->connecting; it = it->next)
        if (it == &link->node)
            return true;
    return false;
}

static void links_gone(pool_server_t *s, weir_link_t *link, const char *why)
{
    if (is_connecting(s, link)) {
        load_count(s, GAUGE_CONNECTING, -1);
        links_failed(s, why);
        health_connect_failed(s, why);
    } else {
        s->is_unwanted = s->is_unwanted || (!link->is_used && !s->pool->upstream->is_dear);
        load_link_gone(s, link);
    }
    weir_list_remove(&link->node);
    s->nlinks--;
    load_count(s, GAUGE_LINKS, -1);
    links_refill_later(s);
}

static void links_free(pool_server_t *s, weir_link_t *link, bool is_new)
{
    weir_list_remove(&link->node);
    weir_list_prepend(is_new ? &s->fresh : &s->idle, &link->node);
    if (is_new) {
        s->failed_ms = 0;
        load_link_up(s, link);
        health_link_up(s, link);
    } else {
        load_link_busy(s, -1);
    }
    if (s->pool->nwaiting > 0)
        waiting_serve(s->pool, link);
}

void links_event(pool_t *pool, weir_link_t *link, weir_link_event_t event, const char *why)
{
    pool_server_t *s = link->server->pooled;
    if (event == WEIR_LINK_EVENT_DOWN)
        links_gone(s, link, why);
    else
        links_free(s, link, event == WEIR_LINK_EVENT_UP);
    if (pool->nwaiting > 0)
        waiting_provide(pool);
}
