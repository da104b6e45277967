/* forward.c: the way there: from the client by route, session token and chain to whatever carries the exchange to a server. The way
 * back is reply.c's.
 */
#include <stdarg.h>
#include <stdio.h>

#include "carrier.h"
#include "chain.h"
#include "exchanges.h"
#include "grant.h"
#include "log.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"
#include "token.h"
#include "upstreams.h"

/* What the message claims in its own metadata counts before what a head says. A revision that nobody knows is a modern server's to
 * refuse, with the list of those it speaks; `initialize` is modern only with metadata that no legacy client sends. */
static bool is_modern_date(weir_slice_t revision)
{
    return revision.n == 10 &&
           memcmp(revision.p, "2026-07-28", 10) >= 0; /* revisions are dates: they compare as text */
}

static weir_era_t era_of(const weir_exchange_t *pub)
{
    const weir_envelope_t *env = &pub->message.envelope;
    if (env->capabilities.p == NULL && weir_slice_eq(env->method, WEIR_LIT("initialize")))
        return WEIR_ERA_LEGACY;
    if (env->version.n > 0)
        return is_modern_date(env->version) || token_version(env->version) == 0 ? WEIR_ERA_MODERN : WEIR_ERA_LEGACY;
    weir_slice_t version =
        pub->head == NULL ? WEIR_LIT("") : weir_head_value(pub->head, WEIR_FIELD_MCP_PROTOCOL_VERSION);
    return is_modern_date(version) ? WEIR_ERA_MODERN : WEIR_ERA_LEGACY;
}

/* Room for the per-exchange states of all modules of the chain, zeroed. */
static bool exchange_make_states(exchange_t *ex, upstream_t *up)
{
    ex->state_base = ex->states;
    if (up->state_size > sizeof(ex->states))
        ex->state_base = exchange_alloc(&ex->pub, up->state_size);
    else
        memset(ex->states, 0, up->state_size);
    return ex->state_base != NULL;
}

void exchange_enter(exchange_t *ex, upstream_t *up)
{
    ex->upstream = up;
    ex->pub.upstream = &up->pub;
    ex->pub.is_watched = up->is_watched;
    ex->is_counted = proc->kind == PROC_WORKER;
    if (ex->is_counted)
        stats_begin(up->stats);
    if (!exchange_make_states(ex, up)) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory for the chain's states", up->pub.name);
        return;
    }
    ex->state = EXCHANGE_CHAIN;
    if (chain_run(ex))
        exchange_dispatch(ex);
}

bool exchange_route(exchange_t *ex)
{
    weir_exchange_t *pub = &ex->pub;
    exchange_take_note(ex);
    if (pub->era == WEIR_ERA_UNKNOWN)
        pub->era = era_of(pub);
    weir_slice_t host = pub->head == NULL ? pub->host : weir_head_value(pub->head, WEIR_FIELD_HOST);
    weir_slice_t target = pub->head == NULL ? pub->target : pub->head->target;
    upstream_t *up = listener_route(pub->listener, host, target);
    if (up == NULL) {
        exchange_fail(pub, WEIR_REASON_NOT_FOUND, "listener %s has no route for %.*s", pub->listener->name,
                      WEIR_FMT(target));
        return false;
    }
    ex->upstream = up;
    pub->upstream = &up->pub;
    return grant_open(ex) == WEIR_OK;
}

void exchange_start(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (exchange_route(ex))
        exchange_enter(ex, ex->upstream); /* its session may be one of the fallback's */
}

/* The chain has passed the request. */
void exchange_dispatch(exchange_t *ex)
{
    ex->state = EXCHANGE_SENT;
    timer_start(ex->upstream->reply_timeouts, &ex->timer);
    ex->upstream->carrier->send(ex);
}

int exchange_resume(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_HELD)
        return WEIR_ENOHOLD;
    exchange_unhold(ex);
    ex->state = EXCHANGE_CHAIN;
    ex->chain_at++;
    if (chain_run(ex))
        exchange_dispatch(ex);
    return WEIR_OK;
}

void exchange_again(exchange_t *ex)
{
    if (ex->pub.is_checkup) {
        exchange_fail(&ex->pub, WEIR_REASON_CLIENT_GONE, "%s: the link was closed before it was checked",
                      ex->upstream->pub.name);
        return;
    }
    if (ex->state != EXCHANGE_SENT) {
        exchange_fail(&ex->pub, WEIR_REASON_SERVER_DIED, "%s: the link was closed", ex->upstream->pub.name);
        return;
    }
    timer_stop(&ex->timer);
    ex->is_leased = false;
    if (ex->pub.server_session.n == 0)
        ex->server = NULL; /* any of them will do */
    if (chain_again(ex))
        exchange_dispatch(ex);
}

/* Only what has reached no server and belongs to none goes elsewhere, and one step only. */
static upstream_t *exchange_fallback(const exchange_t *ex)
{
    bool is_free = !ex->has_session && ex->pub.server_session.n == 0 && ex->link == NULL && ex->channel == NULL;
    if (proc->kind != PROC_WORKER || ex->upstream == NULL || ex->has_fallen_back || !is_free ||
        ex->pub.verb != WEIR_VERB_MESSAGE || ex->state == EXCHANGE_REPLYING)
        return NULL;
    return upstream_fallback(ex->upstream);
}

/* For its first upstream it has ended; for the client, and the access log, it goes on. */
static void exchange_fall_back(exchange_t *ex, upstream_t *up, weir_slice_t why)
{
    weir_outcome_t outcome = exchange_outcome(ex, WEIR_REASON_BREAKER_OPEN);
    log_write(WEIR_LOG_INFO, "exchange goes to %s: %.*s", up->pub.name, WEIR_FMT(why));
    exchange_unhold(ex);
    if (ex->is_counted)
        stats_end(ex->upstream->stats, &outcome);
    chain_end(ex, &outcome);
    ex->is_counted = ex->is_leased = false;
    ex->has_fallen_back = true;
    ex->server = NULL;
    ex->entered = ex->chain_at = 0;
    ex->retry_after_ms = 0;
    ex->upstream = up;
    ex->pub.upstream = &up->pub;
    ex->state = EXCHANGE_NEW;
    if (grant_open(ex) == WEIR_OK)
        exchange_enter(ex, up);
}

void exchange_fail_over(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
{
    exchange_t *ex = exchange_of(pub);
    char text[WEIR_ERROR_MAX] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    upstream_t *fallback = reason == WEIR_REASON_BREAKER_OPEN ? exchange_fallback(ex) : NULL;
    if (fallback != NULL)
        exchange_fall_back(ex, fallback, weir_slice_str(text));
    else
        exchange_fail(pub, reason, "%s", text);
}
