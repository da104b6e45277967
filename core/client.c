/* client.c: see client.h. Its life, and the way in: what its messages become. */
#include "client.h"

#include <stdlib.h>

#include "buf.h"
#include "bundle.h"
#include "client_inside.h"
#include "log.h"
#include "message.h"

/* ---- the way in ---- */

static exchange_t *client_find(const weir_client_t *client, weir_slice_t id)
{
    WEIR_LIST_EACH((weir_list_t *)&client->exchanges, it) {
        exchange_t *ex = WEIR_CONTAINER(it, exchange_t, of_client);
        const weir_envelope_t *env = &ex->pub.message.envelope;
        if (env->kind == WEIR_KIND_REQUEST && weir_slice_eq(env->id, id))
            return ex;
    }
    return NULL;
}

static void client_abandon(weir_client_t *client, exchange_t *ex)
{
    client_forget(client, ex);
    exchange_abandon(&ex->pub);
}

static void client_submit(weir_client_t *client, const weir_message_t *message, weir_buf_t *buf)
{
    exchange_t *ex = client_exchange(client, WEIR_VERB_MESSAGE);
    if (ex == NULL) {
        log_write(WEIR_LOG_ERROR, "listener %s: no memory for an exchange", client->listener->name);
        client->events->end(client->owner, "out of memory");
        return;
    }
    client_carry(client, ex, message, buf);
    if (weir_slice_eq(message->envelope.method, WEIR_LIT("initialize")))
        client_note_initialize(client, message->bytes);
    exchange_submit(&ex->pub);
}

/* It may be one of a batch. */
static void client_cancel_member(weir_client_t *client, weir_slice_t id)
{
    WEIR_LIST_EACH(&client->exchanges, it)
        if (bundle_cancel(WEIR_CONTAINER(it, exchange_t, of_client), id))
            return;
}

/* A cancellation over a stream ends the exchange here; the legacy era's servers hear it as it was said, the modern era's from
 * whoever carries the exchange. */
static void client_cancel(weir_client_t *client, const weir_message_t *message, weir_buf_t *buf)
{
    exchange_t *ex = client_find(client, message->envelope.request_id);
    bool is_legacy = ex == NULL ? client->token != NULL : ex->pub.era == WEIR_ERA_LEGACY;
    if (is_legacy)
        client_submit(client, message, buf);
    ex = client_find(client, message->envelope.request_id);
    if (ex != NULL && client->owner != NULL)
        client_abandon(client, ex);
    else if (ex == NULL)
        client_cancel_member(client, message->envelope.request_id);
}

static void client_refuse(weir_client_t *client, weir_scan_t scan, weir_slice_t id)
{
    bool is_json = scan == WEIR_SCAN_NOT_JSONRPC;
    weir_failure_t failure = {
        .code = is_json ? WEIR_CODE_INVALID_REQUEST : WEIR_CODE_PARSE_ERROR,
        .text = is_json                      ? WEIR_LIT("not a JSON-RPC 2.0 message")
                : scan == WEIR_SCAN_TOO_DEEP ? WEIR_LIT("the message is nested too deep")
                                             : WEIR_LIT("not valid JSON"),
    };
    log_write(WEIR_LOG_INFO, "listener %s: %s: refused a message: %.*s", client->listener->name, client_name(client),
              WEIR_FMT(failure.text));
    client_tell(client, id.p == NULL ? WEIR_LIT("null") : id, &failure);
}

/* A message that lies in nobody's buffer gets one: it may have to wait for a link. */
static weir_buf_t *client_borrow(const weir_chunk_t *chunk, weir_slice_t *bytes)
{
    weir_buf_t *buf = chunk->buf;
    *bytes = chunk->bytes;
    if (buf != NULL) {
        buf_ref(buf);
        return buf;
    }
    buf = buf_new(chunk->bytes.n);
    if (buf == NULL)
        return NULL;
    if (chunk->bytes.n > 0)
        memcpy(buf->data, chunk->bytes.p, chunk->bytes.n);
    *bytes = weir_slice(buf->data, chunk->bytes.n);
    return buf;
}

static void client_take(weir_client_t *client, weir_slice_t bytes, weir_buf_t *buf)
{
    weir_message_t message = {.bytes = bytes};
    weir_scan_t scan = message_scan(message.bytes, &message.envelope);
    if (scan != WEIR_SCAN_OK)
        client_refuse(client, scan, message.envelope.id);
    else if (weir_slice_eq(message.envelope.method, WEIR_LIT("notifications/cancelled")) &&
             message.envelope.request_id.p != NULL)
        client_cancel(client, &message, buf);
    else
        client_submit(client, &message, buf);
}

void client_message(weir_client_t *client, const weir_chunk_t *chunk)
{
    weir_slice_t bytes;
    weir_buf_t *buf = client_borrow(chunk, &bytes);
    if (buf == NULL) {
        log_write(WEIR_LOG_ERROR, "listener %s: no memory for a message", client->listener->name);
        client->events->end(client->owner, "out of memory");
        return;
    }
    client_take(client, bytes, buf);
    buf_unref(buf);
    client_mind_flood(client);
}

void client_drained(weir_client_t *client)
{
    WEIR_LIST_EACH(&client->exchanges, it)
        exchange_drained(&WEIR_CONTAINER(it, exchange_t, of_client)->pub);
}

/* ---- life ---- */

static char *keep(weir_slice_t text)
{
    return text.n == 0 ? NULL : strndup(text.p, text.n);
}

static void client_free(void *arg)
{
    weir_client_t *client = arg;
    timer_stop(&client->again);
    renewal_clear(&client->renewal);
    free(client->token);
    free(client->peer);
    free(client->host);
    free(client->target);
    free(client->authorization);
    free(client->principal);
    free(client);
}

weir_client_t *client_new(weir_listener_t *listener, const weir_client_intro_t *intro,
                          const weir_client_events_t *events, void *owner)
{
    weir_client_t *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->listener = listener;
    client->events = events;
    client->accept = &client_accept;
    client->owner = owner;
    client->is_tls = intro->is_tls;
    client->peer = keep(intro->peer);
    client->host = keep(intro->host);
    client->target = keep(intro->target.n == 0 ? WEIR_LIT("/") : intro->target);
    client->authorization = keep(intro->authorization);
    client->principal = keep(intro->principal);
    client->again = (weir_timer_t){.fire = client_listen, .arg = client};
    client->burial = (weir_timer_t){.fire = client_free, .arg = client};
    weir_list_init(&client->again.node);
    weir_list_init(&client->burial.node);
    weir_list_init(&client->exchanges);
    renewal_init(&client->renewal);
    if (client->target != NULL)
        return client;
    client_free(client);
    return NULL;
}

int client_introduce(weir_client_t *client, weir_slice_t principal)
{
    free(client->principal);
    client->principal = keep(principal);
    return principal.n > 0 && client->principal == NULL ? WEIR_EFAIL : WEIR_OK;
}

void client_finish(weir_client_t *client)
{
    client->is_finishing = true;
    client_settle(client);
}

void client_gone(weir_client_t *client)
{
    client->owner = NULL;
    while (!weir_list_empty(&client->exchanges))
        client_abandon(client, WEIR_CONTAINER(client->exchanges.next, exchange_t, of_client));
    client_end_session(client);
    client_settle(client);
}
