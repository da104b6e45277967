/* request.c: what a request must be, and where the message of a POST goes. A request is refused in one place, as an exchange. */
#include <stdio.h>
#include <stdlib.h>

#include "edge.h"

/* ---- what a head asks for ---- */

static weir_slice_t head_value(const weir_head_t *head, weir_slice_t name)
{
    for (uint16_t i = 0; i < head->nfields; i++)
        if (weir_slice_ieq(head->fields[i].name, name))
            return head->fields[i].value;
    return weir_slice(NULL, 0);
}

static bool method_is(const weir_head_t *head, weir_slice_t method)
{
    return weir_slice_eq(head->method, method);
}

static weir_slice_t query_of(weir_slice_t target)
{
    const char *mark = target.n == 0 ? NULL : memchr(target.p, '?', target.n);
    if (mark == NULL)
        return weir_slice(NULL, 0);
    return weir_slice(mark + 1, (size_t)(target.p + target.n - mark) - 1);
}

/* The value of the query's part that names an endpoint. False: it has none. */
static bool address_of(weir_slice_t target, weir_slice_t *address)
{
    weir_slice_t query = query_of(target), name = WEIR_LIT(ENDPOINT_NAME "=");
    while (query.n > 0) {
        const char *end = memchr(query.p, '&', query.n);
        size_t n = end == NULL ? query.n : (size_t)(end - query.p);
        if (weir_slice_starts(weir_slice(query.p, n), name)) {
            *address = weir_slice(query.p + name.n, n - name.n);
            return true;
        }
        n += end != NULL;
        query = weir_slice(query.p + n, query.n - n);
    }
    return false;
}

/* Whether a comma-separated field has a media type among its elements, parameters left out. */
static bool has_type(weir_slice_t list, weir_slice_t type)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma == NULL ? list.n : (size_t)(comma - list.p);
        const char *semicolon = memchr(list.p, ';', n);
        size_t media_n = semicolon == NULL ? n : (size_t)(semicolon - list.p);
        if (weir_slice_ieq(weir_slice_trim(weir_slice(list.p, media_n)), type))
            return true;
        n += comma != NULL;
        list = weir_slice(list.p + n, list.n - n);
    }
    return false;
}

/* A GET of Streamable HTTP asks for events too, but names its session, its revision or the event that it has seen last. */
static bool asks_for_stream(const edge_t *edge, const weir_head_t *head)
{
    if (!method_is(head, WEIR_LIT("GET")) || head->is_upgrade)
        return false;
    if (!edge->host->listener_is_shared(edge->listener))
        return true;
    return head->known[WEIR_FIELD_MCP_SESSION_ID] < 0 && head->known[WEIR_FIELD_MCP_PROTOCOL_VERSION] < 0 &&
           head->known[WEIR_FIELD_LAST_EVENT_ID] < 0 &&
           has_type(weir_head_value(head, WEIR_FIELD_ACCEPT), WEIR_LIT("text/event-stream"));
}

static bool asks_whether(const weir_head_t *head)
{
    return method_is(head, WEIR_LIT("OPTIONS")) && head->known[WEIR_FIELD_ORIGIN] >= 0 &&
           head_value(head, WEIR_LIT("Access-Control-Request-Method")).n > 0;
}

ask_t request_ask(const edge_t *edge, const weir_head_t *head)
{
    weir_slice_t address;
    bool has_address = address_of(head->target, &address);
    if (has_address && method_is(head, WEIR_LIT("POST")))
        return ASK_POST;
    if ((has_address || !edge->host->listener_is_shared(edge->listener)) && asks_whether(head))
        return ASK_PREFLIGHT;
    return asks_for_stream(edge, head) ? ASK_STREAM : ASK_NOTHING;
}

/* ---- checks ---- */

static weir_reason_t check_nothing(const weir_head_t *head, weir_error_t *err)
{
    if (method_is(head, WEIR_LIT("POST"))) {
        (void)weir_error(err,
                         "this port speaks HTTP with server-sent events (2024-11-05): open the event stream by GET; "
                         "its first event names the endpoint to POST to");
        return WEIR_REASON_NOT_FOUND;
    }
    (void)weir_error(err, "method %.*s is not one of GET, POST", (int)(head->method.n < 32 ? head->method.n : 32),
                     head->method.p);
    return WEIR_REASON_BAD_METHOD;
}

static weir_reason_t check_stream(const edge_t *edge, const weir_head_t *head, weir_error_t *err)
{
    if (!edge->host->listener_leads(edge->listener, weir_head_value(head, WEIR_FIELD_HOST), head->target)) {
        (void)weir_error(err, "no route leads from here to a server");
        return WEIR_REASON_NOT_FOUND;
    }
    if (edge->nstreams < (size_t)edge->options->max_streams)
        return WEIR_REASON_NONE;
    (void)weir_error(err, "as many event streams are open as max_streams allows (%lld)",
                     (long long)edge->options->max_streams);
    return WEIR_REASON_POOL_FULL;
}

