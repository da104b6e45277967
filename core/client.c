/* client.c: see client.h. */
#include "client.h"

#include <stdlib.h>

#include "buf.h"
#include "bundle.h"
#include "exchanges.h"
#include "failure.h"
#include "log.h"
#include "message.h"
#include "proc.h"
#include "renewal.h"
#include "timer.h"

/* How soon the stream of unasked messages is opened again after a server has ended it. */
#define LISTEN_AGAIN_MS 1000
#define REVISION_MAX 16
#define EVENT_ID_KEPT 128
#define HIGH_MARK 0.8
#define LOW_MARK 0.3

struct weir_client {
    weir_listener_t *listener;
    const weir_client_events_t *events;
    void *owner; /* NULL: gone; only its session is still being ended */
    weir_list_t exchanges;
    uint32_t in_flight;
    uint64_t in_flight_bytes; /* of their requests */
    char *token;              /* of its session, NULL: none */
    char revision[REVISION_MAX];
    char event_id[EVENT_ID_KEPT]; /* of the newest event that was heard */
    exchange_t *listen;
    exchange_t *renewing; /* what the session is begun again with: its `initialize`, then `notifications/initialized` */
    renewal_t renewal;
    weir_timer_t again, burial;
    bool is_tls, is_paused, cannot_listen;
    bool is_heavy;     /* too much of its requests is in flight */
    bool is_finishing; /* it will ask nothing more */
    char *peer, *host, *target, *authorization;
};

static int client_head(weir_exchange_t *pub, const weir_reply_t *reply);
static int client_answer(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n);
static int client_reply(weir_exchange_t *pub, const weir_chunk_t *parts, size_t n, weir_slice_t event_id,
                        bool is_final);
static void client_end(weir_exchange_t *pub);
static void client_fail(weir_exchange_t *pub, const weir_failure_t *failure);

static const weir_accept_t client_accept = {
    .reply_head = client_head,
    .reply_bytes = client_answer,
    .reply_message = client_reply,
    .reply_end = client_end,
    .fail = client_fail,
};

/* As the log calls it: one on pipes, or on a Unix socket, has no address. */
static const char *client_name(const weir_client_t *client)
{
    return client->peer == NULL ? "its client" : client->peer;
}

/* ---- exchanges ---- */

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

static void client_mind_flood(weir_client_t *client)
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

static exchange_t *client_exchange(weir_client_t *client, weir_verb_t verb)
{
    weir_exchange_t *pub = exchange_new(client->listener, client);
    if (pub == NULL)
        return NULL;
    exchange_t *ex = exchange_of(pub);
    ex->accept = &client_accept;
    pub->host = weir_slice_str(client->host);
    pub->target = weir_slice_str(client->target);
    pub->verb = verb;
    pub->wants_messages = true;
    pub->is_tls = client->is_tls;
    pub->peer = weir_slice_str(client->peer);
    pub->authorization = weir_slice_str(client->authorization);
    pub->session_token = client_token(client, pub);
    pub->revision = weir_slice_str(client->revision);
    weir_list_append(&client->exchanges, &ex->of_client);
    client->in_flight++;
    return ex;
}

/* The exchange will not call back any more. */
static void client_forget(weir_client_t *client, exchange_t *ex)
{
    weir_list_remove(&ex->of_client);
    client->in_flight--;
    client->in_flight_bytes -= ex->bytes_in;
    if (client->listen == ex)
        client->listen = NULL;
    if (client->renewing == ex)
        client->renewing = NULL;
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
    free(client);
}

/* After an exchange: a client that has gone leaves with its last one, one that will ask nothing more with its last answer. */
static void client_settle(weir_client_t *client)
{
    if (client->owner != NULL && client->is_finishing && client_asked(client) == 0)
        client->events->end(client->owner, "all is answered");
    else if (client->owner != NULL)
        client_mind_flood(client);
    else if (client->in_flight == 0)
        timer_at_turn_end(&client->burial);
}

static bool is_method(const exchange_t *ex, weir_slice_t method)
{
    return weir_slice_eq(weir_slice(ex->note.method, ex->note.method_n), method);
}

/* ---- the stream of what the server says unasked ---- */

static void client_listen(void *arg)
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

static void client_listen_again(weir_client_t *client)
{
    if (client->owner != NULL && !client->cannot_listen)
        timer_start(timers_get(LISTEN_AGAIN_MS), &client->again);
}

static void client_note_event(weir_client_t *client, weir_slice_t id)
{
    if (id.n == 0 || id.n >= sizeof(client->event_id))
        return;
    memcpy(client->event_id, id.p, id.n);
    client->event_id[id.n] = '\0';
}

