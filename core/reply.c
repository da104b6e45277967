/* reply.c: the way back, from a link to the client. What arrives is passed on in the same turn of the loop; a client that is
 * full stops the link it reads from.
 */
#include "carrier.h"
#include "chain.h"
#include "coding.h"
#include "cut.h"
#include "decode.h"
#include "exchanges.h"
#include "grant.h"
#include "message.h"
#include "proc.h"
#include "stats.h"
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

static void reply_source_pause(exchange_t *ex, bool is_paused)
{
    if (ex->is_paused == is_paused)
        return;
    ex->is_paused = is_paused;
    (ex->carrier != NULL ? ex->carrier : ex->upstream->carrier)->pause(ex, is_paused);
}

static int reply_full(exchange_t *ex, int result)
{
    if (result == WEIR_EFULL && ex->state != EXCHANGE_ENDED)
        reply_source_pause(ex, true);
    return result;
}

void exchange_drained(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_ENDED)
        reply_source_pause(ex, false);
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

static bool head_has_body(const exchange_t *ex, const weir_head_t *head)
{
    (void)ex;
    return head->status >= 200 && head->status != 204 && head->status != 304 && head->content_length != 0;
}

/* ---- content codings ----
 *
 *   who reads                                    what happens to a body that comes packed
 *   the client wants messages                    unpacked and cut; a coding that no codec expands is a bad reply
 *   a client of HTTP, which takes the coding     passes as it came; for modules that look at messages it is unpacked beside
 *   a client of HTTP, which does not             unpacked on its way, where a codec for it is loaded
 */

static bool head_is_coded(const weir_head_t *head)
{
    weir_slice_t name = weir_head_value(head, WEIR_FIELD_CONTENT_ENCODING);
    return name.n > 0 && !weir_slice_ieq(name, WEIR_LIT("identity"));
}

static bool reply_is_readable(const exchange_t *ex, const weir_head_t *head)
{
    return ex->decoder != NULL || !head_is_coded(head);
}

static int reply_decode_begin(exchange_t *ex, const weir_head_t *head)
{
    weir_slice_t name = weir_head_value(head, WEIR_FIELD_CONTENT_ENCODING);
    const weir_codec_t *codec = coding_of(name);
    if (!head_is_coded(head))
        return WEIR_OK;
    if (codec == NULL && ex->pub.wants_messages) {
        exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY,
                      "%s: %s packed its reply as %.*s, which nobody asked for and no codec that is loaded expands",
                      ex->upstream->pub.name, ex->link->pub.server->name, (int)(name.n < 64 ? name.n : 64), name.p);
        return WEIR_ECLOSED;
    }
    bool is_refused = !ex->pub.wants_messages && !coding_is_taken(ex->pub.head, name);
    if (codec == NULL || !(ex->pub.wants_messages || ex->pub.is_watched || is_refused))
        return WEIR_OK;
    ex->is_decoded = is_refused;
    ex->decoder = decode_new(codec, ex->upstream->conf->max_message);
    if (ex->decoder != NULL)
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory to unpack its reply", ex->upstream->pub.name);
    return WEIR_ECLOSED;
}

/* Where only modules of the chain look on, the client has what the server sent: nobody else misses the rest. */
static int reply_decode_broken(exchange_t *ex, const weir_error_t *err)
{
    ex->upstream->stats->lanes.broken++;
    if (!ex->pub.wants_messages && !ex->is_decoded) {
        decode_free(ex->decoder);
        cut_free(ex->cut);
        ex->decoder = NULL;
        ex->cut = NULL;
        return WEIR_OK;
    }
    exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: the reply of %s: %s", ex->upstream->pub.name,
                  ex->link->pub.server->name, err->text);
    return WEIR_ECLOSED;
}

static int reply_cut_begin(exchange_t *ex, const weir_head_t *head)
{
    ex->cut = cut_new(head, ex->upstream->conf->max_message);
    if (ex->cut != NULL)
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory to read its reply", ex->upstream->pub.name);
    return WEIR_ECLOSED;
}

/* The accept side knows nothing of HTTP: what comes is cut into messages. */
static int reply_head_cut(exchange_t *ex, const weir_head_t *head)
{
    reply_begin(ex, head->status);
    reply_rearm(ex);
    return reply_cut_begin(ex, head);
}

