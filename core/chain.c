/* chain.c: see chain.h. A module is asked at most once about an exchange, and hears the end of each it was asked about. */
#include "chain.h"

static void *chain_state(exchange_t *ex, const chain_item_t *item)
{
    return (char *)ex->state_base + item->state_offset;
}

bool chain_run(exchange_t *ex)
{
    upstream_t *up = ex->upstream;
    while (ex->state == EXCHANGE_CHAIN && ex->chain_at < up->nchain) {
        chain_item_t *item = &up->chain[ex->chain_at];
        ex->entered = ex->chain_at + 1;
        weir_verdict_t verdict = item->ops->request(item->self, &ex->pub, chain_state(ex, item));
        if (verdict != WEIR_PASS)
            return false;
        ex->chain_at++;
    }
    return ex->state == EXCHANGE_CHAIN;
}

/* To the links' owner it is as if one exchange had ended and another one came. */
bool chain_again(exchange_t *ex)
{
    upstream_t *up = ex->upstream;
    chain_item_t *owner = up->link_owner;
    /* Whatever is made of an end, this one says neither good nor bad of the server. */
    const weir_outcome_t nothing = {.reason = WEIR_REASON_CLIENT_GONE};
    if (owner->ops->end != NULL)
        owner->ops->end(owner->self, &ex->pub, chain_state(ex, owner), &nothing);
    memset(chain_state(ex, owner), 0, owner->ops->state_size);
    ex->chain_at = (uint32_t)(owner - up->chain);
    ex->state = EXCHANGE_CHAIN;
    return chain_run(ex);
}

void chain_end(exchange_t *ex, const weir_outcome_t *outcome)
{
    upstream_t *up = ex->upstream;
    for (uint32_t i = ex->entered; i-- > 0;) {
        chain_item_t *item = &up->chain[i];
        if (item->ops->end != NULL)
            item->ops->end(item->self, &ex->pub, chain_state(ex, item), outcome);
    }
}

void chain_reply(exchange_t *ex, const weir_message_t *message)
{
    upstream_t *up = ex->upstream;
    for (uint32_t i = ex->entered; i-- > 0;) {
        chain_item_t *item = &up->chain[i];
        if (item->ops->reply != NULL)
            item->ops->reply(item->self, &ex->pub, chain_state(ex, item), message);
    }
}

bool chain_admits(weir_server_t *server, weir_exchange_t *pub)
{
    upstream_t *up = upstream_of(server->upstream);
    exchange_t *ex = pub == NULL ? NULL : exchange_of(pub);
    uint32_t n = ex == NULL ? up->nchain : ex->entered;
    for (uint32_t i = 0; i < n; i++) {
        chain_item_t *item = &up->chain[i];
        if (item->ops->admit != NULL &&
            !item->ops->admit(item->self, server, pub, ex == NULL ? NULL : chain_state(ex, item)))
            return false;
    }
    return true;
}

void chain_leased(exchange_t *ex)
{
    upstream_t *up = ex->upstream;
    for (uint32_t i = 0; i < ex->entered; i++) {
        chain_item_t *item = &up->chain[i];
        if (item->ops->leased != NULL)
            item->ops->leased(item->self, &ex->pub, chain_state(ex, item));
    }
}

void chain_streaming(exchange_t *ex, uint16_t status)
{
    upstream_t *up = ex->upstream;
    for (uint32_t i = 0; i < ex->entered; i++) {
        chain_item_t *item = &up->chain[i];
        if (item->ops->streaming != NULL)
            item->ops->streaming(item->self, &ex->pub, chain_state(ex, item), status);
    }
}

void chain_connect_failed(weir_server_t *server, const char *why)
{
    upstream_t *up = upstream_of(server->upstream);
    for (uint32_t i = 0; i < up->nchain; i++)
        if (up->chain[i].ops->connect_failed != NULL)
            up->chain[i].ops->connect_failed(up->chain[i].self, server, why);
}
