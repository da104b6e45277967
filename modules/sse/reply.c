/* reply.c: what is written to a client.
 *
 * An event stream is chunked, an event a chunk; to HTTP/1.0 it goes without, and the end of the connection is its end. All other
 * replies have a length.
 */
#include <stdio.h>

#include "edge.h"

#define HEAD_ROOM 1024
#define ERROR_ROOM 4096

static int visit_write(visit_t *v, const weir_chunk_t *chunks, size_t n)
{
    return v->edge->host->stream_write(v->stream, chunks, n); /* `broken` follows when it has gone */
}

/* ---- replies with a length ---- */

/* To a page of an allowed origin; one that does not fit is no browser's. */
static size_t put_cors(const visit_t *v, char *p, size_t n)
{
    if (v->origin == NULL)
        return 0;
    int used = snprintf(p, n, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n", v->origin);
    return used < 0 || (size_t)used >= n ? 0 : (size_t)used;
}

static const char *connection_of(visit_t *v)
{
    if (v->edge->is_draining)
        v->is_keep = false;
    if (!v->is_keep)
        return "Connection: close\r\n";
    return v->minor == 0 ? "Connection: keep-alive\r\n" : "";
}

/* `more`: fields of this reply, each with its CRLF. */
static void reply_write(visit_t *v, uint16_t status, const char *more, const weir_chunk_t *body, size_t n)
{
    const weir_host_t *host = v->edge->host;
    char head[HEAD_ROOM], cors[HEAD_ROOM];
    weir_chunk_t all[4];
    size_t length = 0;
    char framing[48] = "";
    for (size_t i = 0; i < n; i++)
        length += body[i].bytes.n;
    if (status != 204)
        (void)snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", length);
    int used = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\nDate: %s\r\n%s%s%s", status, host->http_reason(status),
                        host->http_date(), more, framing, connection_of(v));
    size_t head_n = used < 0 || (size_t)used >= sizeof(head) ? 0 : (size_t)used;
    all[0] = (weir_chunk_t){.bytes = weir_slice(head, head_n)};
    all[1] = (weir_chunk_t){.bytes = weir_slice(cors, put_cors(v, cors, sizeof(cors)))};
    all[2] = (weir_chunk_t){.bytes = WEIR_LIT("\r\n")};
    (void)visit_write(v, all, 3);
    if (length > 0)
        (void)visit_write(v, body, n);
}

void reply_accepted(visit_t *v)
{
    weir_chunk_t body = {.bytes = WEIR_LIT("Accepted")};
    reply_write(v, 202, "Content-Type: text/plain\r\n", &body, 1);
    visit_answered(v);
}

void reply_continue(visit_t *v)
{
    weir_chunk_t chunk = {.bytes = WEIR_LIT("HTTP/1.1 100 Continue\r\n\r\n")};
    (void)visit_write(v, &chunk, 1);
}

void reply_preflight(visit_t *v, const weir_head_t *head)
{
    static const char methods[] =
        "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\nAccess-Control-Max-Age: 7200\r\n";
    char more[HEAD_ROOM / 2];
    weir_slice_t fields = {"", 0};
    for (uint16_t i = 0; i < head->nfields; i++)
        if (weir_slice_ieq(head->fields[i].name, WEIR_LIT("Access-Control-Request-Headers")))
            fields = head->fields[i].value;
    int n = snprintf(more, sizeof(more), "%sAccess-Control-Allow-Headers: %.*s\r\n", methods, WEIR_FMT(fields));
    bool fits = fields.n > 0 && n > 0 && (size_t)n < sizeof(more);
    reply_write(v, 204, fits ? more : methods, NULL, 0);
    visit_answered(v);
}

/* ---- refusals ---- */

static size_t failure_text(const visit_t *v, const weir_exchange_t *ex, const weir_failure_t *failure, char *p,
                           size_t n)
{
    if (failure->code != 0)
        return v->edge->host->message_error(p, n, ex->message.envelope.id, failure->code, failure->text,
                                            weir_slice_str(failure->word));
    int used = snprintf(p, n, "%.*s\n", WEIR_FMT(failure->text));
    return used < 0 ? 0 : (size_t)used;
}