/* ---- the session ---- */

static void client_end_session(weir_client_t *client)
{
    if (client->token == NULL || proc->is_stopping)
        return;
    exchange_t *ex = client_exchange(client, WEIR_VERB_END);
    if (ex != NULL)
        exchange_submit(&ex->pub);
}

/* `initialize` was answered: the connection has a session when the server gave one. */
static void client_begin_session(weir_client_t *client, const exchange_t *ex, weir_slice_t answer)
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

/* ---- a session that its server has forgotten ---- */

static void client_tell(weir_client_t *client, weir_slice_t id, int code, const weir_failure_t *failure);

static void client_carry(weir_client_t *client, exchange_t *ex, const weir_message_t *message, weir_buf_t *buf)
{
    ex->bytes_in = message->bytes.n;
    client->in_flight_bytes += ex->bytes_in;
    ex->pub.message = *message;
    ex->pub.body = (weir_chunk_t){.bytes = message->bytes, .buf = buf};
    buf_ref(buf);
}

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
static void client_note_initialize(weir_client_t *client, weir_slice_t bytes)
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
static void client_cannot_renew(weir_client_t *client, const weir_failure_t *failure)
{
    weir_chunk_t request;
    weir_envelope_t env;
    while (renewal_next(&client->renewal, &request)) {
        if (message_scan(request.bytes, &env) == WEIR_SCAN_OK && env.kind == WEIR_KIND_REQUEST)
            client_tell(client, env.id, failure->code == 0 ? WEIR_CODE_PROXY : failure->code, failure);
        buf_unref(request.buf);
    }
}

/* The server knows the client again: what it had refused is sent to it now. */
static void client_renewed(weir_client_t *client)
{
    weir_chunk_t request;
    while (renewal_next(&client->renewal, &request)) {
        exchange_t *ex = client->owner == NULL ? NULL : client_ask(client, request.bytes, request.buf);
        buf_unref(request.buf);
        if (ex != NULL)
            exchange_submit(&ex->pub);
    }
}

static void client_renew_on(weir_client_t *client, bool has_session)
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

/* `ex` was refused because the server does not know its session. */
static bool client_renew(weir_client_t *client, exchange_t *ex)
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

/* ---- the way back ---- */

static int client_write(weir_client_t *client, const weir_chunk_t *parts, size_t n)
{
    return client->owner == NULL ? WEIR_ECLOSED : client->events->write(client->owner, parts, n);
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

static void client_tell(weir_client_t *client, weir_slice_t id, int code, const weir_failure_t *failure)
{
    char text[WEIR_ERROR_MAX * 2];
    size_t n = message_error(text, sizeof(text), id, code, failure->text, weir_slice_str(failure->word));
    weir_chunk_t chunk = {.bytes = weir_slice(text, n)};
    if (n > 0)
        (void)client_write(client, &chunk, 1);
}

/* Nobody will answer this one any more. */
static void client_lose(weir_client_t *client, exchange_t *ex, const weir_failure_t *failure, bool was_listening)
{
    if (ex->pub.message.envelope.kind == WEIR_KIND_REQUEST)
        client_tell(client, ex->pub.message.envelope.id, failure->code == 0 ? WEIR_CODE_PROXY : failure->code, failure);
    else if (ex->pub.message.envelope.kind == WEIR_KIND_BATCH)
        client_tell(client, WEIR_LIT("null"), failure->code == 0 ? WEIR_CODE_PROXY : failure->code, failure);
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
        .text = is_json                      ? WEIR_LIT("not a JSON-RPC 2.0 message")
                : scan == WEIR_SCAN_TOO_DEEP ? WEIR_LIT("the message is nested too deep")
                                             : WEIR_LIT("not valid JSON"),
    };
    log_write(WEIR_LOG_INFO, "listener %s: %s: refused a message: %.*s", client->listener->name, client_name(client),
              WEIR_FMT(failure.text));
    client_tell(client, id.p == NULL ? WEIR_LIT("null") : id,
                is_json ? WEIR_CODE_INVALID_REQUEST : WEIR_CODE_PARSE_ERROR, &failure);
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

weir_client_t *client_new(weir_listener_t *listener, const weir_client_intro_t *intro,
                          const weir_client_events_t *events, void *owner)
{
    weir_client_t *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->listener = listener;
    client->events = events;
    client->owner = owner;
    client->is_tls = intro->is_tls;
    client->peer = keep(intro->peer);
    client->host = keep(intro->host);
    client->target = keep(intro->target.n == 0 ? WEIR_LIT("/") : intro->target);
    client->authorization = keep(intro->authorization);
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
