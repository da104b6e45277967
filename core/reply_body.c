/* reply_body.c: see reply_body.h. */
#include "reply_body.h"

#include "chain.h"
#include "coding.h"
#include "cut.h"
#include "decode.h"
#include "exchanges.h"
#include "message.h"
#include "stats.h"

/* ---- a coding is taken off ---- */

static bool head_is_coded(const weir_head_t *head)
{
    weir_slice_t name = weir_head_value(head, WEIR_FIELD_CONTENT_ENCODING);
    return name.n > 0 && !weir_slice_ieq(name, WEIR_LIT("identity"));
}

bool reply_body_is_readable(const exchange_t *ex, const weir_head_t *head)
{
    return ex->decoder != NULL || !head_is_coded(head);
}

int reply_body_decode(exchange_t *ex, const weir_head_t *head)
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
static int body_broken(exchange_t *ex, const weir_error_t *err)
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

/* ---- messages are cut out ---- */

int reply_body_cut(exchange_t *ex, const weir_head_t *head)
{
    ex->cut = cut_new(head, ex->upstream->conf->max_message);
    if (ex->cut != NULL)
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory to read its reply", ex->upstream->pub.name);
    return WEIR_ECLOSED;
}

static bool is_answer(const exchange_t *ex, const weir_envelope_t *env)
{
    bool is_reply = env->kind == WEIR_KIND_RESULT || env->kind == WEIR_KIND_ERROR;
    return is_reply && (env->id.p == NULL || weir_slice_eq(env->id, ex->pub.message.envelope.id));
}

/* A message that was cut out of a reply of bytes. The answer does not end the exchange, whose link is still at work. */
static int body_message(exchange_t *ex, weir_message_t *message, weir_slice_t event_id)
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
    exchange_drained(&ex->pub);
    return WEIR_OK;
}

static int body_take_cut(void *owner, weir_slice_t bytes, weir_slice_t event_id)
{
    exchange_t *ex = owner;
    weir_message_t message = {.bytes = bytes};
    if (ex->is_answered)
        return WEIR_OK; /* what a server says after its answer */
    if (message_scan(bytes, &message.envelope) == WEIR_SCAN_OK)
        return body_message(ex, &message, event_id);
    if (!ex->pub.wants_messages)
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_BAD_REPLY, "%s: %s sent what is no JSON-RPC message", ex->upstream->pub.name,
                  ex->link->pub.server->name);
    return WEIR_ECLOSED;
}

static int body_cut(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    int result = cut_bytes(ex->cut, chunks, n, body_take_cut, ex);
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

/* ---- piece by piece ---- */

/* As it is to be read: for the modules of the chain, and for who gets messages. */
static int body_read(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    return ex->cut == NULL ? WEIR_OK : body_cut(ex, chunks, n);
}

static int body_pass(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    return ex->pub.wants_messages || ex->state == EXCHANGE_ENDED ? WEIR_OK
                                                                 : ex->accept->reply_bytes(&ex->pub, chunks, n);
}

static int body_take_decoded(void *owner, const weir_chunk_t *piece)
{
    exchange_t *ex = owner;
    int result = body_read(ex, piece, 1);
    if (ex->is_decoded)
        result = body_pass(ex, piece, 1);
    return ex->state == EXCHANGE_ENDED ? WEIR_ECLOSED : result;
}

static int body_decode(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    weir_error_t err;
    int passed = ex->is_decoded && n > 0 ? WEIR_OK : body_pass(ex, chunks, n);
    if (ex->state == EXCHANGE_ENDED)
        return WEIR_ECLOSED;
    int result = decode_bytes(ex->decoder, chunks, n, body_take_decoded, ex, &err);
    if (result == WEIR_EFAIL)
        result = body_broken(ex, &err);
    return result == WEIR_OK ? passed : result;
}

int reply_body_bytes(exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    if (ex->decoder != NULL)
        return body_decode(ex, chunks, n);
    int result = body_read(ex, chunks, n);
    return ex->pub.wants_messages ? result : body_pass(ex, chunks, n);
}

int reply_body_end(exchange_t *ex)
{
    weir_error_t err;
    if (ex->decoder != NULL && decode_end(ex->decoder, &err) != WEIR_OK && body_broken(ex, &err) != WEIR_OK)
        return WEIR_ECLOSED;
    return ex->cut != NULL && cut_end(ex->cut, body_take_cut, ex) == WEIR_ECLOSED ? WEIR_ECLOSED : WEIR_OK;
}
