/* fuzz_chunked.c: chunked bodies, whole and in pieces, held against a reader of whole bodies that is written down from the grammar
 * (RFC 9112 7.1).
 */
#include "fuzz.h"

#include "http1.h"

#define LINE_MAX_BYTES 1024 /* of a size line behind its first digit, its CR included */
#define TRAILER_MAX 16384

typedef enum verdict { DONE, MORE, BAD } verdict_t;

typedef struct body {
    verdict_t verdict;
    char *data;
    size_t n, used;
} body_t;

/* ---- the grammar ---- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_text(char c)
{
    return (unsigned char)c >= ' ' || c == '\t';
}

/* CR LF at `*at`. */
static verdict_t line_end(const char *p, size_t n, size_t *at)
{
    for (const char *c = "\r\n"; *c != '\0'; c++, ++*at) {
        if (*at == n)
            return MORE;
        if (p[*at] != *c)
            return BAD;
    }
    return DONE;
}

static verdict_t size_line(const char *p, size_t n, size_t *at, uint64_t *size)
{
    size_t begin = *at;
    bool in_extension = false, has_space = false;
    *size = 0;
    for (; *at < n && p[*at] != '\r'; ++*at) {
        char c = p[*at];
        if (*at - begin > LINE_MAX_BYTES)
            return BAD;
        if (in_extension && is_text(c))
            continue;
        if (!in_extension && *at > begin && (c == ' ' || c == '\t')) {
            has_space = true;
        } else if (!in_extension && *at > begin && c == ';') {
            in_extension = true;
        } else if (!in_extension && !has_space && is_hex(c) && *size < UINT64_C(1) << 59) {
            char digit[2] = {c, '\0'};
            *size = *size * 16 + strtoul(digit, NULL, 16);
        } else {
            return BAD;
        }
    }
    if (*at < n && (*at == begin || *at - begin > LINE_MAX_BYTES))
        return BAD;
    return line_end(p, n, at);
}

static verdict_t trailers(const char *p, size_t n, size_t *at)
{
    size_t overhead = 0;
    for (;;) {
        size_t begin = *at;
        for (; *at < n && p[*at] != '\r'; ++*at)
            if (!is_text(p[*at]) || ++overhead > TRAILER_MAX)
                return BAD;
        if (*at < n && ++overhead > TRAILER_MAX)
            return BAD;
        bool is_last = *at == begin;
        verdict_t end = line_end(p, n, at);
        if (end != DONE || is_last)
            return end;
    }
}

static body_t read_by_grammar(const char *p, size_t n)
{
    body_t body = {.data = malloc(n + 1)};
    FUZZ_CHECK(body.data != NULL);
    size_t at = 0;
    uint64_t size = 1;
    verdict_t verdict = DONE;
    while (verdict == DONE && size > 0) {
        verdict = size_line(p, n, &at, &size);
        if (verdict != DONE || size == 0)
            break;
        size_t take = n - at < size ? n - at : (size_t)size;
        memcpy(body.data + body.n, p + at, take);
        body.n += take;
        at += take;
        verdict = take < size ? MORE : line_end(p, n, &at);
    }
    body.verdict = verdict == DONE ? trailers(p, n, &at) : verdict;
    body.used = at;
    return body;
}

/* ---- the decoder ---- */

static body_t read_in_pieces(const char *p, size_t n, size_t piece)
{
    body_t body = {.data = malloc(n + 1), .verdict = MORE};
    weir_chunked_t c = {0};
    FUZZ_CHECK(body.data != NULL);
    while (body.used < n && body.verdict == MORE) {
        size_t have = n - body.used < piece ? n - body.used : piece, used = 0;
        char *copy = fuzz_copy(p + body.used, have);
        weir_slice_t data;
        int result = http1_chunked_decode(&c, copy, have, &used, &data);
        if (result == WEIR_EFAIL) {
            body.verdict = BAD;
        } else {
            FUZZ_CHECK(used <= have && (used == have || data.n > 0 || c.is_done));
            FUZZ_CHECK(fuzz_is_inside(data, copy, used) && (data.n == 0 || data.p + data.n == copy + used));
            FUZZ_CHECK(result == WEIR_OK || (result == WEIR_EAGAIN && used == have && data.n == 0));
            if (data.n > 0)
                memcpy(body.data + body.n, data.p, data.n);
            body.n += data.n;
            body.used += used;
            body.verdict = c.is_done ? DONE : MORE;
        }
        fuzz_free(copy, have);
    }
    return body;
}

static void fuzz_one(const char *p, size_t n)
{
    static const size_t pieces[] = {1, 2, 7, SIZE_MAX};
    body_t expected = read_by_grammar(p, n);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        body_t body = read_in_pieces(p, n, pieces[i]);
        FUZZ_CHECK(body.verdict == expected.verdict);
        /* What came before the fault may have been handed on, or not. */
        FUZZ_CHECK(body.verdict == BAD ? body.n <= expected.n : body.n == expected.n);
        FUZZ_CHECK(memcmp(body.data, expected.data, body.n) == 0);
        FUZZ_CHECK(body.verdict != DONE || body.used == expected.used);
        free(body.data);
    }
    free(expected.data);
}