void reply_fail(weir_exchange_t *ex, const weir_failure_t *failure)
{
    visit_t *v = ex->client;
    const weir_host_t *host = v->edge->host;
    char more[256];
    weir_slice_t id = ex->message.envelope.id;
    weir_buf_t *buf = host->buf_new(id.n + ERROR_ROOM);
    size_t n = buf == NULL ? 0 : failure_text(v, ex, failure, buf->data, buf->size);
    weir_chunk_t body = {weir_slice(buf == NULL ? NULL : buf->data, buf != NULL && n <= buf->size ? n : 0), buf};
    (void)snprintf(more, sizeof(more), "Content-Type: %s\r\n%s%s",
                   failure->code != 0 ? "application/json" : "text/plain",
                   failure->status == 405 ? "Allow: GET, POST, OPTIONS\r\n" : "",
                   failure->status == 503 ? "Retry-After: 1\r\n" : "");
    reply_write(v, failure->status, more, &body, 1);
    host->exchange_sent(ex, body.bytes.n);
    host->buf_unref(buf);
    visit_answered(v);
}

/* ---- the event stream ---- */

static int events_write(visit_t *v, const weir_chunk_t *chunks, size_t n)
{
    weir_chunk_t all[REPLY_PARTS + 6];
    char size[24];
    size_t bytes = 0;
    if (v->minor == 0)
        return visit_write(v, chunks, n);
    for (size_t i = 0; i < n; i++) {
        all[i + 1] = chunks[i];
        bytes += chunks[i].bytes.n;
    }
    int used = snprintf(size, sizeof(size), "%zx\r\n", bytes);
    all[0] = (weir_chunk_t){.bytes = weir_slice(size, used < 0 ? 0 : (size_t)used)};
    all[n + 1] = (weir_chunk_t){.bytes = WEIR_LIT("\r\n")};
    return visit_write(v, all, n + 2);
}

/* The endpoint is told without scheme and host: the client knows by which name it came. */
void reply_stream(visit_t *v, const weir_head_t *head, weir_slice_t path, weir_slice_t address)
{
    char text[HEAD_ROOM], cors[HEAD_ROOM];
    const char *framing = head->minor == 0 ? "Connection: close\r\n" : "Transfer-Encoding: chunked\r\n";
    int used = snprintf(text, sizeof(text),
                        "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                        "X-Accel-Buffering: no\r\n%s",
                        v->edge->host->http_date(), framing);
    weir_chunk_t lines[] = {{.bytes = weir_slice(text, used < 0 ? 0 : (size_t)used)},
                            {.bytes = weir_slice(cors, put_cors(v, cors, sizeof(cors)))},
                            {.bytes = WEIR_LIT("\r\n")}};
    weir_chunk_t event[] = {{.bytes = WEIR_LIT("event: endpoint\ndata: ")},
                            {.bytes = path},
                            {.bytes = WEIR_LIT("?" ENDPOINT_NAME "=")},
                            {.bytes = address},
                            {.bytes = WEIR_LIT("\n\n")}};
    (void)visit_write(v, lines, 3);
    (void)events_write(v, event, 5);
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
static weir_buf_t *one_line(const visit_t *v, const weir_chunk_t *parts, size_t n, weir_chunk_t *line)
{
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        bytes += parts[i].bytes.n;
    weir_buf_t *buf = v->edge->host->buf_new(bytes);
    if (buf == NULL)
        return NULL;
    for (size_t i = 0; i < n; at += parts[i++].bytes.n)
        if (parts[i].bytes.n > 0)
            memcpy(buf->data + at, parts[i].bytes.p, parts[i].bytes.n);
    for (char *p = buf->data; p < buf->data + bytes; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    *line = (weir_chunk_t){weir_slice(buf->data, bytes), buf};
    return buf;
}

static int event_write(visit_t *v, const weir_chunk_t *parts, size_t n)
{
    weir_chunk_t all[REPLY_PARTS + 2];
    all[0] = (weir_chunk_t){.bytes = WEIR_LIT("event: message\ndata: ")};
    for (size_t i = 0; i < n; i++)
        all[i + 1] = parts[i];
    all[n + 1] = (weir_chunk_t){.bytes = WEIR_LIT("\n\n")};
    return events_write(v, all, n + 2);
}

int reply_event(visit_t *v, const weir_chunk_t *parts, size_t n)
{
    weir_chunk_t line;
    if (n <= REPLY_PARTS && !has_line_break(parts, n))
        return event_write(v, parts, n);
    weir_buf_t *buf = one_line(v, parts, n, &line);
    if (buf == NULL)
        return WEIR_ECLOSED;
    int result = event_write(v, &line, 1);
    v->edge->host->buf_unref(buf);
    return result;
}

void reply_comment(visit_t *v)
{
    weir_chunk_t comment = {.bytes = WEIR_LIT(":\n\n")};
    (void)events_write(v, &comment, 1);
}
