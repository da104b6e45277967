/* reply.c: what a client is told, and how it is framed.
 *
 * A reply's head is built in edge.out and waits there for the call that follows, so that head and body leave in one write. Bytes
 * of a server pass as they are; messages become one JSON reply when the answer comes first, and events otherwise.
 *
 *   has body  length   client     framing
 *   no        -        any        none
 *   yes       known    any        Content-Length
 *   yes       unknown  HTTP/1.1   chunked; each call's bytes are one chunk
 *   yes       unknown  HTTP/1.0   the connection closes at the end
 */
#include "edge.h"

#define ERROR_ROOM 4096

/* ---- writing ---- */

/* Write the head that waits for this client, if one does, and these pieces: in one go. A connection that has broken says so
 * itself, through its events. */
static int client_write(client_t *c, const weir_chunk_t *chunks, size_t n)
{
    edge_t *edge = c->edge;
    weir_chunk_t all[EDGE_CHUNKS + 4];
    size_t count = 0;
    uint64_t bytes = 0;
    if (edge->out_of == c) {
        all[count++].bytes = weir_slice(edge->out.p, edge->out.n);
        all[0].buf = NULL;
        edge->out_of = NULL;
    }
    for (size_t i = 0; i < n; i++)
        all[count++] = chunks[i];
    for (size_t i = 0; i < count; i++)
        bytes += all[i].bytes.n;
    if (bytes == 0)
        return c->is_full ? WEIR_EFULL : WEIR_OK;
    int result = edge->host->stream_write(c->stream, all, count);
    if (c->ex != NULL)
        edge->host->exchange_sent(c->ex, bytes);
    if (result == WEIR_EFULL)
        c->is_full = true;
    return result == WEIR_EFULL ? WEIR_EFULL : WEIR_OK;
}

/* "1a2f\r\n" */
static weir_slice_t chunk_size(char line[18], uint64_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *end = line + 18, *p = end;
    *--p = '\n';
    *--p = '\r';
    do
        *--p = digits[n & 15];
    while ((n >>= 4) > 0);
    return weir_slice(p, (size_t)(end - p));
}

/* Write a piece of the body in the reply's framing; `is_last` adds the end of it. At most EDGE_CHUNKS pieces. */
static int body_frame(client_t *c, const weir_chunk_t *chunks, size_t n, bool is_last)
{
    weir_chunk_t all[EDGE_CHUNKS + 3];
    char line[18];
    size_t count = 0;
    uint64_t bytes = 0;
    if (c->framing != FRAMING_CHUNKED)
        return client_write(c, chunks, c->framing == FRAMING_NONE ? 0 : n);
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].bytes.n;
    if (bytes > 0) {
        all[count++] = (weir_chunk_t){.bytes = chunk_size(line, bytes)};
        for (size_t i = 0; i < n; i++)
            all[count++] = chunks[i];
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("\r\n")};
    }
    if (is_last && bytes > 0)
        all[count - 1].bytes = WEIR_LIT("\r\n0\r\n\r\n");
    else if (is_last)
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("0\r\n\r\n")};
    return client_write(c, all, count);
}

/* A body that cannot be encoded any further is cut off, and its client sees that. */
static int body_encode(client_t *c, const weir_chunk_t *chunks, size_t n, bool is_last)
{
    const weir_host_t *host = c->edge->host;
    weir_pack_t how = is_last ? WEIR_PACK_END : c->is_events ? WEIR_PACK_FLUSH : WEIR_PACK_MORE;
    weir_chunk_t packed;
    if (c->is_cut)
        return WEIR_OK;
    if ((n > 0 || is_last) && host->encode(c->encoder, chunks, n, how, &packed) != WEIR_OK) {
        host->log(WEIR_LOG_ERROR, "http: no memory to pack a reply; it is cut off");
        c->is_cut = true;
        c->is_keep = false;
        return client_write(c, NULL, 0);
    }
    if (n == 0 && !is_last)
        return client_write(c, NULL, 0);
    int result = body_frame(c, &packed, packed.bytes.n > 0, is_last);
    host->buf_unref(packed.buf);
    return result;
}

