/* client_exchanges.c: the exchanges of a client on a stream transport: made of its messages, counted while they are in flight, and what
 * their number and their bytes mean for whether more is read from it.
 */
#include "client_inside.h"

#include "buf.h"
#include "message.h"

#define HIGH_MARK 0.8
#define LOW_MARK 0.3

const char *client_name(const weir_client_t *client)
{
    return client->peer == NULL ? "its client" : client->peer;
}

/* What it asked for, and has no answer to yet: its listening is no request of its own. */
static uint32_t client_asked(const weir_client_t *client)
{
    return client->in_flight - (client->listen == NULL ? 0 : 1);
}

/* Its servers are slower than it: what they have not answered yet stays within bounds, and the client waits. */
static bool client_is_heavy(const weir_client_t *client)
{
    double part = (double)client->in_flight_bytes / (double)client->listener->conf->max_in_flight;
    return part >= (client->is_heavy ? LOW_MARK : HIGH_MARK);
}

void client_mind_flood(weir_client_t *client)
{
    client->is_heavy = client_is_heavy(client);
    bool is_full = client->renewing != NULL || client->is_heavy ||
                   client_asked(client) >= (uint64_t)client->listener->conf->max_exchanges;
    if (client->owner == NULL || is_full == client->is_paused)
        return;
    client->is_paused = is_full;
    client->events->pause(client->owner, is_full);
}

/* An exchange outlives the token that it was sent with when the session is begun again. */
static weir_slice_t client_token(const weir_client_t *client, weir_exchange_t *pub)
{
    weir_slice_t token = weir_slice_str(client->token);
    char *copy = token.n == 0 ? NULL : exchange_alloc(pub, token.n);
    if (copy == NULL)
        return (weir_slice_t){NULL, 0};
    memcpy(copy, token.p, token.n);
    return weir_slice(copy, token.n);
}

exchange_t *client_exchange(weir_client_t *client, weir_verb_t verb)
{
    weir_exchange_t *pub = exchange_new(client->listener, client);
    if (pub == NULL)
        return NULL;
    exchange_t *ex = exchange_of(pub);
    ex->accept = client->accept;
    pub->host = weir_slice_str(client->host);
    pub->target = weir_slice_str(client->target);
    pub->verb = verb;
    pub->wants_messages = true;
    pub->is_tls = client->is_tls;
    pub->peer = weir_slice_str(client->peer);
    pub->authorization = weir_slice_str(client->authorization);
    pub->principal = weir_slice_str(client->principal);
    pub->session_token = client_token(client, pub);
    pub->revision = weir_slice_str(client->revision);
    weir_list_append(&client->exchanges, &ex->of_client);
    client->in_flight++;
    return ex;
}

void client_carry(weir_client_t *client, exchange_t *ex, const weir_message_t *message, weir_buf_t *buf)
{
    ex->bytes_in = message->bytes.n;
    client->in_flight_bytes += ex->bytes_in;
    ex->pub.message = *message;
    ex->pub.body = (weir_chunk_t){.bytes = message->bytes, .buf = buf};
    buf_ref(buf);
}

void client_forget(weir_client_t *client, exchange_t *ex)
{
    weir_list_remove(&ex->of_client);
    client->in_flight--;
    client->in_flight_bytes -= ex->bytes_in;
    if (client->listen == ex)
        client->listen = NULL;
    if (client->renewing == ex)
        client->renewing = NULL;
}

void client_settle(weir_client_t *client)
{
    if (client->owner != NULL && client->is_finishing && client_asked(client) == 0)
        client->events->end(client->owner, "all is answered");
    else if (client->owner != NULL)
        client_mind_flood(client);
    else if (client->in_flight == 0)
        timer_at_turn_end(&client->burial);
}

int client_write(weir_client_t *client, const weir_chunk_t *parts, size_t n)
{
    return client->owner == NULL ? WEIR_ECLOSED : client->events->write(client->owner, parts, n);
}

void client_tell(weir_client_t *client, weir_slice_t id, const weir_failure_t *failure)
{
    int code = failure->code == 0 ? WEIR_CODE_PROXY : failure->code;
    char text[WEIR_ERROR_MAX * 2];
    size_t n = message_error(text, sizeof(text), id, code, failure->text, weir_slice_str(failure->word));
    weir_chunk_t chunk = {.bytes = weir_slice(text, n)};
    if (n > 0)
        (void)client_write(client, &chunk, 1);
}
