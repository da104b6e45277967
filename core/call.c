/* call.c: see the table in call.h. Ids and progress tokens are rewritten on the way out and put back, byte for byte, on the way
 * in, so that clients that share a link cannot meet, and a server whose numbers are doubles cannot spoil an id.
 */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>

#include "decimal.h"
#include "exchanges.h"
#include "log.h"
#include "message.h"
#include "proc.h"
#include "session.h"
#include "timer.h"

#define SPARE_MAX 256

static void call_lingered(void *arg);

calls_t *calls_of(link_t *link)
{
    if (link->calls != NULL)
        return link->calls;
    calls_t *calls = calloc(1, sizeof(*calls));
    if (calls == NULL)
        return NULL;
    weir_list_init(&calls->list);
    ids_init(&calls->ids, IDS_MAX);
    link->calls = calls;
    return calls;
}

void calls_free(link_t *link)
{
    if (link->calls == NULL)
        return;
    ids_free(&link->calls->ids);
    free(link->calls);
    link->calls = NULL;
}

/* Keep the client's id and token: its own bytes go back long before the answer comes. */
static int call_keep_text(call_t *call, weir_slice_t id, weir_slice_t token)
{
    call->text = call->room;
    if (id.n + token.n > sizeof(call->room))
        call->text = malloc(id.n + token.n);
    if (call->text == NULL)
        return WEIR_EFAIL;
    memcpy(call->text, id.p, id.n);
    call->raw_id = weir_slice(call->text, id.n);
    if (token.n > 0) {
        memcpy(call->text + id.n, token.p, token.n);
        call->raw_token = weir_slice(call->text + id.n, token.n);
    }
    return WEIR_OK;
}

/* Nobody finds the call any more; what it kept of the client's bytes is still there. */
static void call_detach(call_t *call)
{
    timer_stop(&call->linger);
    weir_list_remove(&call->node);
    if (call->id != 0)
        ids_remove(&call->link->calls->ids, call->id);
    if (call->session != NULL)
        session_call_ended(call->session);
    if (call->ex != NULL)
        call->ex->call = NULL;
}

static void call_bury(call_t *call)
{
    exchanges_t *all = proc->exchanges;
    if (call->text != call->room)
        free(call->text);
    if (all->nspare_calls >= SPARE_MAX) {
        free(call);
        return;
    }
    weir_list_prepend(&all->spare_calls, &call->node);
    all->nspare_calls++;
}

/* Like exchanges, calls are used again, so that one more allocates nothing. */
static call_t *call_take(void)
{
    exchanges_t *all = proc->exchanges;
    if (weir_list_empty(&all->spare_calls))
        return calloc(1, sizeof(call_t));
    call_t *call = WEIR_CONTAINER(all->spare_calls.next, call_t, node);
    weir_list_remove(&call->node);
    all->nspare_calls--;
    memset(call, 0, sizeof(*call));
    return call;
}

void calls_free_spare(void)
{
    exchanges_t *all = proc->exchanges;
    WEIR_LIST_EACH(&all->spare_calls, it)
        free(WEIR_CONTAINER(it, call_t, node));
    weir_list_init(&all->spare_calls);
    all->nspare_calls = 0;
}

void call_free(call_t *call)
{
    call_detach(call);
    call_bury(call);
}

call_t *call_new(link_t *link, weir_slice_t id, weir_slice_t token)
{
    calls_t *calls = calls_of(link);
    call_t *call = calls == NULL ? NULL : call_take();
    if (call == NULL)
        return NULL;
    call->link = link;
    call->linger = (weir_timer_t){.fire = call_lingered, .arg = call};
    weir_list_init(&call->linger.node);
    weir_list_append(&calls->list, &call->node);
    if (call_keep_text(call, id, token) == WEIR_OK)
        call->id = ids_put(&calls->ids, call);
    if (call->id != 0)
        return call;
    call_free(call);
    return NULL;
}

void call_teaches(call_t *call, weir_slice_t method)
{
    call->is_discover = weir_slice_eq(method, WEIR_LIT("server/discover"));
    call->is_tools = weir_slice_eq(method, WEIR_LIT("tools/list"));
}

int call_write(link_t *link, const weir_slice_t *parts, size_t n)
{
    weir_chunk_t chunks[2 * WEIR_EDITS_MAX + 1];
    for (size_t i = 0; i < n; i++)
        chunks[i] = (weir_chunk_t){.bytes = parts[i]};
    return link_upstream(link)->connect->write(&link->pub, chunks, n);
}

int call_write_edited(link_t *link, const weir_message_t *message, const weir_edit_t *edits, size_t nedits)
{
    weir_slice_t parts[2 * WEIR_EDITS_MAX + 1];
    size_t n = message_edit(message, edits, nedits, parts, sizeof(parts) / sizeof(parts[0]));
    return call_write(link, parts, n);
}