static int body_write(client_t *c, const weir_chunk_t *chunks, size_t n, bool is_last)
{
    return c->encoder != NULL ? body_encode(c, chunks, n, is_last) : body_frame(c, chunks, n, is_last);
}

/* ---- heads ---- */

static client_framing_t framing_for(const client_t *c, bool has_body, int64_t length)
{
    if (!has_body)
        return FRAMING_NONE;
    if (length >= 0)
        return FRAMING_LENGTH;
    return c->minor > 0 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

/* The status line. From here on it is settled whether the connection goes on. */
static head_out_t *head_begin(client_t *c, uint16_t status, weir_slice_t phrase, client_framing_t framing)
{
    edge_t *edge = c->edge;
    if (edge->out_of != NULL)
        (void)client_write(edge->out_of, NULL, 0);
    c->requests++;
    if (edge->is_draining || c->requests >= edge->options->keepalive_requests || framing == FRAMING_CLOSE)
        c->is_keep = false;
    c->framing = (uint8_t)framing;
    head_out_t *out = &edge->out;
    out->n = 0;
    out->is_over = false;
    OUT_LIT(out, "HTTP/1.1 ");
    out_number(out, status);
    OUT_LIT(out, " ");
    out_text(out, phrase.p == NULL ? weir_slice_str(edge->host->http_reason(status)) : phrase);
    OUT_LIT(out, "\r\n");
    return out;
}

/* What a page of another origin may see of a reply. */
static void out_cors(client_t *c, head_out_t *out)
{
    if (!c->is_origin || c->head == NULL)
        return;
    out_field(out, WEIR_LIT("Access-Control-Allow-Origin"), weir_head_value(c->head, WEIR_FIELD_ORIGIN));
    OUT_LIT(out, "Access-Control-Expose-Headers: Mcp-Session-Id\r\nVary: Origin\r\n");
}

static void out_framing(const client_t *c, head_out_t *out, uint16_t status, int64_t length)
{
    if (c->framing == FRAMING_CHUNKED)
        OUT_LIT(out, "Transfer-Encoding: chunked\r\n");
    bool has_length = c->framing == FRAMING_LENGTH || (c->framing == FRAMING_NONE && status != 204 && status != 304);
    if (has_length) {
        OUT_LIT(out, "Content-Length: ");
        out_number(out, c->framing == FRAMING_LENGTH ? (uint64_t)length : 0);
        OUT_LIT(out, "\r\n");
    }
    if (!c->is_keep)
        OUT_LIT(out, "Connection: close\r\n");
    else if (c->minor == 0)
        OUT_LIT(out, "Connection: keep-alive\r\n");
}

/* A head that does not fit is larger than any server may send; only its shell can be told. */
static void head_replace(client_t *c)
{
    c->edge->host->log(WEIR_LOG_ERROR, "http: a reply's head does not fit into %zu bytes", c->edge->out.size);
    c->is_keep = false;
    head_out_t *out = head_begin(c, 502, weir_slice(NULL, 0), FRAMING_NONE);
    OUT_LIT(out, "Content-Length: 0\r\nConnection: close\r\n\r\n");
}

static void head_end(client_t *c, head_out_t *out, uint16_t status, int64_t length)
{
    out_cors(c, out);
    out_framing(c, out, status, length);
    OUT_LIT(out, "\r\n");
    if (out->is_over)
        head_replace(c);
    c->edge->out_of = c;
    c->is_begun = true;
    client_release_request(c);
}

static void out_date(const client_t *c, head_out_t *out)
{
    out_field(out, WEIR_LIT("Date"), weir_slice_str(c->edge->host->http_date()));
}

static bool is_event_stream(weir_slice_t type)
{
    static const char events[] = "text/event-stream";
    size_t n = sizeof(events) - 1;
    return type.n >= n && weir_slice_ieq(weir_slice(type.p, n), weir_slice(events, n));
}

/* A head of weir's own. */
static void head_own(client_t *c, uint16_t status, weir_slice_t type, weir_slice_t session, int64_t length,
                     bool has_body)
{
    coded_t coded = coding_of_own(c, type, length, has_body);
    length = coded.name.n > 0 ? -1 : length;
    head_out_t *out = head_begin(c, status, weir_slice(NULL, 0), framing_for(c, has_body, length));
    out_date(c, out);
    out_coding(out, &coded);
    c->is_events = is_event_stream(type);
    if (type.n > 0)
        out_field(out, WEIR_LIT("Content-Type"), type);
    if (c->is_events)
        OUT_LIT(out, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    if (session.n > 0)
        out_field(out, WEIR_LIT("Mcp-Session-Id"), session);
    head_end(c, out, status, length);
}

/* Which of its fields do not pass. To a page of another origin it is weir that says who may read, for it is weir that checked. */
static head_filter_t filter_of(const client_t *c, const weir_reply_t *reply, bool is_recoded)
{
    static const weir_slice_t cors[] = {{"Access-Control-Allow-Origin", 27}};
    head_filter_t filter = {.ids = FIELDS_OF_A_CONNECTION | FIELD_BIT(WEIR_FIELD_MCP_SESSION_ID)};
    if (c->is_origin)
        filter = (head_filter_t){filter.ids, cors, 1};
    if (reply->is_decoded)
        filter.ids |= FIELD_BIT(WEIR_FIELD_CONTENT_ENCODING);
    if (is_recoded)
        filter.ids |= FIELD_BIT(WEIR_FIELD_ETAG);
    return filter;
}

/* A server's head, rewritten. */
static void head_of_server(client_t *c, const weir_reply_t *reply)
{
    const weir_head_t *head = reply->head;
    coded_t coded = coding_of_server(c, reply);
    bool is_recoded = coded.name.n > 0 || reply->is_decoded;
    int64_t length = coded.name.n > 0 ? -1 : reply->content_length;
    head_filter_t filter = filter_of(c, reply, is_recoded);
    head_out_t *out = head_begin(c, reply->status, head->reason, framing_for(c, reply->has_body, length));
    if (head->known[WEIR_FIELD_DATE] < 0)
        out_date(c, out);
    head_copy(out, head, &filter);
    out_coding(out, &coded);
    if (is_recoded)
        out_weak_etag(out, head);
    if (reply->session_token.n > 0)
        out_field(out, WEIR_LIT("Mcp-Session-Id"), reply->session_token);
    c->is_events = is_event_stream(weir_head_value(head, WEIR_FIELD_CONTENT_TYPE));
    head_end(c, out, reply->status, length);
}

/* ---- replies as bytes ---- */

int edge_reply_head(weir_exchange_t *ex, const weir_reply_t *reply)
{
    client_t *c = ex->client;
    if (reply->head != NULL) {
        head_of_server(c, reply);
        return c->is_full ? WEIR_EFULL : WEIR_OK;
    }
    head_own(c, reply->status, reply->content_type, reply->session_token, reply->content_length, reply->has_body);
    /* A stream may be silent for long: its client waits for the head. */
    return c->is_events ? client_write(c, NULL, 0) : WEIR_OK;
}

int edge_reply_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    client_t *c = ex->client;
    int result = WEIR_OK;
    do {
        size_t some = n < EDGE_CHUNKS ? n : EDGE_CHUNKS;
        result = body_write(c, chunks, some, false);
        chunks += some;
        n -= some;
    } while (n > 0);
    return result;
}

void edge_reply_end(weir_exchange_t *ex)
{
    client_t *c = ex->client;
    (void)body_write(c, NULL, 0, true);
    client_exchange_ended(c, true);
}

/* ---- replies as messages ---- */

static size_t chunks_size(const weir_chunk_t *parts, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += parts[i].bytes.n;
    return bytes;
}

static bool has_line_break(const weir_chunk_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].bytes.n > 0 && (memchr(parts[i].bytes.p, '\n', parts[i].bytes.n) != NULL ||
                                     memchr(parts[i].bytes.p, '\r', parts[i].bytes.n) != NULL))
            return true;
    return false;
}

