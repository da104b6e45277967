/* coding.c: content codings at the edge: which replies are packed for a client, and how the body of a request is unpacked.
 *
 *   a reply                                        what happens
 *   the listener offers no coding                  passes
 *   has one already, or says that it must stay     passes
 *   is small, or of a type that does not shrink    passes
 *   could be packed                                Vary: Accept-Encoding, whoever asks
 *   and the client takes one of those offered      packed: Content-Encoding, a strong ETag becomes a weak one
 *
 * Events are flushed one by one. A reply of another type is of no use before it is whole, and is written as the codec gives it.
 */
#include "edge.h"

_Static_assert(EDGE_CHUNKS <= WEIR_ENCODE_CHUNKS, "a piece of a reply is encoded at once");

/* Somewhere in a list that may stand in several fields. */
static bool field_has(const weir_head_t *head, weir_field_id_t id, weir_slice_t word)
{
    weir_slice_t list, element;
    if (head->known[id] < 0)
        return false;
    for (uint16_t i = (uint16_t)head->known[id]; i < head->nfields; i++)
        if (head->fields[i].id == id)
            for (list = head->fields[i].value; list_next(&list, &element);)
                if (weir_slice_ieq(element, word))
                    return true;
    return false;
}

/* The bytes are meant as they are: a part of something, or something that a checksum stands for. */
static bool has_field_of_bytes(const weir_head_t *head)
{
    static const weir_slice_t names[] = {
        {"Content-Range", 13}, {"Content-Digest", 14}, {"Repr-Digest", 11}, {"Digest", 6}, {"Content-MD5", 11},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (head_find(head, names[i]).p != NULL)
            return true;
    return false;
}

/* Text shrinks; what else a server may send is packed by its own format. */
static bool type_shrinks(weir_slice_t type)
{
    static const char json[] = "application/json", suffix[] = "+json";
    const char *end = type.n == 0 ? NULL : memchr(type.p, ';', type.n);
    weir_slice_t media = weir_slice_trim(weir_slice(type.p, end == NULL ? type.n : (size_t)(end - type.p)));
    size_t n = sizeof(suffix) - 1;
    if (media.n >= 5 && weir_slice_ieq(weir_slice(media.p, 5), WEIR_LIT("text/")))
        return true;
    return weir_slice_ieq(media, weir_slice(json, sizeof(json) - 1)) ||
           (media.n > n && weir_slice_ieq(weir_slice(media.p + media.n - n, n), weir_slice(suffix, n)));
}

static bool head_may_change(const weir_head_t *head, bool is_decoded)
{
    return (is_decoded || head->known[WEIR_FIELD_CONTENT_ENCODING] < 0) && head->status != 206 &&
           !field_has(head, WEIR_FIELD_CACHE_CONTROL, WEIR_LIT("no-transform")) && !has_field_of_bytes(head);
}

/* Small bodies are sent as they are, unless that is what the client does not take. */
static void coding_choose(client_t *c, coded_t *coded, weir_slice_t type, int64_t length)
{
    const edge_t *edge = c->edge;
    const weir_codings_t *codings = edge->codings;
    bool is_needed = false;
    if (c->head == NULL || !type_shrinks(type))
        return;
    const weir_coding_t *coding = edge->host->coding_choose(codings, c->head, &is_needed);
    if (length >= 0 && (uint64_t)length < codings->min_size && !is_needed)
        return;
    coded->varies = true;
    if (coding == NULL || c->minor == 0 || field_has(c->head, WEIR_FIELD_CACHE_CONTROL, WEIR_LIT("no-transform")))
        return;
    c->encoder = edge->host->encoder_new(codings, coding, length < 0);
    if (c->encoder != NULL)
        coded->name = coding->codec->coding;
}

coded_t coding_of_own(client_t *c, weir_slice_t type, int64_t length, bool has_body)
{
    coded_t coded = {.name = {NULL, 0}};
    if (c->edge->codings != NULL && has_body)
        coding_choose(c, &coded, type, length);
    return coded;
}

coded_t coding_of_server(client_t *c, const weir_reply_t *reply)
{
    coded_t coded = {.varies = reply->is_decoded};
    const weir_head_t *head = reply->head;
    if (c->edge->codings != NULL && reply->has_body && head_may_change(head, reply->is_decoded))
        coding_choose(c, &coded, weir_head_value(head, WEIR_FIELD_CONTENT_TYPE), reply->content_length);
    if (!coded.varies)
        return coded;
    if (field_has(head, WEIR_FIELD_VARY, WEIR_LIT("Accept-Encoding")) ||
        field_has(head, WEIR_FIELD_VARY, WEIR_LIT("*")))
        coded.varies = false; /* it says so already */
    return coded;
}

void out_coding(head_out_t *out, const coded_t *coded)
{
    if (coded->name.n > 0)
        out_field(out, WEIR_LIT("Content-Encoding"), coded->name);
    if (coded->varies)
        OUT_LIT(out, "Vary: Accept-Encoding\r\n");
}

/* What is changed is equal in meaning and not in its bytes (RFC 9110 8.8.1). */
void out_weak_etag(head_out_t *out, const weir_head_t *head)
{
    weir_slice_t etag = weir_head_value(head, WEIR_FIELD_ETAG);
    if (etag.n == 0)
        return;
    OUT_LIT(out, "ETag: ");
    if (etag.p[0] == '"')
        OUT_LIT(out, "W/");
    out_text(out, etag);
    OUT_LIT(out, "\r\n");
}

void coding_end(client_t *c)
{
    if (c->encoder == NULL)
        return;
    c->edge->host->encoder_free(c->encoder);
    c->encoder = NULL;
}

/* ---- requests ---- */

/* What a request's body is packed with, as the client says it; empty: nothing. */
static weir_slice_t coding_said(const weir_head_t *head)
{
    weir_slice_t name = weir_head_value(head, WEIR_FIELD_CONTENT_ENCODING);
    return weir_slice_ieq(name, WEIR_LIT("identity")) ? weir_slice(NULL, 0) : name;
}

weir_reason_t coding_check(client_t *c, weir_error_t *err)
{
    weir_slice_t name = coding_said(c->head);
    if (name.n == 0)
        return WEIR_REASON_NONE;
    if (head_count(c->head, WEIR_FIELD_CONTENT_ENCODING) == 1 && c->edge->host->coding_of(name) != NULL)
        return WEIR_REASON_NONE;
    (void)weir_error(err, "Content-Encoding: no codec that is loaded expands %.*s", (int)(name.n < 64 ? name.n : 64),
                     name.p);
    return WEIR_REASON_BAD_CODING;
}

weir_reason_t coding_take_off(client_t *c, weir_chunk_t *plain, weir_error_t *err)
{
    const edge_t *edge = c->edge;
    weir_slice_t name = coding_said(c->head);
    if (name.n == 0 || c->body_n == 0)
        return WEIR_REASON_NONE;
    const weir_codec_t *codec = edge->host->coding_of(name);
    switch (edge->host->decode(edge->codings, codec, client_request_body(c), edge->options->max_message, plain, err)) {
    case WEIR_OK:
        return WEIR_REASON_NONE;
    case WEIR_EFULL:
        return WEIR_REASON_TOO_LARGE;
    default:
        return WEIR_REASON_BAD_REQUEST;
    }
}
