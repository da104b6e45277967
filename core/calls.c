/* calls.c: what passes between a client and a server on a link of messages: requests go out as calls, and what the server says is
 * found its call, its session, or whom else it concerns.
 */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>

#include "call.h"
#include "carrier.h"
#include "decimal.h"
#include "era.h"
#include "exchanges.h"
#include "log.h"
#include "message.h"
#include "param.h"
#include "session_streams.h"

/* The client takes back a request: it has to be named by the number the server knows. */
static void call_client_cancels(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    WEIR_LIST_EACH(&calls_of(ex->link)->list, it) {
        call_t *call = WEIR_CONTAINER(it, call_t, node);
        if (call->session != ex->session || !weir_slice_eq(call->raw_id, env->request_id))
            continue;
        char number[DECIMAL_MAX];
        weir_edit_t edit = {env->request_id, decimal(number, call->id)};
        call_write_edited(ex->link, &ex->pub.message, &edit, 1);
        return;
    }
}

/* Notifications and answers of the client: taken, never answered. */
static void call_one_way(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    if (env->request_id.p != NULL && weir_slice_eq(env->method, WEIR_LIT("notifications/cancelled")) &&
        calls_of(ex->link) != NULL)
        call_client_cancels(ex);
    else
        call_write(ex->link, &ex->pub.message.bytes, 1);
    reply_accepted(ex, 202);
}

static void calls_send(exchange_t *ex)
{
    message_unfold(&ex->pub.message);
    if (ex->is_own_link) {
        ex->session = session_begin(ex->upstream, ex->link);
        if (ex->session == NULL) {
            exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory for a session", ex->upstream->pub.name);
            return;
        }
    }
    if (ex->pub.message.envelope.kind != WEIR_KIND_REQUEST)
        call_one_way(ex);
    else if (ex->session != NULL)
        call_request(ex);
    else
        era_send(ex);
}

/* The HTTP binding of the modern era gives some errors a status of their own. */
static uint16_t status_of_answer(const exchange_t *ex, const weir_envelope_t *env)
{
    if (ex->pub.era != WEIR_ERA_MODERN || env->kind != WEIR_KIND_ERROR)
        return 200;
    if (env->error_code == WEIR_CODE_METHOD_NOT_FOUND)
        return 404;
    return message_is_modern_error(env) ? 400 : 200;
}

static void call_answered(link_t *link, const weir_message_t *message)
{
    const weir_envelope_t *env = &message->envelope;
    call_t *call = calls_by_number(link, env->id);
    if (call == NULL) {
        log_write(WEIR_LOG_INFO, "%s: %s: skipped an answer to a request that nobody waits for (id %.*s)",
                  link_upstream(link)->pub.name, link->pub.server->name, WEIR_FMT(env->id));
        return;
    }
    upstream_t *up = link_upstream(link);
    session_t *session = call->session;
    bool is_discover = call->is_discover && (call->is_own || era_is_told(env)), is_initialize = call->is_initialize;
    bool is_tools = call->is_tools, is_own = call->is_own;
    void (*told)(void *, const char *, weir_reason_t) = call->told;
    void *told_arg = call->told_arg;
    if (is_initialize && env->kind == WEIR_KIND_RESULT)
        session_opened(session);
    if (call->ex != NULL) {
        call->ex->pub.reply_status = status_of_answer(call->ex, env);
        call->ex->version = env->version;
    }
    weir_edit_t edits[2] = {{env->id, call->raw_id}, {env->subscription_id, call->raw_id}};
    call_deliver_edited(call, message, edits, env->subscription_id.p == NULL ? 1 : 2, true);
    if (is_initialize && env->kind == WEIR_KIND_ERROR)
        session_end(session);
    if (is_discover)
        era_learn(up, link, env);
    if (is_tools)
        params_answered(up, link, env, is_own);
    if (told != NULL)
        told(told_arg, NULL, WEIR_REASON_NONE);
}

/* Which call a notification speaks of, and what of it has to be put back. */
static call_t *call_of_notification(link_t *link, const weir_envelope_t *env, weir_edit_t *edit)
{
    call_t *call = NULL;
    if (env->subscription_id.p != NULL && (call = calls_by_number(link, env->subscription_id)) != NULL)
        *edit = (weir_edit_t){env->subscription_id, call->raw_id};
    else if (weir_slice_eq(env->method, WEIR_LIT("notifications/progress")) &&
             (call = calls_by_number(link, env->progress_token)) != NULL)
        *edit = (weir_edit_t){env->progress_token, call->raw_token};
    else if (link->session == NULL && weir_slice_eq(env->method, WEIR_LIT("notifications/cancelled")) &&
             (call = calls_by_number(link, env->request_id)) != NULL)
        *edit = (weir_edit_t){env->request_id, call->raw_id};
    return call;
}