/* All parts in one piece, on one line: in JSON a raw line break stands between tokens only, where a space says the same. */
static weir_buf_t *one_line(const client_t *c, const weir_chunk_t *parts, size_t n, weir_chunk_t *line)
{
    size_t bytes = chunks_size(parts, n);
    weir_buf_t *buf = c->edge->host->buf_new(bytes);
    if (buf == NULL)
        return NULL;
    char *p = buf->data;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].bytes.n > 0)
            memcpy(p, parts[i].bytes.p, parts[i].bytes.n);
        p += parts[i].bytes.n;
    }
    for (p = buf->data; p < buf->data + bytes; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    *line = (weir_chunk_t){weir_slice(buf->data, bytes), buf};
    return buf;
}

static int event_write_parts(client_t *c, const weir_chunk_t *parts, size_t n, weir_slice_t id, bool is_last)
{
    weir_chunk_t all[EDGE_CHUNKS];
    size_t count = 0;
    if (id.n > 0) {
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("id: ")};
        all[count++] = (weir_chunk_t){.bytes = id};
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("\n")};
    }
    all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("data: ")};
    for (size_t i = 0; i < n; i++)
        all[count++] = parts[i];
    all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("\n\n")};
    return body_write(c, all, count, is_last);
}

/* As client_write(), or WEIR_EFAIL when there is no memory for it. */
static int event_write(client_t *c, const weir_chunk_t *parts, size_t n, weir_slice_t id, bool is_last)
{
    weir_chunk_t line;
    if (n + 5 <= EDGE_CHUNKS && !has_line_break(parts, n))
        return event_write_parts(c, parts, n, id, is_last);
    weir_buf_t *buf = one_line(c, parts, n, &line);
    if (buf == NULL)
        return WEIR_EFAIL;
    int result = event_write_parts(c, &line, 1, id, is_last);
    c->edge->host->buf_unref(buf);
    return result;
}

