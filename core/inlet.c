/* inlet.c: see inlet.h. Each worker has one inlet; an exchange finds it in pub.client. A message stays in the frame it came in until
 * the chain has let it go: the frame's buffer is borrowed, not copied.
 */
#include "inlet.h"

#include <stdlib.h>
#include <unistd.h>

#include "buf.h"
#include "carrier.h"
#include "exchanges.h"
#include "log.h"
#include "message.h"
#include "places.h"
#include "postbox.h"
#include "proc.h"
#include "session_streams.h"
#include "timer.h"
#include "upstreams.h"

#define INLET_LIMIT (64u << 20) /* unsent bytes to a worker that does not read */
#define INLET_PLACE(id) ((id)&0xffffu)

typedef struct inlet {
    weir_list_t node;
    wire_t wire;
    int worker;
    uint32_t generation;
    exchange_t **places; /* by the low half of the worker's number */
    uint32_t nplaces;
    bool is_full; /* its worker does not read what was written */
    weir_timer_t burial;
} inlet_t;

static int inlet_head(weir_exchange_t *pub, const weir_reply_t *reply);
static int inlet_bytes(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n);
static int inlet_message(weir_exchange_t *pub, const weir_chunk_t *parts, size_t n, weir_slice_t event_id,
                         bool is_final);
static void inlet_end(weir_exchange_t *pub);
static void inlet_fail(weir_exchange_t *pub, const weir_failure_t *failure);

static const weir_accept_t inlet_accept = {
    .reply_head = inlet_head,
    .reply_bytes = inlet_bytes,
    .reply_message = inlet_message,
    .reply_end = inlet_end,
    .fail = inlet_fail,
};

static const weir_listener_t inlet_listener = {.name = "channel", .accept = &inlet_accept};

static int inlet_say(exchange_t *ex, frame_t frame, const weir_chunk_t *parts, size_t n)
{
    inlet_t *inlet = ex->pub.client;
    frame.id = ex->channel_id;
    return wire_write(&inlet->wire, &frame, parts, n);
}

static void inlet_forget(exchange_t *ex)
{
    inlet_t *inlet = ex->pub.client;
    inlet->places[INLET_PLACE(ex->channel_id)] = NULL;
}

static int inlet_head(weir_exchange_t *pub, const weir_reply_t *reply)
{
    uint8_t word = reply->has_body ? FRAME_STREAM : FRAME_ACCEPTED;
    return inlet_say(exchange_of(pub), (frame_t){.word = word, .arg = reply->status}, NULL, 0);
}

static int inlet_bytes(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n)
{
    return inlet_message(pub, chunks, n, (weir_slice_t){NULL, 0}, true);
}

/* The answer to `initialize` brings the session with it. */
static void inlet_grant(exchange_t *ex)
{
    session_t *session = ex->session;
    if (!ex->is_own_link || session == NULL || session->state != SESSION_OPEN)
        return;
    weir_chunk_t parts[] = {{.bytes = weir_slice((const char *)session->id, sizeof(session->id))},
                            {.bytes = ex->version}};
    inlet_say(ex, (frame_t){.word = FRAME_SESSION, .extra = (uint32_t)ex->version.n}, parts, 2);
}

static int inlet_message(weir_exchange_t *pub, const weir_chunk_t *parts, size_t n, weir_slice_t event_id,
                         bool is_final)
{
    exchange_t *ex = exchange_of(pub);
    weir_chunk_t chunks[2 * WEIR_EDITS_MAX + 2];
    if (is_final)
        inlet_grant(ex);
    chunks[0] = (weir_chunk_t){.bytes = event_id};
    for (size_t i = 0; i < n; i++)
        chunks[i + 1] = parts[i];
    frame_t frame = {
        .word = FRAME_MESSAGE,
        .flags = is_final ? FRAME_FINAL : 0,
        .arg = pub->reply_status == 0 ? 200 : pub->reply_status,
        .extra = (uint32_t)event_id.n,
    };
    int result = inlet_say(ex, frame, chunks, n + 1);
    if (is_final)
        inlet_forget(ex);
    return result == WEIR_EFULL ? WEIR_OK : result;
}

static void inlet_end(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->is_stream)
        inlet_say(ex, (frame_t){.word = FRAME_END}, NULL, 0);
    inlet_forget(ex);
}