static void call_notified(link_t *link, const weir_message_t *message)
{
    weir_edit_t edit;
    if (link->session == NULL && weir_slice_eq(message->envelope.method, WEIR_LIT("notifications/tools/list_changed")))
        params_forget(link_upstream(link));
    call_t *call = call_of_notification(link, &message->envelope, &edit);
    if (call != NULL && edit.with.p != NULL) {
        call_deliver_edited(call, message, &edit, 1, false);
        return;
    }
    if (link->session != NULL) {
        session_route(link->session, message);
        return;
    }
    call = calls_only_one(link);
    if (call != NULL && call->ex != NULL)
        call_deliver(call, &message->bytes, 1, false);
    else
        log_write(WEIR_LOG_INFO, "%s: %s: skipped %.*s, which names none of the requests it could belong to",
                  link_upstream(link)->pub.name, link->pub.server->name, WEIR_FMT(message->envelope.method));
}

/* Modern servers do not ask; one that does must not wait for ever. */
static void call_asked(link_t *link, const weir_message_t *message)
{
    if (link->session != NULL) {
        session_route(link->session, message);
        return;
    }
    char text[512];
    size_t n = message_error(text, sizeof(text), message->envelope.id, WEIR_CODE_METHOD_NOT_FOUND,
                             WEIR_LIT("requests to the client need a session (initialize) or an input_required result"),
                             WEIR_LIT(""));
    weir_slice_t part = weir_slice(text, n);
    if (n > 0)
        call_write(link, &part, 1);
}

int calls_message(weir_link_t *pub, weir_slice_t bytes)
{
    link_t *link = link_of(pub);
    weir_message_t message = {.bytes = bytes};
    if (message_scan(bytes, &message.envelope) != WEIR_SCAN_OK) {
        log_write(WEIR_LOG_WARN, "%s: %s: skipped what is no JSON-RPC message: %.*s%s", link_upstream(link)->pub.name,
                  link->pub.server->name, (int)(bytes.n < 200 ? bytes.n : 200), bytes.p, bytes.n < 200 ? "" : "…");
        return WEIR_EFAIL;
    }
    switch (message.envelope.kind) {
    case WEIR_KIND_RESULT:
    case WEIR_KIND_ERROR:
        call_answered(link, &message);
        break;
    case WEIR_KIND_NOTIFICATION:
        call_notified(link, &message);
        break;
    case WEIR_KIND_REQUEST:
        call_asked(link, &message);
        break;
    case WEIR_KIND_NONE:
    case WEIR_KIND_BATCH:
        log_write(WEIR_LOG_WARN, "%s: %s: skipped a JSON-RPC batch, which no stdio revision has",
                  link_upstream(link)->pub.name, link->pub.server->name);
        break;
    }
    return WEIR_OK;
}

/* There will be no answer to this call. */
static void call_fail(call_t *call, weir_reason_t reason, const char *why)
{
    link_t *link = call->link;
    exchange_t *ex = call->ex;
    bool is_discover = call->is_discover, is_tools = call->is_tools && call->is_own;
    void (*told)(void *, const char *, weir_reason_t) = call->told;
    void *told_arg = call->told_arg;
    call_free(call);
    if (is_discover)
        era_forget(link_upstream(link));
    if (is_tools)
        params_lost(link_upstream(link));
    if (ex != NULL)
        exchange_fail(&ex->pub, reason, "%s: %s: %s", ex->upstream->pub.name, link->pub.server->name, why);
    if (told != NULL)
        told(told_arg, why, reason);
}

void calls_refused(weir_link_t *pub, weir_slice_t id, weir_reason_t reason, const char *why)
{
    call_t *call = calls_by_number(link_of(pub), id);
    if (call == NULL)
        return;
    session_t *session = call->is_initialize ? call->session : NULL;
    call_fail(call, reason, why);
    if (session != NULL)
        session_end(session);
}

void calls_lost(weir_link_t *pub, weir_slice_t id)
{
    char why[96];
    snprintf(why, sizeof(why), "its answer is longer than max_message (%llu bytes)",
             (unsigned long long)pub->server->upstream->max_message);
    calls_refused(pub, id, WEIR_REASON_BAD_REPLY, why);
}

/* All that was held for the exchange: its call, its place on a session's stream, its link. */
static void calls_forget(exchange_t *ex, weir_reason_t reason)
{
    if (ex->call != NULL)
        call_forget(ex, reason);
    if (ex->session != NULL)
        session_unlisten(ex->session, ex);
    if (ex->link != NULL)
        link_release(ex->link, ex, reason == WEIR_REASON_NONE);
}

static void calls_link_died(link_t *link, weir_reason_t reason, const char *why)
{
    calls_t *calls = link->calls;
    while (calls != NULL && !weir_list_empty(&calls->list))
        call_fail(WEIR_CONTAINER(calls->list.next, call_t, node), reason, why);
    calls_free(link);
    if (link->session != NULL)
        session_lost(link->session, why);
}

const carrier_t calls_carrier = {
    .send = calls_send, .forget = calls_forget, .pause = call_pause, .link_died = calls_link_died};
