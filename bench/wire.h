/* wire.h: what origin and load both know of HTTP/1.1 and JSON-RPC: where a message ends, and which id is in it.
 *
 * Written for peers of our own on the loopback. It reads what they send and no more, so that its cost stays small and
 * the same for every proxy under test; it is no model for a server that meets strangers.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct {
    const char *at;
    size_t len;
} slice_t;

typedef enum { WIRE_BAD = -1, WIRE_MORE = 0, WIRE_WHOLE = 1 } wire_t;

/* The head of a request or of a reply. */
typedef struct {
    slice_t start[2];      /* method and target, or version and status */
    slice_t session;       /* Mcp-Session-Id; len 0 when there is none */
    size_t size;           /* bytes up to and with the empty line */
    size_t content_length; /* 0 when there is none */
    bool is_chunked;
    bool is_last;         /* Connection: close */
    bool is_event_stream; /* Content-Type: text/event-stream */
} head_t;

static inline bool slice_is(slice_t s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static inline bool slice_is_like(slice_t s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

static inline slice_t slice_trim(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n')) {
        end--;
    }
    return (slice_t){at, (size_t)(end - at)};
}

static inline void head_field(head_t *head, slice_t name, slice_t value)
{
    if (slice_is_like(name, "content-length")) {
        head->content_length = strtoul(value.at, NULL, 10);
    } else if (slice_is_like(name, "transfer-encoding")) {
        head->is_chunked = slice_is_like(value, "chunked");
    } else if (slice_is_like(name, "connection")) {
        head->is_last = slice_is_like(value, "close");
    } else if (slice_is_like(name, "mcp-session-id")) {
        head->session = value;
    } else if (slice_is_like(name, "content-type")) {
        head->is_event_stream = value.len >= 17 && strncasecmp(value.at, "text/event-stream", 17) == 0;
    }
}

static inline wire_t head_start(head_t *head, const char *at, const char *eol)
{
    const char *one = memchr(at, ' ', (size_t)(eol - at));
    const char *two = one ? memchr(one + 1, ' ', (size_t)(eol - one - 1)) : NULL;

    if (one == NULL) {
        return WIRE_BAD;
    }
    head->start[0] = (slice_t){at, (size_t)(one - at)};
    head->start[1] = slice_trim(one + 1, two ? two : eol);
    return WIRE_WHOLE;
}

/* Reads the head at `buf`. The slices of `head` point into `buf`. */
static inline wire_t head_parse(head_t *head, const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    const char *at = buf;

    *head = (head_t){0};
    if (end == NULL) {
        return WIRE_MORE;
    }
    head->size = (size_t)(end + 4 - buf);
    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end + 2 - at));
        const char *colon = memchr(at, ':', (size_t)(eol - at));

        if (at == buf) {
            if (head_start(head, at, eol) == WIRE_BAD) {
                return WIRE_BAD;
            }
        } else if (colon != NULL) {
            head_field(head, (slice_t){at, (size_t)(colon - at)}, slice_trim(colon + 1, eol));
        }
        at = eol + 1;
    }
    return WIRE_WHOLE;
}

/* Takes the chunks at `buf` out of their framing, in place, once the last one is there.
 * `used` gets the bytes that the framed body took, `body` the bytes that are left of it. */
static inline wire_t chunks_join(char *buf, size_t len, size_t *used, size_t *body)
{
    for (int joining = 0; joining < 2; joining++) {
        size_t at = 0;

        *body = 0;
        for (;;) {
            const char *eol = memmem(buf + at, len - at, "\r\n", 2);
            size_t size = eol ? strtoul(buf + at, NULL, 16) : 0;
            size_t data = eol ? (size_t)(eol + 2 - buf) : 0;

            if (eol == NULL || data + size + 2 > len) {
                return WIRE_MORE;
            }
            at = data + size + 2;
            if (size == 0) {
                break;
            }
            if (joining) {
                memmove(buf + *body, buf + data, size);
            }
            *body += size;
        }
        *used = at;
    }
    return WIRE_WHOLE;
}

/* The outermost members of a JSON-RPC message that origin and load decide by. Slices are the values as written, quotes
 * and all; len 0 when the member is absent. */
typedef struct {
    slice_t id;
    slice_t method;
    bool has_result;
} envelope_t;

static inline void envelope_member(envelope_t *env, slice_t key, slice_t value)
{
    if (slice_is(key, "\"id\"")) {
        env->id = value;
    } else if (slice_is(key, "\"method\"")) {
        env->method = value;
    } else if (slice_is(key, "\"result\"")) {
        env->has_result = true;
    }
}

/* Just behind the string that begins at `at`, or `end` when it has no end. */
static inline const char *string_skip(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\') {
            at++;
        }
    }
    return at < end ? at + 1 : end;
}

/* One pass over the message; members of inner objects are passed over by their depth. */
static inline wire_t envelope_scan(envelope_t *env, const char *at, size_t len)
{
    const char *end = at + len;
    const char *value = NULL;
    slice_t key = {0};
    int depth = 0;

    *env = (envelope_t){0};
    while (at < end) {
        const char *from = at;
        char c = *at;

        at = c == '"' ? string_skip(at, end) : at + 1;
        if (depth == 1 && value == NULL && c == '"') {
            key = (slice_t){from, (size_t)(at - from)};
        } else if (depth == 1 && value == NULL && c == ':') {
            value = at;
        } else if (depth == 1 && value != NULL && (c == ',' || c == '}')) {
            envelope_member(env, key, slice_trim(value, from));
            value = NULL;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    }
    return depth == 0 ? WIRE_WHOLE : WIRE_BAD;
}

#endif
