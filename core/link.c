/* link.c: see the table in link.h. */
#include "link.h"

#include <stdarg.h>
#include <stdlib.h>

#include "carrier.h"
#include "chain.h"
#include "exchanges.h"
#include "log.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

static void link_bury(void *arg)
{
    link_t *link = arg;
    link->pub.magic = 0;
    free(link);
}

/* The one place where a link changes its state; tells the chain's link owner, who hears DOWN once. */
static void link_move(link_t *link, weir_link_state_t state, const char *why)
{
    static const weir_link_event_t events[] = {
        [WEIR_LINK_IDLE] = WEIR_LINK_EVENT_FREE,
        [WEIR_LINK_DEAD] = WEIR_LINK_EVENT_DOWN,
        [WEIR_LINK_LEAVING] = WEIR_LINK_EVENT_DOWN,
    };
    weir_link_state_t old = link->pub.state;
    link->pub.state = state;
    link->line->state = (uint8_t)state;
    if (state == WEIR_LINK_BUSY || old == WEIR_LINK_LEAVING)
        return;
    weir_link_event_t event =
        old == WEIR_LINK_CONNECTING && state == WEIR_LINK_IDLE ? WEIR_LINK_EVENT_UP : events[state];
    chain_item_t *owner = link_upstream(link)->link_owner;
    owner->ops->link(owner->self, &link->pub, event, why);
}

weir_link_t *link_open(weir_server_t *server, weir_error_t *err)
{
    upstream_t *up = upstream_of(server->upstream);
    link_t *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        weir_error(err, "%s: no memory for a link", up->pub.name);
        return NULL;
    }
    link->pub = (weir_link_t){.magic = WEIR_LINK_MAGIC, .state = WEIR_LINK_CONNECTING, .server = server};
    link->pub.born_ms = now_ms();
    link->burial = (weir_timer_t){.fire = link_bury, .arg = link};
    weir_list_init(&link->burial.node);
    weir_list_init(&link->pub.node);
    weir_list_init(&link->exchanges);
    server_t *of = WEIR_CONTAINER(server, server_t, pub);
    weir_list_append(&of->links, &link->in_server);
    link->line = ledger_take(proc->stats == NULL ? NULL : stats_ledger(proc->stats), up->name_hash, of->name_hash);
    link->line->born_ms = link->pub.born_ms;
    if (up->connect->open(&link->pub, err) != WEIR_OK) {
        ledger_give_back(link->line);
        chain_connect_failed(server, err == NULL ? "unknown" : err->text);
        weir_list_remove(&link->in_server);
        free(link);
        return NULL;
    }
    stats_add(up->stats, STATS_LINKS, 1);
    return &link->pub;
}

void link_up(weir_link_t *pub)
{
    link_t *link = link_of(pub);
    if (link->pub.state != WEIR_LINK_CONNECTING)
        return;
    link->pub.born_ms = link->line->born_ms = now_ms();
    link_move(link, WEIR_LINK_IDLE, NULL);
}

/* Everybody who was on the link learns it; each exchange ends on its own. */
static void link_fail_exchanges(link_t *link, weir_reason_t reason, const char *why)
{
    while (!weir_list_empty(&link->exchanges)) {
        exchange_t *ex = WEIR_CONTAINER(link->exchanges.next, exchange_t, on_link);
        weir_list_remove(&ex->on_link);
        ex->link = NULL;
        ex->pub.link = NULL;
        if (reason == WEIR_REASON_NONE)
            exchange_again(ex);
        else
            exchange_fail(&ex->pub, reason, "%s: %s: %s", ex->upstream->pub.name, link->pub.server->name, why);
    }
}

/* Dead is dead once: what comes later finds the state and goes away. */
static void link_die(link_t *link, weir_reason_t reason, const char *why)
{
    if (link->pub.state == WEIR_LINK_DEAD)
        return;
    upstream_t *up = link_upstream(link);
    weir_list_remove(&link->in_server);
    link_move(link, WEIR_LINK_DEAD, why);
    ledger_give_back(link->line);
    link->line = ledger_nowhere();
    stats_add(up->stats, STATS_LINKS, -1);
    link_fail_exchanges(link, reason, why);
    if (up->carrier->link_died != NULL)
        up->carrier->link_died(link, reason, why);
    timer_at_turn_end(&link->burial);
}

