/* client_replies.c: the way back to a client on a stream transport: what its exchanges bring is written to it, or is for its session. */
#include "client_inside.h"
#include "failure.h"

static bool is_method(const exchange_t *ex, weir_slice_t method)
{
    return weir_slice_eq(weir_slice(ex->note.method, ex->note.method_n), method);
}

static int client_head(weir_exchange_t *pub, const weir_reply_t *reply)
{
    (void)pub, (void)reply;
    return WEIR_OK;
}

/* Only a module of the chain answers in bytes, and then with one whole message. */
static int client_answer(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n)
{
    return client_write(pub->client, chunks, n);
}

static int client_reply(weir_exchange_t *pub, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    weir_client_t *client = pub->client;
    exchange_t *ex = exchange_of(pub);
    bool is_renewing = ex == client->renewing;
    if (ex == client->listen)
        client_note_event(client, event_id);
    if (is_final && n == 1 && is_method(ex, WEIR_LIT("initialize")))
        client_begin_session(client, ex, parts[0].bytes);
    if (is_final)
        client_forget(client, ex);
    int result = is_renewing ? WEIR_OK : client_write(client, parts, n);
    if (is_renewing && is_final)
        client_renew_on(client, pub->session_grant.n > 0);
    if (is_final)
        client_settle(client);
    return result;
}

static void client_end(weir_exchange_t *pub)
{
    weir_client_t *client = pub->client;
    exchange_t *ex = exchange_of(pub);
    bool was_listening = ex == client->listen;
    bool is_initialized = is_method(ex, WEIR_LIT("notifications/initialized"));
    bool is_renewing = ex == client->renewing;
    client_forget(client, ex);
    if (is_renewing)
        client_renewed(client);
    if (is_initialized)
        client_listen(client);
    else if (was_listening)
        client_listen_again(client);
    client_settle(client);
}

/* Nobody will answer this one any more. */
static void client_lose(weir_client_t *client, exchange_t *ex, const weir_failure_t *failure, bool was_listening)
{
    if (ex->pub.message.envelope.kind == WEIR_KIND_REQUEST)
        client_tell(client, ex->pub.message.envelope.id, failure);
    else if (ex->pub.message.envelope.kind == WEIR_KIND_BATCH)
        client_tell(client, WEIR_LIT("null"), failure);
    if (was_listening && failure->reason == WEIR_REASON_BAD_METHOD)
        client->cannot_listen = true; /* the server says nothing unasked */
    else if (was_listening)
        client_listen_again(client);
}

static void client_fail(weir_exchange_t *pub, const weir_failure_t *failure)
{
    weir_client_t *client = pub->client;
    exchange_t *ex = exchange_of(pub);
    bool was_listening = ex == client->listen, is_renewing = ex == client->renewing;
    bool is_over = failure->reason == WEIR_REASON_SESSION_NOT_FOUND && pub->verb != WEIR_VERB_END;
    client_forget(client, ex);
    if (is_renewing) {
        client_cannot_renew(client, failure);
    } else if (!is_over || !client_renew(client, ex)) {
        client_lose(client, ex, failure, was_listening);
        if (is_over && client->owner != NULL)
            client->events->end(client->owner, "its session is over");
    }
    client_settle(client);
}

const weir_accept_t client_accept = {
    .reply_head = client_head,
    .reply_bytes = client_answer,
    .reply_message = client_reply,
    .reply_end = client_end,
    .fail = client_fail,
};
