/* request.c: from a head to an exchange: what a request must be before anybody else sees it. Each check is a function that
 * returns why not; a request is refused in one place, as an exchange, so that refusals are logged like everything else.
 */
#include "edge.h"

#include <stdio.h>

#include "mirror.h"

typedef weir_reason_t (*check_t)(client_t *c, weir_error_t *err);

static weir_reason_t check_host(client_t *c, weir_error_t *err)
{
    const edge_t *edge = c->edge;
    return edge->host->guard_host(edge->listener, &edge->options->guard, c->head, err);
}

static weir_reason_t check_origin(client_t *c, weir_error_t *err)
{
    weir_reason_t reason = c->edge->host->guard_origin(&c->edge->options->guard, c->head, err);
    c->is_origin = reason == WEIR_REASON_NONE && c->head->known[WEIR_FIELD_ORIGIN] >= 0;
    return reason;
}

bool request_is_preflight(const client_t *c)
{
    return c->is_origin && weir_slice_eq(c->head->method, WEIR_LIT("OPTIONS")) &&
           head_find(c->head, WEIR_LIT("Access-Control-Request-Method")).p != NULL;
}

static bool verb_of(weir_slice_t method, weir_verb_t *verb)
{
    static const struct {
        weir_slice_t method;
        weir_verb_t verb;
    } verbs[] = {
        {{"POST", 4}, WEIR_VERB_MESSAGE},
        {{"GET", 3}, WEIR_VERB_LISTEN},
        {{"DELETE", 6}, WEIR_VERB_END},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (weir_slice_eq(method, verbs[i].method)) {
            *verb = verbs[i].verb;
            return true;
        }
    return false;
}

static weir_reason_t check_method(client_t *c, weir_error_t *err)
{
    weir_verb_t verb;
    weir_slice_t method = c->head->method;
    if (verb_of(method, &verb) || request_is_preflight(c))
        return WEIR_REASON_NONE;
    (void)weir_error(err, "method %.*s is not one of POST, GET, DELETE", (int)(method.n < 32 ? method.n : 32),
                     method.p);
    return WEIR_REASON_BAD_METHOD;
}

static weir_reason_t check_type(client_t *c, weir_error_t *err)
{
    static const char json[] = "application/json";
    weir_slice_t type = weir_head_value(c->head, WEIR_FIELD_CONTENT_TYPE);
    if (!weir_slice_eq(c->head->method, WEIR_LIT("POST")))
        return WEIR_REASON_NONE;
    const char *semicolon = type.n == 0 ? NULL : memchr(type.p, ';', type.n);
    weir_slice_t media = weir_slice_trim(weir_slice(type.p, semicolon == NULL ? type.n : (size_t)(semicolon - type.p)));
    if (weir_slice_ieq(media, weir_slice(json, sizeof(json) - 1)))
        return WEIR_REASON_NONE;
    (void)weir_error(err, "Content-Type must be application/json");
    return WEIR_REASON_BAD_TYPE;
}

static weir_reason_t check_length(client_t *c, weir_error_t *err)
{
    uint64_t limit = c->edge->options->max_message;
    if (c->head->content_length <= 0 || (uint64_t)c->head->content_length <= limit)
        return WEIR_REASON_NONE;
    (void)weir_error(err, "a message of %lld bytes is larger than max_message (%llu)",
                     (long long)c->head->content_length, (unsigned long long)limit);
    return WEIR_REASON_TOO_LARGE;
}

weir_reason_t request_check_head(client_t *c, weir_error_t *err)
{
    static const check_t checks[] = {check_host, check_origin, check_method, check_type, check_length, coding_check};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        weir_reason_t reason = checks[i](c, err);
        if (reason != WEIR_REASON_NONE)
            return reason;
    }
    return WEIR_REASON_NONE;
}

/* ---- the exchange ---- */

/* The exchange holds a reference to the buffer even when there is no message: its head stands in it too. */
static weir_exchange_t *request_exchange(client_t *c)
{
    const weir_host_t *host = c->edge->host;
    weir_exchange_t *ex = host->exchange_new(c->edge->listener, c);
    if (ex == NULL)
        return NULL;
    c->ex = ex;
    ex->peer = host->stream_peer(c->stream);
    ex->is_tls = host->stream_is_tls(c->stream);
    if (ex->is_tls)
        ex->principal = host->stream_principal(c->stream);
    if (c->buf != NULL) {
        host->buf_ref(c->buf);
        ex->body.buf = c->buf;
    }
    if (c->head == NULL)
        return ex;
    ex->head = c->head;
    ex->session_token = weir_head_value(c->head, WEIR_FIELD_MCP_SESSION_ID);
    ex->last_event_id = weir_head_value(c->head, WEIR_FIELD_LAST_EVENT_ID);
    (void)verb_of(c->head->method, &ex->verb);
    return ex;
}

static void request_lost(client_t *c)
{
    c->edge->host->log(WEIR_LOG_ERROR, "http: no memory for an exchange; its client's connection is closed");
    client_close(c);
}

void request_refuse(client_t *c, weir_reason_t reason, const char *format, ...)
{
    char text[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    weir_exchange_t *ex = request_exchange(c);
    if (ex == NULL)
        request_lost(c);
    else
        c->edge->host->exchange_refuse(ex, reason, "%s", n < 0 ? "" : text);
}

static weir_reason_t scan_message(client_t *c, weir_exchange_t *ex, weir_error_t *err)
{
    const weir_host_t *host = c->edge->host;
    ex->body.bytes = ex->message.bytes = client_request_body(c);
    switch (host->message_scan(ex->message.bytes, &ex->message.envelope)) {
    case WEIR_SCAN_OK:
        break;
    case WEIR_SCAN_NOT_JSONRPC:
        (void)weir_error(err, "the body is not a JSON-RPC 2.0 message");
        return WEIR_REASON_NOT_JSONRPC;
    case WEIR_SCAN_TOO_DEEP:
        (void)weir_error(err, "the message is nested deeper than %d", WEIR_SCAN_DEPTH);
        return WEIR_REASON_NOT_JSONRPC;
    default:
        (void)weir_error(err, "the body is not valid JSON");
        return WEIR_REASON_NOT_JSON;
    }
    return mirror_check(host, ex, err) == WEIR_OK ? WEIR_REASON_NONE : WEIR_REASON_HEADER_MISMATCH;
}

void request_start(client_t *c)
{
    const weir_host_t *host = c->edge->host;
    weir_error_t err;
    err.text[0] = '\0';
    weir_reason_t reason = WEIR_REASON_NONE;
    weir_exchange_t *ex = request_exchange(c);
    if (ex == NULL) {
        request_lost(c);
        return;
    }
    if (ex->verb == WEIR_VERB_MESSAGE)
        reason = scan_message(c, ex, &err);
    if (reason != WEIR_REASON_NONE)
        host->exchange_refuse(ex, reason, "%s", err.text);
    else
        host->exchange_start(ex);
}