void link_down(weir_link_t *pub, weir_reason_t reason, const char *format, ...)
{
    char why[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    /* Before the waiting hear of it: they may not go there any more. */
    if (pub->state == WEIR_LINK_CONNECTING)
        chain_connect_failed(pub->server, why);
    link_die(link_of(pub), reason, why);
}

void link_close(weir_link_t *pub, weir_reason_t reason, const char *why)
{
    link_t *link = link_of(pub);
    if (link->pub.state == WEIR_LINK_DEAD)
        return;
    link_upstream(link)->connect->close(pub);
    link_die(link, reason, why);
}

void link_retire(weir_link_t *pub, const char *why)
{
    if (pub->state == WEIR_LINK_IDLE)
        link_close(pub, WEIR_REASON_NONE, why);
    else if (pub->state == WEIR_LINK_BUSY)
        link_move(link_of(pub), WEIR_LINK_LEAVING, why);
}

int link_lease(weir_link_t *pub, exchange_t *ex)
{
    link_t *link = link_of(pub);
    bool is_shared = link_upstream(link)->pub.is_shared;
    if (pub->state != WEIR_LINK_IDLE && !(pub->state == WEIR_LINK_BUSY && is_shared))
        return WEIR_EFULL;
    link->line->in_flight = ++pub->exchanges;
    pub->is_used = true;
    if (pub->state == WEIR_LINK_IDLE)
        link_move(link, WEIR_LINK_BUSY, NULL);
    weir_list_append(&link->exchanges, &ex->on_link);
    ex->link = link;
    ex->pub.link = pub;
    ex->server = WEIR_CONTAINER(pub->server, server_t, pub);
    ex->is_leased = true;
    return WEIR_OK;
}

int exchange_lease(weir_exchange_t *pub, weir_link_t *link)
{
    exchange_t *ex = exchange_of(pub);
    int result = link_lease(link, ex);
    if (result != WEIR_OK)
        return result;
    if (ex->state == EXCHANGE_HELD)
        ex->leased_us = now_us();
    chain_leased(ex);
    return WEIR_OK;
}

void link_release(link_t *link, exchange_t *ex, bool is_whole)
{
    weir_list_remove(&ex->on_link);
    ex->link = NULL;
    link->line->in_flight = --link->pub.exchanges;
    const upstream_t *up = link_upstream(link);
    /* Others go on on a shared link, where an exchange may have ended before its reply did. */
    bool is_over = is_whole && !(up->connect->flags & WEIR_CONNECT_SHARED);
    if (!(up->connect->flags & WEIR_CONNECT_STREAM) && !is_over && link->pub.state != WEIR_LINK_DEAD)
        up->connect->abandon(&link->pub, &ex->pub);
    ex->pub.link = NULL;
    if (!up->pub.is_shared || link->pub.exchanges > 0)
        return;
    if (link->pub.state == WEIR_LINK_BUSY && link->session == NULL)
        link_move(link, WEIR_LINK_IDLE, NULL);
    else if (link->pub.state == WEIR_LINK_LEAVING)
        link_close(&link->pub, WEIR_REASON_NONE, "its last exchange has ended");
}

void link_free_again(weir_link_t *pub)
{
    link_t *link = link_of(pub);
    if (pub->state == WEIR_LINK_BUSY && pub->exchanges == 0)
        link_move(link, WEIR_LINK_IDLE, NULL);
}

void link_own(link_t *link, struct session *session)
{
    link->session = session;
    link->pub.is_owned = link->line->is_owned = true;
}

void link_disown(link_t *link)
{
    link->session = NULL;
    link_close(&link->pub, WEIR_REASON_SESSION_NOT_FOUND, "its session has ended");
}

static void link_send(exchange_t *ex)
{
    const weir_connect_t *connect = ex->upstream->connect;
    if (connect->send(&ex->link->pub, &ex->pub) != WEIR_OK && ex->state != EXCHANGE_ENDED)
        exchange_fail(&ex->pub, WEIR_REASON_CONNECT_FAILED, "%s: the request could not be sent to %s",
                      ex->upstream->pub.name, ex->link->pub.server->name);
}

static void link_forget(exchange_t *ex, weir_reason_t reason)
{
    if (ex->link != NULL)
        link_release(ex->link, ex, reason == WEIR_REASON_NONE);
}

static void link_pause(exchange_t *ex, bool is_paused)
{
    const weir_connect_t *connect = ex->upstream->connect;
    if (ex->link == NULL)
        return;
    if (connect->hold != NULL)
        connect->hold(&ex->link->pub, &ex->pub, is_paused);
    else
        connect->pause(&ex->link->pub, is_paused);
}

const carrier_t link_carrier = {.send = link_send, .forget = link_forget, .pause = link_pause};