static void inlet_fail(weir_exchange_t *pub, const weir_failure_t *failure)
{
    exchange_t *ex = exchange_of(pub);
    uint32_t retry_after_s = failure->retry_after_s;
    weir_chunk_t parts[] = {{.bytes = weir_slice((const char *)&retry_after_s, sizeof(retry_after_s))},
                            {.bytes = failure->text}};
    frame_t frame = {.word = FRAME_FAIL, .arg = (uint16_t)failure->reason, .extra = sizeof(retry_after_s)};
    inlet_say(ex, frame, parts, 2);
    inlet_forget(ex);
}

static bool inlet_place(inlet_t *inlet, exchange_t *ex)
{
    uint32_t place = INLET_PLACE(ex->channel_id);
    if (place >= inlet->nplaces) {
        uint32_t count = place < 63 ? 64 : (place + 1) * 2;
        exchange_t **places = realloc(inlet->places, count * sizeof(*places));
        if (places == NULL)
            return false;
        memset(places + inlet->nplaces, 0, (count - inlet->nplaces) * sizeof(*places));
        inlet->places = places;
        inlet->nplaces = count;
    }
    inlet->places[place] = ex;
    return true;
}

/* A session's GET and DELETE need no link and pass no chain. */
static void inlet_serve_session(exchange_t *ex, session_t *session)
{
    ex->state = EXCHANGE_SENT;
    if (ex->pub.verb == WEIR_VERB_LISTEN) {
        ex->session = session;
        session_listen(session, ex);
        return;
    }
    reply_accepted(ex, 200);
    session_end(session);
}

static void inlet_serve_message(exchange_t *ex, session_t *session)
{
    if (session != NULL) {
        ex->session = session;
        if (link_lease(&session->link->pub, ex) != WEIR_OK) {
            exchange_fail(&ex->pub, WEIR_REASON_SERVER_DIED, "%s: the session's server is gone",
                          ex->upstream->pub.name);
            return;
        }
    }
    exchange_enter(ex, ex->upstream);
}

/* A session stays with the upstream it began on. Its client may come by a worker that knows the upstream's next definition only:
 * then it is found in one of the same name that is retired, or that took this one's place. */
static session_t *session_of(const exchange_t *ex, const uint8_t *id)
{
    session_t *session = ex->upstream == NULL ? NULL : session_find(ex->upstream, id);
    WEIR_LIST_EACH(&proc->upstreams, it) {
        upstream_t *up = WEIR_CONTAINER(it, upstream_t, node);
        if (session == NULL && ex->upstream != NULL && strcmp(up->pub.name, ex->upstream->pub.name) == 0)
            session = session_find(up, id);
    }
    return session;
}

static void inlet_serve(exchange_t *ex, const frame_t *frame, const uint8_t *session_id)
{
    session_t *session = NULL;
    if (frame->flags & FRAME_HAS_SESSION) {
        session = session_of(ex, session_id);
        if (session == NULL) {
            exchange_fail(&ex->pub, WEIR_REASON_SESSION_NOT_FOUND, "the session has ended; initialize again");
            return;
        }
        ex->upstream = session->upstream;
    }
    if (ex->upstream == NULL)
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "the keeper does not know this upstream");
    else if (ex->pub.verb == WEIR_VERB_MESSAGE)
        inlet_serve_message(ex, session);
    else
        inlet_serve_session(ex, session);
}

/* What the worker has found in the message, when it says so and it can be true. */
static bool inlet_read_message(weir_message_t *message, const frame_t *frame, weir_slice_t places)
{
    places_t found;
    if (frame->flags & FRAME_SCANNED) {
        memcpy(&found, places.p, sizeof(found));
        if (places_read(&found, message->bytes, &message->envelope))
            return true;
    }
    return message_scan(message->bytes, &message->envelope) == WEIR_SCAN_OK;
}

/* A byte for the length, then so many. False: there are not so many. */
static bool name_size(weir_slice_t rest, size_t *size)
{
    *size = rest.n == 0 ? 0 : 1 + (size_t)(uint8_t)*rest.p;
    return *size > 0 && *size <= rest.n;
}

