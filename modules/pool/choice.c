/* choice.c: which server: the strategies of the pool, over what is known of each server at this moment. */
#include "pool.h"

typedef bool choice_test_t(const pool_server_t *s, const wait_t *w);

bool choice_is_eligible(const wait_t *w, const pool_server_t *s)
{
    return w->bound == NULL || w->bound == s;
}

static bool is_failing(const pool_server_t *s)
{
    return s->failed_ms > 0 && s->pool->host->now_ms() - s->failed_ms < RETRY_MS;
}

static bool is_ready(const pool_server_t *s, const wait_t *w)
{
    if (!weir_list_empty(&s->fresh))
        return true;
    return !w->is_own && !(weir_list_empty(&s->idle) && weir_list_empty(&s->busy));
}

static bool is_growable(const pool_server_t *s, const wait_t *w)
{
    (void)w;
    return links_may_grow(s) && !is_failing(s);
}

/* A server without an idle link has its turn too: otherwise those whose links were opened first would get everything. */
static bool is_useful(const pool_server_t *s, const wait_t *w)
{
    return is_ready(s, w) || is_growable(s, w);
}

static bool is_last_resort(const pool_server_t *s, const wait_t *w)
{
    (void)w;
    return links_may_grow(s);
}

static bool is_lighter(const pool_server_t *a, const pool_server_t *b)
{
    return (uint64_t)a->load * b->server->weight < (uint64_t)b->load * a->server->weight;
}

/* A server that a module of the chain has refused to this exchange is not asked about again in this choice. */
static bool is_refused(const pool_server_t *s)
{
    return s->refused == s->pool->asking;
}

/* The best of the servers that pass the test. Both strategies look from the one whose turn it is, so that equals take turns. */
static pool_server_t *choice(pool_t *pool, const wait_t *w, choice_test_t *test)
{
    if (w->bound != NULL)
        return test(w->bound, w) && !is_refused(w->bound) ? w->bound : NULL;
    pool_server_t *best = NULL;
    uint32_t at = pool->turn;
    for (uint32_t i = 0; i < pool->nservers; i++, at = at + 1 < pool->nservers ? at + 1 : 0) {
        pool_server_t *s = &pool->servers[at];
        if (!test(s, w) || is_refused(s))
            continue;
        if (pool->options->strategy == STRATEGY_ROUND_ROBIN)
            return s;
        if (best == NULL || is_lighter(s, best))
            best = s;
    }
    return best;
}

bool choice_admits(const wait_t *w, const pool_server_t *s)
{
    return s->pool->host->server_admits(s->server, w->ex);
}

/* The best that the other modules let it go to. */
static pool_server_t *choice_admitted(pool_t *pool, const wait_t *w, choice_test_t *test)
{
    pool_server_t *s;
    while ((s = choice(pool, w, test)) != NULL && !choice_admits(w, s))
        s->refused = pool->asking;
    return s;
}

pool_server_t *choice_server(pool_t *pool, const wait_t *w)
{
    pool->asking++;
    pool_server_t *s = choice_admitted(pool, w, is_useful);
    if (s == NULL)
        s = choice_admitted(pool, w, is_last_resort);
    uint32_t next = s == NULL ? pool->turn : s->server->index + 1;
    pool->turn = next < pool->nservers ? next : 0;
    return s;
}

pool_server_t *choice_growable(pool_t *pool, const wait_t *w)
{
    pool->asking++;
    return choice_admitted(pool, w, is_growable);
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
