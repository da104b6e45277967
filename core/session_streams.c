/* session_streams.c: see session_streams.h. */
#include "session_streams.h"

#include "call.h"
#include "exchanges.h"
#include "log.h"
#include "timer.h"

/* Say once that a client which stays away loses what it does not fetch. */
static void session_warn_of_loss(session_t *session)
{
    if (session->is_loss_logged || session->events.lost == 0)
        return;
    session->is_loss_logged = true;
    log_write(WEIR_LOG_INFO,
              "%s: a session's event log is full; its oldest events can no longer be resumed (event_log: %llu)",
              session->upstream->pub.name, (unsigned long long)session->upstream->conf->event_log);
}

/* On the GET stream, or for it when the client comes. */
static void session_say(session_t *session, const weir_slice_t *part)
{
    char id[EVENT_ID_MAX];
    weir_slice_t event_id = session_log(session, 0, part, 1, false, id);
    session_warn_of_loss(session);
    if (session->listen == NULL)
        return;
    weir_chunk_t chunk = {.bytes = *part};
    session->listen_sent = session->events.last;
    reply_message(session->listen, &chunk, 1, event_id, false);
}

/* The newest request whose client is there: what a server says meanwhile most probably belongs to it. */
static call_t *session_newest_call(const session_t *session)
{
    calls_t *calls = session->link->calls;
    if (calls == NULL)
        return NULL;
    for (weir_list_t *it = calls->list.prev; it != &calls->list; it = it->prev) {
        call_t *call = WEIR_CONTAINER(it, call_t, node);
        if (call->ex != NULL && !call->is_initialize)
            return call;
    }
    return NULL;
}

void session_route(session_t *session, const weir_message_t *message)
{
    const weir_slice_t *part = &message->bytes;
    call_t *call = session_newest_call(session);
    /* A notification over pipes names no request. On the session's own stream it is never wrong, and a client that has listened once
     * comes back for what it missed; a question belongs to the request it is asked for. */
    bool prefers_listen = session->has_listened && message->envelope.kind == WEIR_KIND_NOTIFICATION;
    if (call == NULL || prefers_listen) {
        session_say(session, part);
        return;
    }
    char id[EVENT_ID_MAX];
    weir_slice_t event_id = session_log(session, call->stream, part, 1, false, id);
    call->has_events = true;
    weir_chunk_t chunk = {.bytes = *part};
    reply_message(call->ex, &chunk, 1, event_id, false);
}

/* Give a client what it missed. False when that ended its stream. */
static bool session_replay(session_t *session, exchange_t *ex, uint32_t stream, uint32_t number)
{
    const event_t *event;
    while ((event = events_after(&session->events, stream, number)) != NULL) {
        char id[EVENT_ID_MAX];
        number = event->number;
        weir_chunk_t chunk = {.bytes = weir_slice(event->data, event->n)};
        bool is_final = event->is_final;
        int result = reply_message(ex, &chunk, 1, event_id_write(id, stream, number), is_final);
        if (is_final || result == WEIR_ECLOSED)
            return false;
    }
    return true;
}

static call_t *session_call_of_stream(const session_t *session, uint32_t stream)
{
    calls_t *calls = session->link->calls;
    if (calls == NULL)
        return NULL;
    WEIR_LIST_EACH(&calls->list, it) {
        call_t *call = WEIR_CONTAINER(it, call_t, node);
        if (call->stream == stream)
            return call;
    }
    return NULL;
}

/* Give a call whose client has gone a new one. */
static void session_attach(call_t *call, exchange_t *ex)
{
    if (call->ex != NULL) {
        exchange_t *before = call->ex;
        before->call = NULL;
        call->ex = NULL;
        exchange_fail(&before->pub, WEIR_REASON_CLIENT_GONE, "its stream was resumed on another connection");
    }
    timer_stop(&call->linger);
    call->ex = ex;
    ex->call = call;
}

/* The reply stream of a request, on a new connection. */
static void session_resume(session_t *session, exchange_t *ex, uint32_t stream, uint32_t number)
{
    call_t *call = session_call_of_stream(session, stream);
    reply_stream(ex);
    if (!session_replay(session, ex, stream, number))
        return;
    if (call == NULL) {
        reply_end(&ex->pub);
        return;
    }
    session_attach(call, ex);
}

void session_listen(session_t *session, exchange_t *ex)
{
    uint32_t stream = 0, number = 0;
    if (ex->pub.last_event_id.n > 0 && event_id_read(ex->pub.last_event_id, &stream, &number) && stream != 0) {
        session_resume(session, ex, stream, number);
        return;
    }
    if (session->listen != NULL) {
        exchange_t *before = session->listen;
        session->listen = NULL;
        before->session = NULL;
        reply_end(&before->pub);
    }
    if (number == 0)
        number = session->listen_sent;
    session->listen = ex;
    session->has_listened = true;
    reply_stream(ex);
    if (session_replay(session, ex, 0, number))
        session->listen_sent = session->events.last;
    session_mind_idleness(session);
}

void session_unlisten(session_t *session, exchange_t *ex)
{
    if (session->listen != ex)
        return;
    session->listen = NULL;
    session_mind_idleness(session);
}