/* Send an exchange's request under a number of the link's own. */
int call_request(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    call_t *call = call_new(ex->link, env->id, env->progress_token);
    if (call == NULL) {
        exchange_fail(&ex->pub, WEIR_REASON_POOL_FULL, "%s: %u requests are in flight on one link already",
                      ex->upstream->pub.name, IDS_MAX);
        return WEIR_EFULL;
    }
    call->ex = ex;
    ex->call = call;
    call->is_initialize = ex->is_own_link;
    call->session = ex->session;
    if (call->session != NULL)
        call->stream = session_call_begun(call->session);
    else
        call_teaches(call, env->method);
    char number[DECIMAL_MAX];
    weir_slice_t id = decimal(number, call->id);
    weir_edit_t edits[2] = {{env->id, id}, {env->progress_token, id}};
    int result = call_write_edited(ex->link, &ex->pub.message, edits, env->progress_token.p == NULL ? 1 : 2);
    return result == WEIR_EFULL ? WEIR_OK : result;
}

/* Tell the server that nobody waits for this answer. `initialize` must not be cancelled; its session ends instead. */
void call_cancel(call_t *call, const char *why)
{
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%u,"
                     "\"reason\":\"%s\"}}",
                     call->id, why);
    weir_slice_t part = weir_slice(text, n < 0 ? 0 : (size_t)n);
    session_t *session = call->session;
    bool is_initialize = call->is_initialize;
    if (!is_initialize && n > 0 && (size_t)n < sizeof(text))
        call_write(call->link, &part, 1);
    call_free(call);
    if (is_initialize)
        session_end(session);
}

static void call_lingered(void *arg)
{
    call_cancel(arg, "the client did not come back for its stream");
}

void call_forget(exchange_t *ex, weir_reason_t reason)
{
    call_t *call = ex->call;
    ex->call = NULL;
    call->ex = NULL;
    if (ex->is_paused)
        call_pause(ex, false);
    if (call->link->pub.state == WEIR_LINK_DEAD)
        call_free(call);
    else if (reason == WEIR_REASON_CLIENT_GONE && call->session != NULL && call->has_events)
        timer_start(timers_get(call->session->upstream->conf->session_resume_ms), &call->linger);
    else
        call_cancel(call, reason == WEIR_REASON_CLIENT_GONE ? "the client has gone" : "no answer in time");
}

/* One client's link stops for it; a shared one must not, so what arrives meanwhile is counted instead. */
void call_pause(exchange_t *ex, bool is_paused)
{
    link_t *link = ex->call != NULL ? ex->call->link : ex->link;
    if (link != NULL && link->pub.is_owned && link->pub.state == WEIR_LINK_BUSY)
        link_upstream(link)->connect->pause(&link->pub, is_paused);
    if (ex->call != NULL && !is_paused)
        ex->call->held_bytes = 0;
}

static bool call_overflows(call_t *call, const weir_slice_t *parts, size_t n)
{
    if (call->ex == NULL || !call->ex->is_paused || call->link->pub.is_owned)
        return false;
    for (size_t i = 0; i < n; i++)
        call->held_bytes += parts[i].n;
    return call->held_bytes > call->ex->upstream->pub.buffer_limit;
}

static void call_reply(exchange_t *ex, const weir_slice_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    weir_chunk_t chunks[2 * WEIR_EDITS_MAX + 1];
    for (size_t i = 0; i < n; i++)
        chunks[i] = (weir_chunk_t){.bytes = parts[i]};
    reply_message(ex, chunks, n, event_id, is_final);
}

/* Hand a message to whoever the call answers, and to the session's log where it may be asked for again. The parts may point into
 * the call, which therefore is detached before its answer goes, and freed after. */
void call_deliver(call_t *call, const weir_slice_t *parts, size_t n, bool is_final)
{
    char id[EVENT_ID_MAX];
    weir_slice_t event_id = {0};
    exchange_t *ex = call->ex;
    if (call->session != NULL && (!is_final || call->has_events)) {
        event_id = session_log(call->session, call->stream, parts, n, is_final, id);
        call->has_events = true;
    }
    if (call_overflows(call, parts, n)) {
        exchange_fail(&ex->pub, WEIR_REASON_CLIENT_GONE, "%s: the client reads too slowly for a shared link",
                      ex->upstream->pub.name);
        return;
    }
    if (is_final)
        call_detach(call);
    if (ex != NULL)
        call_reply(ex, parts, n, event_id, is_final);
    if (is_final)
        call_bury(call);
}

void call_deliver_edited(call_t *call, const weir_message_t *message, const weir_edit_t *edits, size_t nedits,
                         bool is_final)
{
    weir_slice_t parts[2 * WEIR_EDITS_MAX + 1];
    size_t n = message_edit(message, edits, nedits, parts, sizeof(parts) / sizeof(parts[0]));
    call_deliver(call, parts, n, is_final);
}

call_t *calls_by_number(const link_t *link, weir_slice_t raw)
{
    uint64_t number = 0;
    if (link->calls == NULL || raw.n == 0 || raw.n > 10)
        return NULL;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return NULL;
        number = number * 10 + (uint64_t)(raw.p[i] - '0');
    }
    return number > UINT32_MAX ? NULL : ids_get(&link->calls->ids, (uint32_t)number);
}

call_t *calls_only_one(const link_t *link)
{
    call_t *only = NULL;
    if (link->calls == NULL)
        return NULL;
    for (const weir_list_t *it = link->calls->list.next; it != &link->calls->list; it = it->next) {
        call_t *call = WEIR_CONTAINER(it, call_t, node);
        if (call->is_own)
            continue;
        if (only != NULL)
            return NULL;
        only = call;
    }
    return only;
}
