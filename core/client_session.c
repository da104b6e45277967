/* client_session.c: the session of a client on a stream transport: the token that it was granted, the exchange that listens for what the
 * server says unasked, and how a session that its server has forgotten is begun again.
 */
#include <stdlib.h>

#include "buf.h"
#include "bundle.h"
#include "client_inside.h"
#include "failure.h"
#include "log.h"
#include "message.h"
#include "proc.h"

/* How soon the stream of unasked messages is opened again after a server has ended it. */
#define LISTEN_AGAIN_MS 1000

/* ---- the stream of what the server says unasked ---- */

void client_listen(void *arg)
{
    weir_client_t *client = arg;
    if (client->owner == NULL || client->token == NULL || client->listen != NULL || client->cannot_listen)
        return;
    exchange_t *ex = client_exchange(client, WEIR_VERB_LISTEN);
    if (ex == NULL)
        return;
    client->listen = ex;
    ex->pub.last_event_id = weir_slice_str(client->event_id);
    exchange_submit(&ex->pub);
}

void client_listen_again(weir_client_t *client)
{
    if (client->owner != NULL && !client->cannot_listen)
        timer_start(timers_get(LISTEN_AGAIN_MS), &client->again);
}

void client_note_event(weir_client_t *client, weir_slice_t id)
{
    if (id.n == 0 || id.n >= sizeof(client->event_id))
        return;
    memcpy(client->event_id, id.p, id.n);
    client->event_id[id.n] = '\0';
}

/* ---- its beginning and its end ---- */

void client_end_session(weir_client_t *client)
{
    if (client->token == NULL || proc->is_stopping)
        return;
    exchange_t *ex = client_exchange(client, WEIR_VERB_END);
    if (ex != NULL)
        exchange_submit(&ex->pub);
}

void client_begin_session(weir_client_t *client, const exchange_t *ex, weir_slice_t answer)
{
    weir_envelope_t env;
    weir_slice_t token = ex->pub.session_grant;
    if (message_scan(answer, &env) == WEIR_SCAN_OK && env.version.n > 0 && env.version.n < sizeof(client->revision)) {
        memcpy(client->revision, env.version.p, env.version.n);
        client->revision[env.version.n] = '\0';
    }
    if (token.n == 0)
        return;
    free(client->token);
    client->token = strndup(token.p, token.n);
    client->event_id[0] = '\0';
    client->cannot_listen = false;
}

/* ---- when its server has forgotten it ---- */

static exchange_t *client_ask(weir_client_t *client, weir_slice_t bytes, weir_buf_t *buf)
{
    weir_message_t message = {.bytes = bytes};
    exchange_t *ex = NULL;
    if (message_scan(bytes, &message.envelope) == WEIR_SCAN_OK)
        ex = client_exchange(client, WEIR_VERB_MESSAGE);
    if (ex != NULL)
        client_carry(client, ex, &message, buf);
    return ex;
}

/* Without it the session ends when its server forgets it. */
void client_note_initialize(weir_client_t *client, weir_slice_t bytes)
{
    if (renewal_note(&client->renewal, bytes) != WEIR_OK)
        log_write(WEIR_LOG_WARN, "listener %s: %s: no memory to keep its initialize", client->listener->name,
                  client_name(client));
}

/* One of weir's own messages to the server. */
static bool client_renew_with(weir_client_t *client, weir_slice_t bytes)
{
    weir_buf_t *buf = buf_new(bytes.n);
    if (buf == NULL)
        return false;
    memcpy(buf->data, bytes.p, bytes.n);
    client->renewing = client_ask(client, weir_slice(buf->data, bytes.n), buf);
    buf_unref(buf);
    if (client->renewing == NULL)
        return false;
    exchange_start(&client->renewing->pub);
    return true;
}

/* The requests that wait for it are answered with what went wrong; the next message that comes tries again. */
void client_cannot_renew(weir_client_t *client, const weir_failure_t *failure)
{
    weir_chunk_t request;
    weir_envelope_t env;
    while (renewal_next(&client->renewal, &request)) {
        if (message_scan(request.bytes, &env) == WEIR_SCAN_OK && env.kind == WEIR_KIND_REQUEST)
            client_tell(client, env.id, failure);
        buf_unref(request.buf);
    }
}

/* The server knows the client again: what it had refused is sent to it now. */
void client_renewed(weir_client_t *client)
{
    weir_chunk_t request;
    while (renewal_next(&client->renewal, &request)) {
        exchange_t *ex = client->owner == NULL ? NULL : client_ask(client, request.bytes, request.buf);
        buf_unref(request.buf);
        if (ex != NULL)
            exchange_submit(&ex->pub);
    }
}

void client_renew_on(weir_client_t *client, bool has_session)
{
    static const char initialized[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
    weir_failure_t failure = failure_of(WEIR_REASON_SESSION_NOT_FOUND,
                                        WEIR_LIT("the server has forgotten the session, and would not begin another"));
    if (has_session && client_renew_with(client, WEIR_LIT(initialized)))
        log_write(WEIR_LOG_NOTICE, "listener %s: %s: its session was forgotten by the server and is begun again",
                  client->listener->name, client_name(client));
    else
        client_cannot_renew(client, &failure);
}

bool client_renew(weir_client_t *client, exchange_t *ex)
{
    renewal_t *renewal = &client->renewal;
    weir_chunk_t request = {.bytes = ex->pub.message.bytes, .buf = ex->pub.body.buf};
    bool is_stale = !weir_slice_eq(ex->pub.session_token, weir_slice_str(client->token));
    if (client->owner == NULL || renewal->initialize == NULL)
        return false;
    if (ex->pub.verb == WEIR_VERB_MESSAGE && (request.buf == NULL || renewal_keep(renewal, &request) != WEIR_OK))
        return false;
    if (is_stale && client->renewing == NULL)
        client_renewed(client);
    return is_stale || client->renewing != NULL ||
           client_renew_with(client, weir_slice(renewal->initialize, renewal->initialize_n));
}
