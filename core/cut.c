/* cut.c: see cut.h. */
#include "cut.h"

#include <stdlib.h>

#include "exchanges.h"
#include "message.h"
#include "sse.h"

typedef enum cut_kind {
    CUT_NOTHING, /* no body is expected, what comes is dropped */
    CUT_JSON,    /* one message, gathered */
    CUT_EVENTS,
} cut_kind_t;

typedef struct cut {
    cut_kind_t kind;
    uint16_t status;
    sse_t events;
    char *body; /* JSON so far */
    size_t n, size;
    int result; /* of what was handed on in this call */
} cut_t;

void cut_free(struct cut *cut)
{
    if (cut == NULL)
        return;
    sse_free(&cut->events);
    free(cut->body);
    free(cut);
}

static bool type_is(const weir_head_t *head, weir_slice_t type)
{
    weir_slice_t value = weir_head_value(head, WEIR_FIELD_CONTENT_TYPE);
    return value.n >= type.n && weir_slice_ieq(weir_slice(value.p, type.n), type);
}

static cut_kind_t kind_of(const weir_head_t *head)
{
    bool has_body = head->status != 202 && head->status != 204 && head->content_length != 0;
    if (!has_body)
        return CUT_NOTHING;
    if (type_is(head, WEIR_LIT("text/event-stream")))
        return CUT_EVENTS;
    return type_is(head, WEIR_LIT("application/json")) ? CUT_JSON : CUT_NOTHING;
}

int cut_begin(exchange_t *ex, const weir_head_t *head)
{
    ex->cut = calloc(1, sizeof(*ex->cut));
    if (ex->cut == NULL) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory to read its reply", ex->upstream->pub.name);
        return WEIR_ECLOSED;
    }
    ex->cut->kind = kind_of(head);
    ex->cut->status = head->status;
    sse_init(&ex->cut->events, ex->upstream->conf->max_message);
    return WEIR_OK;
}

static bool is_answer(const exchange_t *ex, const weir_envelope_t *env)
{
    bool is_reply = env->kind == WEIR_KIND_RESULT || env->kind == WEIR_KIND_ERROR;
    return is_reply && (env->id.p == NULL || weir_slice_eq(env->id, ex->pub.message.envelope.id));
}

/* Hand one message on. False when the exchange has ended by it. */
static bool cut_deliver(exchange_t *ex, weir_slice_t bytes)
{
    weir_message_t message = {.bytes = bytes};
    if (bytes.n == 0 || ex->is_answered)
        return true; /* an event that only sets the id; what a server says after its answer */
    if (message_scan(bytes, &message.envelope) != WEIR_SCAN_OK) {
        if (!ex->pub.wants_messages)
            return true;
        exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: %s sent what is no JSON-RPC message",
                      ex->upstream->pub.name, ex->link->pub.server->name);
        return false;
    }
    if (ex->pub.wants_messages)
        message_unfold(&message);
    bool is_final = ex->pub.verb == WEIR_VERB_MESSAGE && is_answer(ex, &message.envelope);
    ex->cut->result = reply_cut(ex, &message, is_final);
    return ex->cut->result != WEIR_ECLOSED;
}

static bool cut_event(void *owner, const sse_event_t *event)
{
    exchange_t *ex = owner;
    if (event->has_id)
        ex->event_id = event->id;
    bool goes_on = !event->has_data || cut_deliver(ex, event->data);
    if (goes_on)
        ex->event_id = (weir_slice_t){NULL, 0};
    return goes_on;
}

static int cut_gather(cut_t *cut, size_t limit, weir_slice_t bytes)
{
    if (bytes.n > limit || cut->n > limit - bytes.n)
        return WEIR_EFULL;
    if (cut->n + bytes.n > cut->size) {
        size_t size = (cut->n + bytes.n) * 2;
        char *body = realloc(cut->body, size);
        if (body == NULL)
            return WEIR_EFULL;
        cut->body = body;
        cut->size = size;
    }
    memcpy(cut->body + cut->n, bytes.p, bytes.n);
    cut->n += bytes.n;
    return WEIR_OK;
}

static int cut_piece(exchange_t *ex, weir_slice_t bytes)
{
    switch (ex->cut->kind) {
    case CUT_EVENTS:
        return sse_read(&ex->cut->events, bytes, cut_event, ex);
    case CUT_JSON:
        return cut_gather(ex->cut, ex->upstream->conf->max_message, bytes);
    case CUT_NOTHING:
        break;
    }
    return WEIR_OK;
}

int cut_bytes(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    ex->cut->result = WEIR_OK;
    for (size_t i = 0; i < n; i++) {
        int result = cut_piece(ex, chunks[i].bytes);
        if (result == WEIR_EFULL && !ex->pub.wants_messages) {
            ex->cut->kind = CUT_NOTHING; /* nobody but an onlooker misses it */
            return WEIR_OK;
        }
        if (result == WEIR_EFULL)
            exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY,
                          "%s: a message of its reply is larger than max_message (%llu)", ex->upstream->pub.name,
                          (unsigned long long)ex->upstream->conf->max_message);
        if (result != WEIR_OK)
            return WEIR_ECLOSED;
    }
    return ex->cut->result;
}

static weir_reason_t reason_of(const exchange_t *ex)
{
    switch (ex->cut->status) {
    case 404:
        return ex->pub.session_token.n > 0 ? WEIR_REASON_SESSION_NOT_FOUND : WEIR_REASON_NOT_FOUND;
    case 405:
        return WEIR_REASON_BAD_METHOD;
    default:
        return WEIR_REASON_BAD_REPLY;
    }
}

/* The body is over and nothing in it was the answer. */
static void cut_end_unanswered(exchange_t *ex)
{
    bool is_asked = ex->pub.message.envelope.kind == WEIR_KIND_REQUEST;
    if (ex->cut->status >= 300)
        exchange_fail(&ex->pub, reason_of(ex), "%s: the server answered HTTP status %u", ex->upstream->pub.name,
                      ex->cut->status);
    else if (is_asked)
        exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: its reply ended without the answer",
                      ex->upstream->pub.name);
    else
        reply_over(ex);
}

void cut_end(exchange_t *ex)
{
    cut_t *cut = ex->cut;
    weir_slice_t body = weir_slice(cut->body, cut->n);
    if (cut->kind == CUT_JSON && cut->n > 0 && cut->status != 404 && !cut_deliver(ex, body))
        return;
    if (!ex->pub.wants_messages)
        return;
    if (ex->is_answered)
        reply_over(ex);
    else
        cut_end_unanswered(ex);
}
