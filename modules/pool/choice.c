/* choice.c: which server: those that could serve an exchange at this moment, and among them the one that the strategy names. */
#include "pool.h"

typedef bool choice_test_t(const pool_server_t *s, const wait_t *w);

/* No server may be used but those that are kept for this very case. */
static bool is_fallback_due(const pool_t *pool)
{
    for (uint32_t i = 0; i < pool->nservers; i++)
        if (!pool->servers[i].server->is_fallback && pool->host->server_admits(pool->servers[i].server, NULL))
            return false;
    return true;
}

bool choice_is_eligible(const wait_t *w, const pool_server_t *s)
{
    if (w->bound != NULL)
        return w->bound == s;
    return !s->server->is_fallback || is_fallback_due(s->pool);
}

bool choice_fits(const weir_link_t *link, const wait_t *w)
{
    if (!choice_is_eligible(w, link->server->pooled) || link->is_owned)
        return false;
    if (w->is_own)
        return link->state == WEIR_LINK_IDLE && !link->is_used;
    return link->state == WEIR_LINK_IDLE || (link->state == WEIR_LINK_BUSY && w->pool->is_shared);
}

static bool is_failing(const pool_server_t *s)
{
    return s->failed_ms > 0 && s->pool->host->now_ms() - s->failed_ms < RETRY_MS;
}

static bool is_ready(const pool_server_t *s, const wait_t *w)
{
    if (!weir_list_empty(&s->fresh))
        return true;
    return !w->is_own && (!weir_list_empty(&s->idle) || !weir_list_empty(&s->busy));
}

static bool is_growable(const pool_server_t *s, const wait_t *w)
{
    (void)w;
    return links_may_grow(s) && !is_failing(s);
}

/* A server without an idle link has its turn too: otherwise those whose links were opened first would get everything. */
static bool is_useful(const pool_server_t *s, const wait_t *w)
{
    return !health_is_ejected(s) && (is_ready(s, w) || is_growable(s, w));
}

static bool is_last_resort(const pool_server_t *s, const wait_t *w)
{
    return is_ready(s, w) || links_may_grow(s);
}

bool choice_admits(const wait_t *w, const pool_server_t *s)
{
    return s->pool->host->server_admits(s->server, w->ex);
}

/* The servers that pass the test. Inline, and so with the test in its loop: this is done for every exchange. */
static inline uint32_t candidates_of(pool_t *pool, const wait_t *w, choice_test_t *test)
{
    const pool_server_t *s = pool->servers;
    uint32_t *candidates = pool->candidates, nservers = pool->nservers, n = 0;
    for (uint32_t i = 0; i < nservers; i++, s++)
        if (test(s, w) && (!s->server->is_fallback || is_fallback_due(pool))) /* it is bound to none */
            candidates[n++] = i;
    return n;
}

/* The strategy's choice of the candidates; where the other modules of the chain refuse that one, the next best. */
static pool_server_t *choice_among(pool_t *pool, const wait_t *w, uint32_t n)
{
    while (n > 0) {
        uint32_t at = n == 1 ? 0 : pool->balancer->choose(pool->strategy, w->ex, pool->candidates, n);
        pool_server_t *s = &pool->servers[pool->candidates[at]];
        if (choice_admits(w, s))
            return s;
        memmove(&pool->candidates[at], &pool->candidates[at + 1], (--n - at) * sizeof(pool->candidates[0]));
    }
    return NULL;
}

/* The one server that there is to go to; NULL: there is a choice. */
static pool_server_t *choice_only(const pool_t *pool, const wait_t *w)
{
    return w->bound != NULL ? w->bound : pool->nservers == 1 ? &pool->servers[0] : NULL;
}

pool_server_t *choice_server(pool_t *pool, const wait_t *w)
{
    pool_server_t *s = choice_only(pool, w);
    if (s != NULL)
        return is_last_resort(s, w) && choice_admits(w, s) ? s : NULL;
    s = choice_among(pool, w, candidates_of(pool, w, is_useful));
    return s != NULL ? s : choice_among(pool, w, candidates_of(pool, w, is_last_resort));
}

pool_server_t *choice_growable(pool_t *pool, const wait_t *w)
{
    pool_server_t *s = choice_only(pool, w);
    if (s != NULL)
        return is_growable(s, w) && choice_admits(w, s) ? s : NULL;
    return choice_among(pool, w, candidates_of(pool, w, is_growable));
}

bool choice_is_barred(const pool_t *pool, const wait_t *w)
{
    for (uint32_t i = 0; i < pool->nservers; i++)
        if (choice_is_eligible(w, &pool->servers[i]) && choice_admits(w, &pool->servers[i]))
            return false;
    return true;
}

bool choice_is_failing(const pool_t *pool, const wait_t *w)
{
    for (uint32_t i = 0; i < pool->nservers; i++)
        if (choice_is_eligible(w, &pool->servers[i]) && is_failing(&pool->servers[i]))
            return true;
    return false;
}
