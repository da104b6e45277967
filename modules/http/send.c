/* send.c: a request as a server gets it: the client's end-to-end fields, and what weir has to say itself; its body, which is the
 * client's own, or packed.
 */
#include "server.h"

#include "mirror.h"

static const char x_for[] = "X-Forwarded-For: ";

static bool tells_x(const target_t *target)
{
    return target->options->forwarded == FORWARDED_X || target->options->forwarded == FORWARDED_BOTH;
}

static bool tells_rfc(const target_t *target)
{
    return target->options->forwarded == FORWARDED_RFC || target->options->forwarded == FORWARDED_BOTH;
}

/* The query of a client joins that of the url. */
static void out_target(head_out_t *out, const target_t *target, const weir_head_t *head)
{
    weir_slice_t path = target->url.target;
    out_text(out, path);
    const char *query = head == NULL ? NULL : memchr(head->target.p, '?', head->target.n);
    if (query == NULL)
        return;
    size_t n = (size_t)(head->target.p + head->target.n - query);
    if (memchr(path.p, '?', path.n) == NULL) {
        out_text(out, weir_slice(query, n));
        return;
    }
    OUT_LIT(out, "&");
    out_text(out, weir_slice(query + 1, n - 1));
}

static void out_request_line(head_out_t *out, const target_t *target, const weir_exchange_t *ex)
{
    static const weir_slice_t methods[] = {
        [WEIR_VERB_MESSAGE] = {"POST ", 5},
        [WEIR_VERB_LISTEN] = {"GET ", 4},
        [WEIR_VERB_END] = {"DELETE ", 7},
    };
    out_text(out, methods[ex->verb]);
    out_target(out, target, ex->head);
    OUT_LIT(out, " HTTP/1.1\r\nHost: ");
    weir_slice_t host = ex->head == NULL ? weir_slice(NULL, 0) : weir_head_value(ex->head, WEIR_FIELD_HOST);
    out_text(out, target->options->preserve_host && host.n > 0 ? host : target->url.authority);
    OUT_LIT(out, "\r\n");
}

static void out_earlier(head_out_t *out, const weir_head_t *head, weir_field_id_t id)
{
    if (head == NULL || head->known[id] < 0)
        return;
    for (uint16_t i = (uint16_t)head->known[id]; i < head->nfields; i++) {
        if (head->fields[i].id != id || head->fields[i].value.n == 0)
            continue;
        out_text(out, head->fields[i].value);
        OUT_LIT(out, ", ");
    }
}

static void out_x_forwarded(head_out_t *out, const weir_exchange_t *ex, weir_slice_t host)
{
    if (ex->peer.n > 0) {
        out_text(out, weir_slice(x_for, sizeof(x_for) - 1));
        out_earlier(out, ex->head, WEIR_FIELD_X_FORWARDED_FOR);
        out_text(out, ex->peer);
        OUT_LIT(out, "\r\n");
    }
    if (host.n > 0)
        out_field(out, WEIR_LIT("X-Forwarded-Host"), host);
    out_field(out, WEIR_LIT("X-Forwarded-Proto"), ex->is_tls ? WEIR_LIT("https") : WEIR_LIT("http"));
}

/* RFC 7239: an IPv6 address stands in brackets and quotes, a host with a port in quotes. What would have to be escaped inside
 * of the quotes is in no host. */
static void out_forwarded(head_out_t *out, const weir_exchange_t *ex, weir_slice_t host)
{
    bool is_v6 = ex->peer.n > 0 && memchr(ex->peer.p, ':', ex->peer.n) != NULL;
    bool is_quotable = host.n > 0 && memchr(host.p, '"', host.n) == NULL && memchr(host.p, '\\', host.n) == NULL;
    OUT_LIT(out, "Forwarded: ");
    out_earlier(out, ex->head, WEIR_FIELD_FORWARDED);
    OUT_LIT(out, "for=");
    out_text(out, is_v6 ? WEIR_LIT("\"[") : WEIR_LIT(""));
    out_text(out, ex->peer.n > 0 ? ex->peer : WEIR_LIT("unknown"));
    out_text(out, is_v6 ? WEIR_LIT("]\"") : WEIR_LIT(""));
    if (is_quotable) {
        OUT_LIT(out, ";host=\"");
        out_text(out, host);
        OUT_LIT(out, "\"");
    }
    out_text(out, ex->is_tls ? WEIR_LIT(";proto=https\r\n") : WEIR_LIT(";proto=http\r\n"));
}

static void out_origin_of_request(head_out_t *out, const target_t *target, const weir_exchange_t *ex)
{
    weir_slice_t host = ex->head == NULL ? weir_slice(NULL, 0) : weir_head_value(ex->head, WEIR_FIELD_HOST);
    if (tells_x(target))
        out_x_forwarded(out, ex, host);
    if (tells_rfc(target))
        out_forwarded(out, ex, host);
}

/* Whoever reads the reply says how it may come: what is read here comes best as it is, unless bytes are to be saved on this way. */
static bool is_read_here(const weir_exchange_t *ex)
{
    return ex->wants_messages || ex->is_watched;
}