/* Who the client is, at the beginning of `rest`, which is left without it. Kept for as long as the exchange lives. */
static bool inlet_read_names(weir_exchange_t *pub, weir_slice_t *rest)
{
    size_t principal, peer;
    if (!name_size(*rest, &principal) || !name_size(weir_slice(rest->p + principal, rest->n - principal), &peer))
        return false;
    char *names = exchange_alloc(pub, principal + peer);
    if (names == NULL)
        return false;
    memcpy(names, rest->p, principal + peer);
    pub->principal = weir_slice(names + 1, principal - 1);
    pub->peer = weir_slice(names + principal + 1, peer - 1);
    *rest = weir_slice(rest->p + principal + peer, rest->n - principal - peer);
    return true;
}

static void inlet_call(inlet_t *inlet, const frame_t *frame, weir_slice_t payload)
{
    call_head_t head;
    weir_slice_t places = weir_slice(payload.p + sizeof(head), frame->flags & FRAME_SCANNED ? sizeof(places_t) : 0);
    if (payload.n < sizeof(head) + places.n)
        return;
    weir_slice_t rest = weir_slice(places.p + places.n, payload.n - sizeof(head) - places.n);
    memcpy(&head, payload.p, sizeof(head));
    weir_exchange_t *pub = exchange_new((weir_listener_t *)&inlet_listener, inlet);
    if (pub == NULL)
        return;
    exchange_t *ex = exchange_of(pub);
    ex->channel_id = frame->id;
    if (!inlet_place(inlet, ex)) {
        exchange_end(ex, WEIR_REASON_INTERNAL);
        return;
    }
    ex->upstream = upstream_by_digest(head.upstream);
    pub->verb = frame->arg & 0xff;
    pub->era = frame->arg >> 8;
    if (((frame->flags & FRAME_NAMED) && !inlet_read_names(pub, &rest)) || rest.n < frame->extra) {
        exchange_fail(pub, WEIR_REASON_INTERNAL, "no memory for a request, or what a worker sent breaks off");
        return;
    }
    weir_slice_t extra = weir_slice(rest.p, frame->extra);
    ex->is_mirrored = frame->flags & FRAME_MIRRORED;
    if (ex->is_mirrored)
        ex->fields = extra;
    else
        pub->last_event_id = extra;
    pub->message.bytes = weir_slice(rest.p + extra.n, rest.n - extra.n);
    pub->body = (weir_chunk_t){.bytes = pub->message.bytes, .buf = inlet->wire.in};
    buf_ref(inlet->wire.in);
    if (pub->verb == WEIR_VERB_MESSAGE && !inlet_read_message(&pub->message, frame, places)) {
        exchange_fail(pub, WEIR_REASON_NOT_JSONRPC, "the message is no JSON-RPC message");
        return;
    }
    ex->is_own_link = !(frame->flags & FRAME_HAS_SESSION) && pub->era == WEIR_ERA_LEGACY;
    inlet_serve(ex, frame, head.session);
}

/* ---- from worker to worker ---- */

static inlet_t *inlet_at(post_place_t place)
{
    WEIR_LIST_EACH(&proc->inlets, it) {
        inlet_t *inlet = WEIR_CONTAINER(it, inlet_t, node);
        if (inlet->worker == place.worker && inlet->generation == place.generation)
            return inlet;
    }
    return NULL;
}

static void inlet_return(inlet_t *inlet, const frame_t *frame, int result)
{
    post_head_t head = {.to = {inlet->worker, inlet->generation}};
    frame_t posted = {.word = FRAME_POSTED, .arg = (uint16_t)-result, .id = frame->id};
    weir_chunk_t part = {.bytes = weir_slice((const char *)&head, sizeof(head))};
    wire_write(&inlet->wire, &posted, &part, 1);
}

/* POST and POSTED go on as they are. */
static void inlet_relay(inlet_t *inlet, const frame_t *frame, weir_slice_t payload)
{
    post_head_t head;
    if (payload.n < sizeof(head))
        return;
    memcpy(&head, payload.p, sizeof(head));
    inlet_t *to = inlet_at(head.to);
    bool is_post = frame->word == FRAME_POST;
    if (to == NULL || (is_post && to->is_full)) {
        if (is_post)
            inlet_return(inlet, frame, to == NULL ? WEIR_ECLOSED : WEIR_EFULL);
        return;
    }
    frame_t copy = *frame;
    weir_chunk_t part = {.bytes = payload, .buf = inlet->wire.in};
    if (wire_write(&to->wire, &copy, &part, 1) == WEIR_EFULL)
        to->is_full = true;
}