/* The answer, before anything else was sent: a plain JSON reply. */
static void answer_write(client_t *c, weir_exchange_t *ex, const weir_chunk_t *parts, size_t n)
{
    uint16_t status = ex->reply_status == 0 ? 200 : ex->reply_status;
    head_own(c, status, WEIR_LIT("application/json"), ex->session_grant, (int64_t)chunks_size(parts, n), true);
    (void)edge_reply_bytes(ex, parts, n);
    if (c->framing == FRAMING_CHUNKED) /* packed, its length was not known before */
        (void)body_write(c, NULL, 0, true);
}

int edge_reply_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    client_t *c = ex->client;
    int result = WEIR_OK;
    if (!c->is_begun && is_final && ex->verb == WEIR_VERB_MESSAGE) {
        answer_write(c, ex, parts, n);
    } else {
        if (!c->is_begun)
            head_own(c, 200, WEIR_LIT("text/event-stream"), ex->session_grant, -1, true);
        result = event_write(c, parts, n, event_id, is_final);
    }
    if (result == WEIR_EFAIL) {
        c->edge->host->exchange_fail(ex, WEIR_REASON_INTERNAL, "http: no memory for an event of %zu bytes",
                                     chunks_size(parts, n));
        return WEIR_OK;
    }
    if (is_final)
        client_exchange_ended(c, true);
    return result;
}

/* ---- failures ---- */

/* Why this is no complaint about the type (RFC 9110 12.5.3). */
static void out_codings_taken(const client_t *c, head_out_t *out)
{
    char names[256];
    size_t n = c->edge->host->coding_names(names, sizeof(names));
    out_field(out, WEIR_LIT("Accept-Encoding"), n > 0 ? weir_slice(names, n) : WEIR_LIT("identity"));
}

static void out_failure_fields(const client_t *c, head_out_t *out, const weir_failure_t *failure)
{
    if (failure->status == 405)
        OUT_LIT(out, "Allow: POST, GET, DELETE, OPTIONS\r\n");
    if (failure->reason == WEIR_REASON_BAD_CODING)
        out_codings_taken(c, out);
    if (failure->retry_after_s == 0)
        return;
    OUT_LIT(out, "Retry-After: ");
    out_number(out, failure->retry_after_s);
    OUT_LIT(out, "\r\n");
}