static void out_accept_encoding(head_out_t *out, const target_t *target)
{
    char names[256];
    size_t n = target->codings == NULL ? 0 : target->host->coding_names(names, sizeof(names));
    out_field(out, WEIR_LIT("Accept-Encoding"), n > 0 ? weir_slice(names, n) : WEIR_LIT("identity"));
}

/* The client's own fields. The coding of its body has been taken off. */
static void out_client_fields(head_out_t *out, const target_t *target, const weir_exchange_t *ex)
{
    uint64_t ids = FIELDS_OF_A_CONNECTION | FIELD_BIT(WEIR_FIELD_HOST) | FIELD_BIT(WEIR_FIELD_EXPECT) |
                   FIELD_BIT(WEIR_FIELD_MCP_SESSION_ID) | FIELD_BIT(WEIR_FIELD_CONTENT_ENCODING);
    if (is_read_here(ex))
        ids |= FIELD_BIT(WEIR_FIELD_ACCEPT_ENCODING);
    if (tells_x(target))
        ids |= FIELD_BIT(WEIR_FIELD_X_FORWARDED_FOR) | FIELD_BIT(WEIR_FIELD_X_FORWARDED_HOST) |
               FIELD_BIT(WEIR_FIELD_X_FORWARDED_PROTO);
    if (tells_rfc(target))
        ids |= FIELD_BIT(WEIR_FIELD_FORWARDED);
    head_filter_t filter = {.ids = ids};
    head_copy(out, ex->head, &filter);
}

/* A client that has no head came over a stream: say for it what an HTTP client would. */
static void out_own_fields(head_out_t *out, const weir_host_t *host, weir_exchange_t *ex)
{
    const weir_envelope_t *env = &ex->message.envelope;
    OUT_LIT(out, "Accept: application/json, text/event-stream\r\n");
    if (ex->verb == WEIR_VERB_MESSAGE)
        OUT_LIT(out, "Content-Type: application/json\r\n");
    if (ex->authorization.n > 0)
        out_field(out, WEIR_LIT("Authorization"), ex->authorization);
    if (ex->last_event_id.n > 0)
        out_field(out, WEIR_LIT("Last-Event-ID"), ex->last_event_id);
    if (!mirror_is_modern(env->version)) {
        if (ex->revision.n > 0)
            out_field(out, WEIR_LIT("MCP-Protocol-Version"), ex->revision);
        return;
    }
    out_field(out, WEIR_LIT("MCP-Protocol-Version"), env->version);
    if (env->method.n > 0 && !env->is_method_escaped)
        out_field(out, WEIR_LIT("Mcp-Method"), env->method);
    if (env->name.n > 0)
        mirror_out_name(host, ex, out);
}

/* ---- the body ---- */

/* Packed as the first of the codings that are offered, for a request cannot ask which is taken. False: it goes as it is. */
static bool body_pack(const target_t *target, const weir_chunk_t *plain, weir_chunk_t *packed)
{
    const weir_host_t *host = target->host;
    const weir_codings_t *codings = target->codings;
    if (codings == NULL || plain->bytes.n < codings->min_size || plain->bytes.n == 0)
        return false;
    weir_encoder_t *encoder = host->encoder_new(codings, &codings->items[0], false);
    if (encoder == NULL)
        return false;
    int rc = host->encode(encoder, plain, 1, WEIR_PACK_END, packed);
    host->encoder_free(encoder);
    if (rc == WEIR_OK && packed->bytes.n < plain->bytes.n)
        return true;
    host->buf_unref(packed->buf);
    return false;
}

static void out_body_fields(head_out_t *out, const target_t *target, bool is_packed, size_t length)
{
    if (is_packed)
        out_field(out, WEIR_LIT("Content-Encoding"), target->codings->items[0].codec->coding);
    OUT_LIT(out, "Content-Length: ");
    out_number(out, length);
    OUT_LIT(out, "\r\n");
}

/* Its reference is the caller's. */
static bool body_find(const target_t *target, const weir_exchange_t *ex, weir_chunk_t *body)
{
    if (ex->verb == WEIR_VERB_MESSAGE && body_pack(target, &ex->body, body))
        return true;
    *body = ex->verb == WEIR_VERB_MESSAGE ? ex->body : (weir_chunk_t){.buf = NULL};
    if (body->buf != NULL)
        target->host->buf_ref(body->buf);
    return false;
}

int send_prepare(target_t *target, weir_exchange_t *ex, weir_chunk_t *body)
{
    head_out_t *out = &target->out;
    out->n = 0;
    out->is_over = false;
    out_request_line(out, target, ex);
    if (ex->head != NULL)
        out_client_fields(out, target, ex);
    else
        out_own_fields(out, target->host, ex);
    if (is_read_here(ex))
        out_accept_encoding(out, target);
    out_origin_of_request(out, target, ex);
    if (ex->server_session.n > 0)
        out_field(out, WEIR_LIT("Mcp-Session-Id"), ex->server_session);
    bool is_packed = body_find(target, ex, body);
    if (ex->verb == WEIR_VERB_MESSAGE)
        out_body_fields(out, target, is_packed, body->bytes.n);
    OUT_LIT(out, "\r\n");
    return out->is_over ? WEIR_EFAIL : WEIR_OK;
}