static void inlet_drained(void *owner)
{
    inlet_t *inlet = owner;
    inlet->is_full = false;
}

/* Others may wait for what was on its way to this worker. */
static void inlet_tell_of_end(const inlet_t *gone)
{
    post_head_t head = {.from = {gone->worker, gone->generation}};
    weir_chunk_t part = {.bytes = weir_slice((const char *)&head, sizeof(head))};
    WEIR_LIST_EACH(&proc->inlets, it) {
        frame_t frame = {.word = FRAME_LEFT};
        wire_write(&WEIR_CONTAINER(it, inlet_t, node)->wire, &frame, &part, 1);
    }
}

static void inlet_frame(void *owner, const frame_t *frame, weir_slice_t payload)
{
    inlet_t *inlet = owner;
    if (frame->word == FRAME_POST || frame->word == FRAME_POSTED) {
        inlet_relay(inlet, frame, payload);
        return;
    }
    if (frame->word == FRAME_CALL) {
        inlet_call(inlet, frame, payload);
        return;
    }
    uint32_t place = INLET_PLACE(frame->id);
    exchange_t *ex = place < inlet->nplaces ? inlet->places[place] : NULL;
    if (ex == NULL || ex->channel_id != frame->id)
        return;
    if (frame->word == FRAME_CANCEL) {
        inlet->places[place] = NULL;
        ex->pub.client = NULL;
        exchange_end(ex, frame->arg < WEIR_REASONS ? frame->arg : WEIR_REASON_CLIENT_GONE);
    } else if (frame->word == FRAME_PAUSE) {
        ex->is_paused = frame->arg;
        ex->upstream->carrier->pause(ex, frame->arg);
    }
}

static void inlet_bury(void *arg)
{
    inlet_t *inlet = arg;
    free(inlet->places);
    free(inlet);
}

static void inlet_close(inlet_t *inlet)
{
    wire_close(&inlet->wire);
    weir_list_remove(&inlet->node);
    for (uint32_t i = 0; i < inlet->nplaces; i++)
        if (inlet->places[i] != NULL)
            exchange_abandon(&inlet->places[i]->pub);
    timer_at_turn_end(&inlet->burial);
}

static void inlet_gone(void *owner, const char *why)
{
    inlet_t *inlet = owner;
    log_write(WEIR_LOG_DEBUG, "worker/%d of generation %u: channel closed: %s", inlet->worker, inlet->generation, why);
    inlet_close(inlet);
    inlet_tell_of_end(inlet);
    if (proc->on_inlet_gone != NULL)
        proc->on_inlet_gone();
}

int inlet_open(int worker, uint32_t generation, int fd, weir_error_t *err)
{
    inlet_t *inlet = calloc(1, sizeof(*inlet));
    if (inlet == NULL) {
        close(fd);
        return weir_error(err, "no memory for a channel");
    }
    inlet->worker = worker;
    inlet->generation = generation;
    inlet->burial = (weir_timer_t){.fire = inlet_bury, .arg = inlet};
    weir_list_init(&inlet->burial.node);
    inlet->wire = (wire_t){.owner = inlet, .frame = inlet_frame, .drained = inlet_drained, .gone = inlet_gone};
    weir_list_append(&proc->inlets, &inlet->node);
    if (wire_open(&inlet->wire, fd, INLET_LIMIT, err) == WEIR_OK)
        return WEIR_OK;
    weir_list_remove(&inlet->node);
    free(inlet);
    return WEIR_EFAIL;
}

size_t inlets_count(void)
{
    size_t n = 0;
    WEIR_LIST_EACH(&proc->inlets, it)
        n++;
    return n;
}

bool inlets_are_older_than(uint32_t generation)
{
    WEIR_LIST_EACH(&proc->inlets, it)
        if (WEIR_CONTAINER(it, inlet_t, node)->generation < generation)
            return true;
    return false;
}

void inlets_close(void)
{
    WEIR_LIST_EACH(&proc->inlets, it)
        inlet_close(WEIR_CONTAINER(it, inlet_t, node));
}
