/* bundle.c: see the table in bundle.h. */
#include "bundle.h"

#include <stdlib.h>

#include "buf.h"
#include "carrier.h"
#include "exchanges.h"
#include "jscan.h"
#include "log.h"
#include "message.h"

typedef struct bundle {
    exchange_t *ex;      /* that brought it */
    weir_list_t members; /* under way: exchange.of_client */
    uint32_t asked;      /* requests, and what was no message */
    char *answers;       /* gathered: "[…,…" */
    size_t n, size;
    bool is_starting; /* members are still to come */
    bool is_stream;   /* answers go out as they come */
} bundle_t;

/* ---- what the client gets ---- */

static size_t chunks_size(const weir_chunk_t *parts, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += parts[i].bytes.n;
    return bytes;
}

static bool bundle_is_over(const bundle_t *b)
{
    return b->ex->state == EXCHANGE_ENDED;
}

/* One message, which is not the last. */
static int bundle_say(bundle_t *b, const weir_chunk_t *parts, size_t n, weir_slice_t event_id)
{
    exchange_t *ex = b->ex;
    if (ex->state != EXCHANGE_REPLYING)
        exchange_release_request(ex);
    ex->state = EXCHANGE_REPLYING;
    ex->status = 200;
    b->is_stream = !ex->pub.wants_messages;
    int result = ex->accept->reply_message(&ex->pub, parts, n, event_id, false);
    ex->is_paused =
        ex->is_paused || result == WEIR_EFULL; /* whose message it was pauses itself, and hears when it may go on */
    return result;
}

/* What has been gathered, as one array. */
static void bundle_flush(bundle_t *b, bool is_final)
{
    weir_chunk_t array[] = {{.bytes = weir_slice(b->answers, b->n)}, {.bytes = WEIR_LIT("]")}};
    b->n = 0;
    if (is_final)
        (void)reply_message(b->ex, array, 2, (weir_slice_t){NULL, 0}, true);
    else
        (void)bundle_say(b, array, 2, (weir_slice_t){NULL, 0});
}

static bool bundle_has_room(bundle_t *b, size_t more)
{
    size_t size = b->n + more;
    if (size <= b->size)
        return true;
    char *answers = realloc(b->answers, size * 2);
    if (answers == NULL)
        return false;
    b->answers = answers;
    b->size = size * 2;
    return true;
}

static void bundle_append(bundle_t *b, const weir_chunk_t *parts, size_t n)
{
    b->answers[b->n] = b->n == 0 ? '[' : ',';
    b->n++;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].bytes.n > 0)
            memcpy(b->answers + b->n, parts[i].bytes.p, parts[i].bytes.n);
        b->n += parts[i].bytes.n;
    }
}

/* An answer, or an error in its place. */
static int bundle_answer(bundle_t *b, const weir_chunk_t *parts, size_t n)
{
    size_t bytes = 1 + chunks_size(parts, n);
    if (bundle_is_over(b))
        return WEIR_ECLOSED;
    if (b->is_stream)
        return bundle_say(b, parts, n, (weir_slice_t){NULL, 0});
    if (!bundle_has_room(b, bytes)) {
        exchange_fail(&b->ex->pub, WEIR_REASON_INTERNAL, "no memory for the answers to a batch");
        return WEIR_ECLOSED;
    }
    bundle_append(b, parts, n);
    if (b->n > b->ex->upstream->pub.buffer_limit)
        bundle_flush(b, false);
    return WEIR_OK;
}

static void bundle_answer_error(bundle_t *b, weir_slice_t id, const weir_failure_t *failure)
{
    char text[WEIR_ERROR_MAX * 2 + 1024];
    int code = failure->code == 0 ? WEIR_CODE_PROXY : failure->code;
    weir_slice_t raw = id.n > 0 && id.n < 1024 ? id : WEIR_LIT("null");
    size_t n = message_error(text, sizeof(text), raw, code, failure->text, weir_slice_str(failure->word));
    weir_chunk_t chunk = {.bytes = weir_slice(text, n)};
    (void)bundle_answer(b, &chunk, 1);
}

/* All has been answered when nothing is under way any more. */
static void bundle_settle(bundle_t *b)
{
    exchange_t *ex = b->ex;
    if (b->is_starting || bundle_is_over(b) || !weir_list_empty(&b->members))
        return;
    if (b->n > 0 && !b->is_stream)
        bundle_flush(b, true);
    else if (ex->state == EXCHANGE_REPLYING)
        reply_end(&ex->pub);
    else
        reply_accepted(ex, 202);
}

/* ---- the members' way back ---- */

static bundle_t *bundle_of(const weir_exchange_t *member)
{
    return member->client;
}

/* It will not call back any more. */
static void member_forget(weir_exchange_t *member)
{
    weir_list_remove(&exchange_of(member)->of_client);
}