static weir_reason_t check_post(const edge_t *edge, const weir_head_t *head, weir_error_t *err)
{
    if (!has_type(weir_head_value(head, WEIR_FIELD_CONTENT_TYPE), WEIR_LIT("application/json"))) {
        (void)weir_error(err, "Content-Type must be application/json");
        return WEIR_REASON_BAD_TYPE;
    }
    weir_slice_t coding = weir_head_value(head, WEIR_FIELD_CONTENT_ENCODING);
    if (coding.n > 0 && !weir_slice_ieq(coding, WEIR_LIT("identity"))) {
        (void)weir_error(err, "a message comes here as it is, without Content-Encoding");
        return WEIR_REASON_BAD_TYPE;
    }
    if (head->content_length <= 0 || (uint64_t)head->content_length <= edge->options->max_message)
        return WEIR_REASON_NONE;
    (void)weir_error(err, "a message of %lld bytes is larger than max_message (%llu)", (long long)head->content_length,
                     (unsigned long long)edge->options->max_message);
    return WEIR_REASON_TOO_LARGE;
}

weir_reason_t request_check(const edge_t *edge, const weir_head_t *head, ask_t ask, weir_error_t *err)
{
    weir_reason_t reason = edge->host->guard_host(edge->listener, &edge->options->guard, head, err);
    if (reason == WEIR_REASON_NONE)
        reason = edge->host->guard_origin(&edge->options->guard, head, err);
    if (reason != WEIR_REASON_NONE)
        return reason;
    switch (ask) {
    case ASK_NOTHING:
        return check_nothing(head, err);
    case ASK_STREAM:
        return check_stream(edge, head, err);
    case ASK_POST:
        return check_post(edge, head, err);
    case ASK_PREFLIGHT:
        break;
    }
    return WEIR_REASON_NONE;
}

/* ---- what outlives the head ---- */

static bool keep(char **to, weir_slice_t value)
{
    free(*to);
    *to = value.n == 0 ? NULL : strndup(value.p, value.n);
    return value.n == 0 || *to != NULL;
}

bool request_note(visit_t *v, const weir_head_t *head)
{
    weir_slice_t address = {NULL, 0};
    (void)address_of(head->target, &address);
    v->address_n = address.n == sizeof(v->address) ? sizeof(v->address) : 0;
    if (v->address_n > 0)
        memcpy(v->address, address.p, v->address_n);
    return keep(&v->authorization, weir_head_value(head, WEIR_FIELD_AUTHORIZATION)) &&
           keep(&v->origin, weir_head_value(head, WEIR_FIELD_ORIGIN));
}

/* ---- refusals ---- */

void request_refuse(visit_t *v, const weir_head_t *head, weir_reason_t reason, const char *format, ...)
{
    const weir_host_t *host = v->edge->host;
    char text[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    weir_exchange_t *ex = host->exchange_new(v->edge->listener, v);
    if (ex == NULL) {
        host->log(WEIR_LOG_ERROR, "sse: no memory for an exchange; its client's connection is closed");
        visit_finish(v);
        return;
    }
    ex->peer = host->stream_peer(v->stream);
    ex->is_tls = host->stream_is_tls(v->stream);
    ex->principal = host->stream_principal(v->stream);
    ex->head = head;
    if (v->message.bytes.n > 0) {
        ex->message.bytes = v->message.bytes;
        (void)host->message_scan(v->message.bytes, &ex->message.envelope); /* for its id, when it has one */
    }
    host->exchange_refuse(ex, reason, "%s", n < 0 ? "" : text);
}

/* ---- the message of a POST ---- */

static const char *scan(const visit_t *v, weir_reason_t *reason)
{
    weir_envelope_t envelope;
    *reason = WEIR_REASON_NOT_JSONRPC;
    switch (v->edge->host->message_scan(v->message.bytes, &envelope)) {
    case WEIR_SCAN_OK:
        return NULL;
    case WEIR_SCAN_NOT_JSONRPC:
        return "the body is not a JSON-RPC 2.0 message";
    case WEIR_SCAN_TOO_DEEP:
        return "the message is nested too deep";
    default:
        *reason = WEIR_REASON_NOT_JSON;
        return "the body is not valid JSON";
    }
}

static void on_posted(void *arg, int result)
{
    visit_t *v = arg;
    switch (result) {
    case WEIR_OK:
        reply_accepted(v);
        break;
    case WEIR_ECLOSED:
        request_refuse(
            v, NULL, WEIR_REASON_SESSION_NOT_FOUND,
            "no event stream belongs to this endpoint: it has ended, or was opened by somebody else; open it "
            "again by GET");
        break;
    case WEIR_EFULL:
        request_refuse(v, NULL, WEIR_REASON_POOL_FULL,
                       "too much of this client waits already (max_exchanges, max_message); send it again later");
        break;
    default:
        request_refuse(v, NULL, WEIR_REASON_SERVER_DIED,
                       "the way to the worker that holds the event stream is broken; it is being mended");
    }
}

void request_post(visit_t *v)
{
    weir_reason_t reason;
    const char *why = scan(v, &reason);
    visit_move(v, VISIT_WAIT);
    if (why != NULL) {
        request_refuse(v, NULL, reason, "%s", why);
        return;
    }
    v->post.done = on_posted;
    v->post.arg = v;
    v->edge->host->post_send(&v->post, v->edge->listener, weir_slice(v->address, v->address_n),
                             weir_slice_str(v->authorization), v->edge->host->stream_principal(v->stream), &v->message);
}