int reply_head(weir_exchange_t *pub, const weir_head_t *head)
{
    exchange_t *ex = exchange_of(pub);
    if (ex->state != EXCHANGE_SENT)
        return WEIR_ECLOSED;
    grant_from_reply(ex, head);
    if (head->known[WEIR_FIELD_CONTENT_ENCODING] >= 0 && head_has_body(ex, head) &&
        reply_decode_begin(ex, head) != WEIR_OK)
        return WEIR_ECLOSED;
    weir_slice_t type = weir_head_value(head, WEIR_FIELD_CONTENT_TYPE);
    ex->is_stream = is_event_stream(type);
    ex->is_alien = head_is_alien(ex, head, type);
    if (pub->wants_messages)
        return reply_head_cut(ex, head);
    if (pub->is_watched && reply_is_readable(ex, head) && reply_cut_begin(ex, head) != WEIR_OK)
        return WEIR_ECLOSED;
    weir_reply_t reply = {
        .status = head->status,
        .head = head,
        .session_token = pub->session_grant,
        .content_length = head->is_chunked || ex->is_decoded ? -1 : head->content_length,
        .has_body = head_has_body(ex, head),
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

static bool is_answer(const exchange_t *ex, const weir_envelope_t *env)
{
    bool is_reply = env->kind == WEIR_KIND_RESULT || env->kind == WEIR_KIND_ERROR;
    return is_reply && (env->id.p == NULL || weir_slice_eq(env->id, ex->pub.message.envelope.id));
}

/* A message that was cut out of a reply of bytes. The answer does not end the exchange, whose link is still at work. */
static int reply_cut_message(exchange_t *ex, weir_message_t *message, weir_slice_t event_id)
{
    if (ex->pub.wants_messages)
        message_unfold(message);
    bool is_final = ex->pub.verb == WEIR_VERB_MESSAGE && is_answer(ex, &message->envelope);
    chain_reply(ex, message);
    if (!ex->pub.wants_messages || ex->state == EXCHANGE_ENDED)
        return ex->state == EXCHANGE_ENDED ? WEIR_ECLOSED : WEIR_OK;
    weir_chunk_t chunk = {.bytes = message->bytes};
    int result = ex->accept->reply_message(&ex->pub, &chunk, 1, event_id, is_final);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    if (!is_final)
        return result;
    /* The client has its answer. The link has to come to the end of its own reply before it can carry another. */
    ex->is_answered = true;
    ex->pub.client = NULL;
    reply_source_pause(ex, false);
    return WEIR_OK;
}

static int reply_take_cut(void *owner, weir_slice_t bytes, weir_slice_t event_id)
{
    exchange_t *ex = owner;
    weir_message_t message = {.bytes = bytes};
    if (ex->is_answered)
        return WEIR_OK; /* what a server says after its answer */
    if (message_scan(bytes, &message.envelope) == WEIR_SCAN_OK)
        return reply_cut_message(ex, &message, event_id);
    if (!ex->pub.wants_messages)
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: %s sent what is no JSON-RPC message", ex->upstream->pub.name,
                  ex->link->pub.server->name);
    return WEIR_ECLOSED;
}

static int reply_cut_bytes(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    int result = cut_bytes(ex->cut, chunks, n, reply_take_cut, ex);
    if (result != WEIR_EFAIL)
        return result;
    if (!ex->pub.wants_messages) {
        cut_free(ex->cut); /* nobody but an onlooker misses it */
        ex->cut = NULL;
        return WEIR_OK;
    }
    exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: a message of its reply is larger than max_message (%llu)",
                  ex->upstream->pub.name, (unsigned long long)ex->upstream->conf->max_message);
    return WEIR_ECLOSED;
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

/* As it is to be read: for the modules of the chain, and for who gets messages. */
static int reply_read(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    return ex->cut == NULL ? WEIR_OK : reply_cut_bytes(ex, chunks, n);
}

static int reply_pass(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    return ex->pub.wants_messages || ex->state == EXCHANGE_ENDED ? WEIR_OK
                                                                 : ex->accept->reply_bytes(&ex->pub, chunks, n);
}

static int reply_take_decoded(void *owner, const weir_chunk_t *piece)
{
    exchange_t *ex = owner;
    int result = reply_read(ex, piece, 1);
    if (ex->is_decoded)
        result = reply_pass(ex, piece, 1);
    return ex->state == EXCHANGE_ENDED ? WEIR_ECLOSED : result;
}

static int reply_decode(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    weir_error_t err;
    int passed = ex->is_decoded && n > 0 ? WEIR_OK : reply_pass(ex, chunks, n);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    int result = decode_bytes(ex->decoder, chunks, n, reply_take_decoded, ex, &err);
    if (result == WEIR_EFAIL)
        result = reply_decode_broken(ex, &err);
    return result == WEIR_OK ? passed : result;
}

int reply_bytes(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n)
{
    exchange_t *ex = exchange_of(pub);
    int result;
    if (ex->state != EXCHANGE_REPLYING)
        return WEIR_ECLOSED;
    if (ex->decoder != NULL) {
        result = reply_decode(ex, chunks, n);
    } else {
        result = reply_read(ex, chunks, n);
        if (!pub->wants_messages)
            result = reply_pass(ex, chunks, n);
    }
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
    weir_error_t err;
    timer_stop(&ex->timer);
    if (ex->decoder != NULL && decode_end(ex->decoder, &err) != WEIR_OK && reply_decode_broken(ex, &err) != WEIR_OK)
        return;
    if (ex->cut != NULL && cut_end(ex->cut, reply_take_cut, ex) == WEIR_ECLOSED)
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