static int member_head(weir_exchange_t *member, const weir_reply_t *reply)
{
    (void)member, (void)reply;
    return WEIR_OK;
}

/* Only a module of the chain answers in bytes, and then with one whole message. */
static int member_bytes(weir_exchange_t *member, const weir_chunk_t *chunks, size_t n)
{
    exchange_sent(member, chunks_size(chunks, n));
    return bundle_answer(bundle_of(member), chunks, n);
}

/* Where a message before an answer begins a stream, what was gathered follows it. */
static int member_tells(bundle_t *b, const weir_chunk_t *parts, size_t n, weir_slice_t event_id)
{
    if (bundle_is_over(b))
        return WEIR_ECLOSED;
    int result = bundle_say(b, parts, n, event_id);
    if (b->is_stream && b->n > 0 && !bundle_is_over(b))
        bundle_flush(b, false);
    return bundle_is_over(b) ? WEIR_ECLOSED : result;
}

static int member_message(weir_exchange_t *member, const weir_chunk_t *parts, size_t n, weir_slice_t event_id,
                          bool is_final)
{
    bundle_t *b = bundle_of(member);
    exchange_sent(member, chunks_size(parts, n));
    if (!is_final)
        return member_tells(b, parts, n, event_id);
    member_forget(member);
    int result = bundle_answer(b, parts, n);
    bundle_settle(b);
    return result;
}

static void member_end(weir_exchange_t *member)
{
    member_forget(member);
    bundle_settle(bundle_of(member));
}

/* A session that is gone is gone for all of them, and the client has to hear that as it would without a batch. */
static void member_fail(weir_exchange_t *member, const weir_failure_t *failure)
{
    bundle_t *b = bundle_of(member);
    member_forget(member);
    bool is_gone = failure->reason == WEIR_REASON_SESSION_NOT_FOUND && b->n == 0 && b->ex->state != EXCHANGE_REPLYING;
    if (bundle_is_over(b))
        return;
    if (is_gone)
        exchange_fail(&b->ex->pub, failure->reason, "%.*s", WEIR_FMT(failure->text));
    else if (member->message.envelope.kind == WEIR_KIND_REQUEST)
        bundle_answer_error(b, member->message.envelope.id, failure);
    bundle_settle(b);
}

static const weir_accept_t member_accept = {
    .reply_head = member_head,
    .reply_bytes = member_bytes,
    .reply_message = member_message,
    .reply_end = member_end,
    .fail = member_fail,
};

/* ---- what carries the exchange that brought it ---- */

static void bundle_forget(exchange_t *ex, weir_reason_t reason)
{
    bundle_t *b = ex->bundle;
    (void)reason;
    while (!weir_list_empty(&b->members)) {
        exchange_t *member = WEIR_CONTAINER(b->members.next, exchange_t, of_client);
        member_forget(&member->pub);
        exchange_abandon(&member->pub);
    }
    free(b->answers);
    b->answers = NULL;
    b->n = b->size = 0;
}

/* Each of them is paused when it is told that the client is full. */
static void bundle_pause(exchange_t *ex, bool is_paused)
{
    bundle_t *b = ex->bundle;
    if (!is_paused)
        WEIR_LIST_EACH(&b->members, it)
            exchange_drained(&WEIR_CONTAINER(it, exchange_t, of_client)->pub);
}

static const carrier_t bundle_carrier = {.forget = bundle_forget, .pause = bundle_pause};

bool bundle_cancel(exchange_t *ex, weir_slice_t id)
{
    bundle_t *b = ex->bundle;
    if (b == NULL)
        return false;
    WEIR_LIST_EACH(&b->members, it) {
        exchange_t *member = WEIR_CONTAINER(it, exchange_t, of_client);
        if (!weir_slice_eq(member->pub.message.envelope.id, id))
            continue;
        member_forget(&member->pub);
        exchange_abandon(&member->pub);
        bundle_settle(b);
        return true;
    }
    return false;
}

/* ---- the way in ---- */

static void member_start(bundle_t *b, const weir_message_t *message)
{
    const weir_exchange_t *from = &b->ex->pub;
    weir_exchange_t *member = exchange_new(from->listener, b);
    if (member == NULL) {
        exchange_fail(&b->ex->pub, WEIR_REASON_INTERNAL, "no memory for the messages of a batch");
        return;
    }
    exchange_of(member)->accept = &member_accept;
    member->verb = WEIR_VERB_MESSAGE;
    member->era = WEIR_ERA_LEGACY;
    member->head = from->head;
    member->host = from->host;
    member->target = from->target;
    member->peer = from->peer;
    member->principal = from->principal;
    member->is_tls = from->is_tls;
    member->authorization = from->authorization;
    member->session_token = from->session_token;
    member->revision = from->revision;
    member->wants_messages = true;
    member->message = *message;
    member->body = (weir_chunk_t){.bytes = message->bytes, .buf = from->body.buf};
    if (member->body.buf != NULL)
        buf_ref(member->body.buf);
    weir_list_append(&b->members, &exchange_of(member)->of_client);
    exchange_start(member);
}