/* The JSON-RPC error, in a buffer that the caller gives back; NULL when there is no memory. */
static weir_buf_t *failure_message(const client_t *c, weir_slice_t id, const weir_failure_t *failure,
                                   weir_chunk_t *body)
{
    const weir_host_t *host = c->edge->host;
    weir_buf_t *buf = host->buf_new(id.n + ERROR_ROOM);
    if (buf == NULL)
        return NULL;
    size_t n =
        host->message_error(buf->data, buf->size, id, failure->code, failure->text, weir_slice_str(failure->word));
    *body = (weir_chunk_t){weir_slice(buf->data, n <= buf->size ? n : 0), buf};
    return buf;
}

static void failure_reply(client_t *c, const weir_exchange_t *ex, const weir_failure_t *failure)
{
    weir_chunk_t body[2] = {{.bytes = failure->text}, {.bytes = WEIR_LIT("\n")}};
    weir_buf_t *buf = NULL;
    size_t n = 2;
    if (failure->code != 0 && (buf = failure_message(c, ex->message.envelope.id, failure, body)) != NULL)
        n = 1;
    int64_t length = (int64_t)chunks_size(body, n);
    bool is_head = c->head != NULL && weir_slice_eq(c->head->method, WEIR_LIT("HEAD"));
    head_out_t *out = head_begin(c, failure->status, weir_slice(NULL, 0), FRAMING_LENGTH);
    out_date(c, out);
    out_field(out, WEIR_LIT("Content-Type"), buf != NULL ? WEIR_LIT("application/json") : WEIR_LIT("text/plain"));
    out_failure_fields(c, out, failure);
    head_end(c, out, failure->status, length);
    (void)body_write(c, body, is_head ? 0 : n, true);
    c->edge->host->buf_unref(buf);
}

/* After a stream has begun the error is its last event; where there is nothing to put it in, the client must see that the reply
 * is not whole. The server may have died within an event: an empty line ends what there is of it. */
static bool failure_event(client_t *c, const weir_exchange_t *ex, const weir_failure_t *failure)
{
    weir_chunk_t body, gap = {.bytes = WEIR_LIT("\n\n")};
    weir_slice_t id = ex->message.envelope.id;
    if (!c->is_events || id.n == 0 || failure->code == 0)
        return false;
    weir_buf_t *buf = failure_message(c, id, failure, &body);
    if (buf == NULL)
        return false;
    (void)body_write(c, &gap, 1, false);
    bool is_told = event_write(c, &body, 1, weir_slice(NULL, 0), true) != WEIR_EFAIL;
    c->edge->host->buf_unref(buf);
    return is_told;
}

void edge_fail(weir_exchange_t *ex, const weir_failure_t *failure)
{
    client_t *c = ex->client;
    bool is_whole = true;
    if (!c->is_begun) {
        failure_reply(c, ex, failure);
    } else {
        is_whole = failure_event(c, ex, failure);
        (void)client_write(c, NULL, 0);
    }
    client_exchange_ended(c, is_whole);
}

/* ---- what is no exchange ---- */

void reply_continue(client_t *c)
{
    weir_chunk_t chunk = {.bytes = WEIR_LIT("HTTP/1.1 100 Continue\r\n\r\n")};
    (void)client_write(c, &chunk, 1);
}

/* The browser asks whether a page may call at all: whatever it wants to send may be sent, for the origin is an allowed one. */
void reply_preflight(client_t *c)
{
    head_out_t *out = head_begin(c, 204, weir_slice(NULL, 0), FRAMING_NONE);
    weir_slice_t fields = head_find(c->head, WEIR_LIT("Access-Control-Request-Headers"));
    out_date(c, out);
    OUT_LIT(out, "Access-Control-Allow-Methods: POST, GET, DELETE, OPTIONS\r\nAccess-Control-Max-Age: 7200\r\n");
    if (fields.n > 0)
        out_field(out, WEIR_LIT("Access-Control-Allow-Headers"), fields);
    head_end(c, out, 204, 0);
    (void)client_write(c, NULL, 0);
    client_exchange_ended(c, true);
}
