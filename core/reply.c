/* reply.c: the way back, from a link to the client. What arrives is passed on in the same turn of the loop; a client that is
 * full stops the link it reads from.
 */
#include "chain.h"
#include "exchanges.h"
#include "grant.h"
#include "message.h"
#include "proc.h"
#include "reply_body.h"
#include "timer.h"

/* The first of an answer: from here on the request is not needed any more, but by a client whose session the server does not know. */
static void reply_begin(exchange_t *ex, uint16_t status)
{
    ex->state = EXCHANGE_REPLYING;
    ex->status = status;
    if (status != 404)
        exchange_release_request(ex);
}

/* A stream may be silent as long as it likes once it is open; an answer that has begun may not stall. */
static void reply_rearm(exchange_t *ex)
{
    if (ex->pub.verb == WEIR_VERB_LISTEN || ex->is_stream)
        timer_stop(&ex->timer);
    else
        timer_start(ex->upstream->reply_timeouts, &ex->timer);
}

static int reply_full(exchange_t *ex, int result)
{
    if (result == WEIR_EFULL && ex->state != EXCHANGE_ENDED)
        exchange_pause(ex, true);
    return result;
}

static bool is_event_stream(weir_slice_t type)
{
    return type.n >= 17 && weir_slice_ieq(weir_slice(type.p, 17), WEIR_LIT("text/event-stream"));
}

static bool is_json(weir_slice_t type)
{
    return type.n >= 16 && weir_slice_ieq(weir_slice(type.p, 16), WEIR_LIT("application/json"));
}

/* Somebody answers in the server's place: a page that asks to log in, or says that all is fine. */
static bool head_is_alien(const exchange_t *ex, const weir_head_t *head, weir_slice_t type)
{
    return ex->pub.message.envelope.kind == WEIR_KIND_REQUEST && head->status >= 200 && head->status < 300 &&
           !ex->is_stream && !is_json(type) && head->content_length != 0;
}

static bool head_has_body(const weir_head_t *head)
{
    return head->status >= 200 && head->status != 204 && head->status != 304 && head->content_length != 0;
}

/* The accept side knows nothing of HTTP: what comes is cut into messages. */
static int reply_head_cut(exchange_t *ex, const weir_head_t *head)
{
    reply_begin(ex, head->status);
    reply_rearm(ex);
    return reply_body_cut(ex, head);
}

int reply_head(weir_exchange_t *pub, const weir_head_t *head)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_SENT)
        return WEIR_ECLOSED;
    grant_from_reply(ex, head);
    if (head->known[WEIR_FIELD_CONTENT_ENCODING] >= 0 && head_has_body(head) && reply_body_decode(ex, head) != WEIR_OK)
        return WEIR_ECLOSED;
    weir_slice_t type = weir_head_value(head, WEIR_FIELD_CONTENT_TYPE);
    ex->is_stream = is_event_stream(type);
    ex->is_alien = head_is_alien(ex, head, type);
    if (pub->wants_messages)
        return reply_head_cut(ex, head);
    if (pub->is_watched && reply_body_is_readable(ex, head) && reply_body_cut(ex, head) != WEIR_OK)
        return WEIR_ECLOSED;
    weir_reply_t reply = {
        .status = head->status,
        .head = head,
        .session_token = pub->session_grant,
        .content_length = head->is_chunked || ex->is_decoded ? -1 : head->content_length,
        .has_body = head_has_body(head),
        .is_decoded = ex->is_decoded,
    };
    ex->state = EXCHANGE_REPLYING;
    ex->status = head->status;
    if (ex->is_stream)
        chain_streaming(ex, head->status);
    int result = ex->accept->reply_head(pub, &reply);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    reply_rearm(ex);
    if (ex->is_stream)
        exchange_release_request(ex);
    return reply_full(ex, result);
}

static void reply_over(exchange_t *ex)
{
    if (ex->pub.client != NULL)
        ex->accept->reply_end(&ex->pub);
    exchange_end(ex, WEIR_REASON_NONE);
}

static weir_reason_t reason_of_status(const exchange_t *ex)
{
    switch (ex->status) {
    case 404:
        return ex->pub.session_token.n > 0 ? WEIR_REASON_SESSION_NOT_FOUND : WEIR_REASON_NOT_FOUND;
    case 405:
        return WEIR_REASON_BAD_METHOD;
    default:
        return WEIR_REASON_BAD_REPLY;
    }
}

/* The body is over and nothing in it was the answer. */
static void reply_over_unanswered(exchange_t *ex)
{
    if (ex->status >= 300)
        exchange_fail(&ex->pub, reason_of_status(ex), "%s: the server answered HTTP status %u", ex->upstream->pub.name,
                      ex->status);
    else if (ex->pub.message.envelope.kind == WEIR_KIND_REQUEST)
        exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: its reply ended without the answer",
                      ex->upstream->pub.name);
    else
        reply_over(ex);
}

/* It does not only pass. */
static bool body_is_read(const exchange_t *ex)
{
    return ex->pub.wants_messages || ex->cut != NULL || ex->decoder != NULL;
}

int reply_bytes(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_REPLYING)
        return WEIR_ECLOSED;
    int result = body_is_read(ex) ? reply_body_bytes(ex, chunks, n) : ex->accept->reply_bytes(pub, chunks, n);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    if (!ex->is_stream)
        reply_rearm(ex);
    return reply_full(ex, result);
}