static void bundle_refuse(bundle_t *b, weir_slice_t id, weir_slice_t why)
{
    weir_failure_t failure = {.code = WEIR_CODE_INVALID_REQUEST, .text = why};
    b->asked++;
    bundle_answer_error(b, id, &failure);
}

static void bundle_take(bundle_t *b, weir_slice_t bytes)
{
    weir_message_t message = {.bytes = bytes};
    const weir_envelope_t *env = &message.envelope;
    if (message_scan(bytes, &message.envelope) != WEIR_SCAN_OK)
        bundle_refuse(b, env->id, WEIR_LIT("not a JSON-RPC 2.0 message"));
    else if (env->kind == WEIR_KIND_BATCH)
        bundle_refuse(b, env->id, WEIR_LIT("a batch has messages in it, and no other batch"));
    else if (weir_slice_eq(env->method, WEIR_LIT("initialize")))
        bundle_refuse(b, env->id, WEIR_LIT("initialize must not be part of a batch"));
    else
        member_start(b, &message);
}

/* The elements of an array that is known to be JSON. False: there is none left. */
static bool element_next(jscan_t *j, weir_slice_t *element)
{
    char first = jscan_peek(j);
    if (first == ']' || first == 0)
        return false;
    j->p++; /* the bracket at the beginning, or a comma */
    return jscan_peek(j) != ']' && jscan_value(j, element);
}

static uint32_t elements_count(weir_slice_t array)
{
    jscan_t j = jscan_over(array);
    weir_slice_t element;
    uint32_t n = 0;
    (void)jscan_peek(&j);
    while (element_next(&j, &element))
        n++;
    return n;
}

static void bundle_start(exchange_t *ex)
{
    bundle_t *b = exchange_alloc(&ex->pub, sizeof(*b));
    if (b == NULL) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "no memory for a batch");
        return;
    }
    *b = (bundle_t){.ex = ex, .is_starting = true};
    weir_list_init(&b->members);
    ex->bundle = b;
    ex->carrier = &bundle_carrier;
    ex->state = EXCHANGE_SENT;
    weir_slice_t element;
    weir_buf_t *buf = ex->pub.body.buf; /* needed to the end, also when what was said first has released it */
    jscan_t j = jscan_over(ex->pub.message.bytes);
    if (buf != NULL)
        buf_ref(buf);
    while (!bundle_is_over(b) && element_next(&j, &element))
        bundle_take(b, element);
    b->is_starting = false;
    bundle_settle(b);
    buf_unref(buf);
}

/* The revision that was negotiated; over HTTP, where neither the head nor the session says one, it is the one that had no field to
 * say it (2025-06-18, Protocol Version Header). */
static weir_slice_t revision_of(const exchange_t *ex)
{
    const weir_exchange_t *pub = &ex->pub;
    if (pub->head == NULL)
        return pub->revision;
    weir_slice_t said = weir_head_value(pub->head, WEIR_FIELD_MCP_PROTOCOL_VERSION);
    if (said.n > 0)
        return said;
    return ex->version.n > 0 ? ex->version : WEIR_LIT("2025-03-26");
}

/* False: it has been refused. */
static bool bundle_is_welcome(exchange_t *ex)
{
    weir_exchange_t *pub = &ex->pub;
    uint64_t most = (uint64_t)pub->listener->conf->max_batch, n = elements_count(pub->message.bytes);
    weir_slice_t revision = revision_of(ex);
    if (revision.n == 0)
        exchange_fail(pub, WEIR_REASON_NOT_JSONRPC, "a JSON-RPC batch before initialize was answered");
    else if (!weir_slice_eq(revision, WEIR_LIT("2025-03-26")))
        exchange_fail(pub, WEIR_REASON_NOT_JSONRPC,
                      "JSON-RPC batches are of revision 2025-03-26 alone, and this is %.*s",
                      (int)(revision.n < 32 ? revision.n : 32), revision.p);
    else if (n == 0)
        exchange_fail(pub, WEIR_REASON_NOT_JSONRPC, "an empty batch");
    else if (n > most)
        exchange_fail(pub, WEIR_REASON_NOT_JSONRPC, "a batch of %llu messages is larger than max_batch (%llu)",
                      (unsigned long long)n, (unsigned long long)most);
    return ex->state != EXCHANGE_ENDED;
}

void exchange_submit(weir_exchange_t *pub)
{
    exchange_t *ex = exchange_of(pub);
    if (pub->message.envelope.kind != WEIR_KIND_BATCH)
        exchange_start(pub);
    else if (exchange_route(ex) && bundle_is_welcome(ex))
        bundle_start(ex);
}
