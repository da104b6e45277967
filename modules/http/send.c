/* send.c: the head of a request as a server gets it: the client's end-to-end fields, and what weir has to say itself. */
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

/* The client's own fields. A reply that has to be read here must not come compressed. */
static void out_client_fields(head_out_t *out, const target_t *target, const weir_exchange_t *ex)
{
    static const weir_slice_t accept_encoding[] = {{"Accept-Encoding", 15}};
    uint64_t ids = FIELDS_OF_A_CONNECTION | FIELD_BIT(WEIR_FIELD_HOST) | FIELD_BIT(WEIR_FIELD_EXPECT) |
                   FIELD_BIT(WEIR_FIELD_MCP_SESSION_ID);
    if (tells_x(target))
        ids |= FIELD_BIT(WEIR_FIELD_X_FORWARDED_FOR) | FIELD_BIT(WEIR_FIELD_X_FORWARDED_HOST) |
               FIELD_BIT(WEIR_FIELD_X_FORWARDED_PROTO);
    if (tells_rfc(target))
        ids |= FIELD_BIT(WEIR_FIELD_FORWARDED);
    head_filter_t filter = {ids, accept_encoding, ex->wants_messages || ex->is_watched ? 1 : 0};
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

int send_head(target_t *target, weir_exchange_t *ex)
{
    head_out_t *out = &target->out;
    out->n = 0;
    out->is_over = false;
    out_request_line(out, target, ex);
    if (ex->head != NULL)
        out_client_fields(out, target, ex);
    else
        out_own_fields(out, target->host, ex);
    out_origin_of_request(out, target, ex);
    if (ex->server_session.n > 0)
        out_field(out, WEIR_LIT("Mcp-Session-Id"), ex->server_session);
    if (ex->verb == WEIR_VERB_MESSAGE) {
        OUT_LIT(out, "Content-Length: ");
        out_number(out, ex->body.bytes.n);
        OUT_LIT(out, "\r\n");
    }
    OUT_LIT(out, "\r\n");
    return out->is_over ? WEIR_EFAIL : WEIR_OK;
}