void reply_end(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_REPLYING)
        return;
    timer_stop(&ex->timer);
    if (body_is_read(ex) && reply_body_end(ex) != WEIR_OK)
        return;
    if (ex->cut != NULL && pub->wants_messages && !ex->is_answered)
        reply_over_unanswered(ex);
    else
        reply_over(ex);
}

/* A message of a stream link, for the modules that look at them. */
static void reply_watch(exchange_t *ex, const weir_chunk_t *parts, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += parts[i].bytes.n;
    char *whole = exchange_alloc(&ex->pub, size);
    if (whole == NULL)
        return;
    weir_message_t message = {.bytes = weir_slice(whole, size)};
    for (size_t i = 0; i < n; i++) {
        memcpy(whole, parts[i].bytes.p, parts[i].bytes.n);
        whole += parts[i].bytes.n;
    }
    if (message_scan(message.bytes, &message.envelope) == WEIR_SCAN_OK)
        chain_reply(ex, &message);
}

int reply_message(exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    if (ex->state != EXCHANGE_SENT && ex->state != EXCHANGE_REPLYING)
        return WEIR_ECLOSED;
    if (ex->state == EXCHANGE_SENT)
        reply_begin(ex, 200);
    if (!is_final && !ex->is_stream) {
        ex->is_stream = true;
        chain_streaming(ex, 200);
    }
    if (ex->pub.is_watched)
        reply_watch(ex, parts, n);
    int result = ex->accept->reply_message(&ex->pub, parts, n, event_id, is_final);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    if (is_final) {
        exchange_end(ex, WEIR_REASON_NONE);
        return WEIR_OK;
    }
    timer_start(ex->upstream->reply_timeouts, &ex->timer);
    if (ex->pub.verb == WEIR_VERB_LISTEN)
        timer_stop(&ex->timer);
    return reply_full(ex, result);
}

void reply_accepted(exchange_t *ex, uint16_t status)
{
    if (ex->state != EXCHANGE_SENT)
        return;
    weir_reply_t reply = {.status = status, .content_length = 0, .session_token = ex->pub.session_grant};
    ex->state = EXCHANGE_REPLYING;
    ex->status = status;
    ex->accept->reply_head(&ex->pub, &reply);
    reply_end(&ex->pub);
}

void reply_stream(exchange_t *ex)
{
    if (ex->state != EXCHANGE_SENT)
        return;
    weir_reply_t reply = {
        .status = 200,
        .content_type = WEIR_LIT("text/event-stream"),
        .content_length = -1,
        .has_body = true,
        .session_token = ex->pub.session_grant,
    };
    reply_begin(ex, 200);
    ex->is_stream = true;
    timer_stop(&ex->timer);
    ex->accept->reply_head(&ex->pub, &reply);
}

void exchange_answer(weir_exchange_t *pub, uint16_t status, weir_slice_t message)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state == EXCHANGE_ENDED || ex->state == EXCHANGE_REPLYING)
        return;
    exchange_unhold(ex);
    ex->state = EXCHANGE_REPLYING;
    ex->status = status;
    weir_reply_t reply = {
        .status = status,
        .content_type = WEIR_LIT("application/json"),
        .content_length = (int64_t)message.n,
        .has_body = true,
    };
    weir_chunk_t chunk = {.bytes = message};
    ex->accept->reply_head(pub, &reply);
    if (ex->state != EXCHANGE_ENDED)
        ex->accept->reply_bytes(pub, &chunk, 1);
    reply_end(pub);
}

/* A modern subscription ends with its completing result, the stream of a legacy session by its end. The stream of a call that
 * is not answered yet is left to be cut: its client sees that it is not whole, and resumes it. */
static void exchange_cut(exchange_t *ex)
{
    static const char before[] = "data: {\"jsonrpc\":\"2.0\",\"id\":";
    static const char between[] = ",\"result\":{\"resultType\":\"complete\",\"_meta\":{"
                                  "\"io.modelcontextprotocol/subscriptionId\":";
    static const char after[] = "}}}\n\n";
    if (ex->state == EXCHANGE_REPLYING && ex->is_stream && ex->pub.verb == WEIR_VERB_LISTEN) {
        reply_end(&ex->pub);
        return;
    }
    bool is_subscription =
        weir_slice_eq(weir_slice(ex->note.method, ex->note.method_n), WEIR_LIT("subscriptions/listen"));
    if (ex->state != EXCHANGE_REPLYING || !ex->is_stream || !is_subscription || ex->id == NULL)
        return;
    weir_slice_t id = ex->pub.message.envelope.id;
    weir_chunk_t chunks[] = {
        {.bytes = WEIR_LIT(before)}, {.bytes = id}, {.bytes = WEIR_LIT(between)}, {.bytes = id},
        {.bytes = WEIR_LIT(after)},
    };
    if (reply_bytes(&ex->pub, chunks, 5) != WEIR_ECLOSED)
        reply_end(&ex->pub);
}

void exchanges_cut(void)
{
    WEIR_LIST_EACH(&proc->exchanges->live, it)
        exchange_cut(WEIR_CONTAINER(it, exchange_t, node));
}
