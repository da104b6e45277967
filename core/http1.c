/* http1.c: heads; see http1.h. A head is read line by line, and each byte of it once; only one that did not come whole is searched for
 * its empty line before it is read again.
 */
#include "http1.h"

#include <stddef.h>

#include "http1_field.h"
#include "url.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EMPTY_LINES_MAX 8 /* bytes, give or take one: so much of empty lines before a request line is read over (2.2) */

/* tchar of RFC 9110 5.6.2. */
static const bool is_token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool token_char(char c)
{
    return is_token[(unsigned char)c];
}

/* ---- lines ---- */

/* Whether the head's end is there. */
static bool has_empty_line(const char *from, const char *end)
{
    while (from < end) {
        const char *lf = memchr(from, '\n', (size_t)(end - from));
        if (lf == NULL)
            return false;
        const char *next = lf + 1;
        if (next < end && *next == '\r')
            next++;
        if (next < end && *next == '\n')
            return true;
        from = lf + 1;
    }
    return false;
}

/* The first byte that cannot stand in a line: a control other than TAB, or DEL; line ends are among them. `end`: there is none. */
static inline const char *text_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, low), bytes);
        __m128i is_odd = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), is_low), _mm_cmpeq_epi8(bytes, del));
        int mask = _mm_movemask_epi8(is_odd);
        if (mask != 0)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && ((unsigned char)*p >= 0x20 || *p == '\t') && *p != 0x7f)
        p++;
    return p;
}

/* The line at `*p`, without its end; `*p` goes behind it. A bare CR, a NUL and their like are BAD. */
static inline weir_parse_t line_take(const char **p, const char *end, weir_slice_t *line)
{
    const char *stop = text_end(*p, end);
    *line = weir_slice(*p, (size_t)(stop - *p));
    if (stop < end && *stop == '\r')
        stop++;
    if (stop == end)
        return WEIR_PARSE_MORE;
    *p = stop + 1;
    return *stop == '\n' ? WEIR_PARSE_DONE : WEIR_PARSE_BAD;
}

/* ---- start lines ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static weir_parse_t version_read(weir_slice_t text, weir_head_t *head)
{
    if (text.n != 8 || memcmp(text.p, "HTTP/", 5) != 0)
        return WEIR_PARSE_BAD;
    if (!is_digit(text.p[5]) || text.p[6] != '.' || !is_digit(text.p[7]))
        return WEIR_PARSE_BAD;
    if (text.p[5] != '1' || text.p[7] > '1')
        return WEIR_PARSE_VERSION;
    head->minor = (uint8_t)(text.p[7] - '0');
    return WEIR_PARSE_DONE;
}

/* Whatever a request target may be made of, and some more: it is for the routes, and the server, to know it. */
static bool target_char(char c)
{
    return c > ' ' && c < 0x7f;
}

static weir_parse_t request_line(weir_slice_t line, weir_head_t *head)
{
    const char *p = line.p, *end = line.p + line.n;
    while (p < end && token_char(*p))
        p++;
    head->method = weir_slice(line.p, (size_t)(p - line.p));
    if (head->method.n == 0 || p == end || *p != ' ')
        return WEIR_PARSE_BAD;
    const char *target = ++p;
    while (p < end && target_char(*p))
        p++;
    head->target = weir_slice(target, (size_t)(p - target));
    if (head->target.n == 0 || p == end || *p != ' ')
        return WEIR_PARSE_BAD;
    p++;
    return version_read(weir_slice(p, (size_t)(end - p)), head);
}

static weir_parse_t status_line(weir_slice_t line, weir_head_t *head)
{
    if (line.n < 12 || line.p[8] != ' ' || !is_digit(line.p[9]) || !is_digit(line.p[10]) || !is_digit(line.p[11]))
        return WEIR_PARSE_BAD;
    head->status = (uint16_t)((line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + (line.p[11] - '0'));
    if (head->status < 100 || head->status > 599 || (line.n > 12 && line.p[12] != ' '))
        return WEIR_PARSE_BAD;
    if (line.n > 13)
        head->reason = weir_slice(line.p + 13, line.n - 13);
    return version_read(weir_slice(line.p, 8), head);
}

/* ---- fields ---- */

static bool is_token_whole(weir_slice_t s)
{
    size_t n = 0;
    while (n < s.n && token_char(s.p[n]))
        n++;
    return n == s.n && n > 0;
}

static weir_parse_t field_line(weir_slice_t line, weir_head_t *head)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (head->nfields == WEIR_FIELDS_MAX)
        return WEIR_PARSE_TOO_LARGE;
    if (colon == NULL)
        return WEIR_PARSE_BAD;
    weir_field_t *field = &head->fields[head->nfields];
    field->name = weir_slice(line.p, (size_t)(colon - line.p));
    field->value = weir_slice_trim(weir_slice(colon + 1, line.n - field->name.n - 1));
    field->id = http1_field_id(field->name);
    uint16_t at = head->nfields++;
    if (field->id == WEIR_FIELD_OTHER)
        return is_token_whole(field->name) ? WEIR_PARSE_DONE : WEIR_PARSE_BAD;
    if (head->known[field->id] < 0)
        head->known[field->id] = (int16_t)at;
    return http1_field_means(head, field);
}

/* A target may be a whole URL: then its host counts, whatever Host says (RFC 9112 3.2.2). */
static void target_settle(weir_head_t *head)
{
    weir_slice_t authority;
    if (target_split(head->target, &authority, &head->target) && head->known[WEIR_FIELD_HOST] >= 0)
        head->fields[head->known[WEIR_FIELD_HOST]].value = authority;
}

/* What only the whole head can tell: RFC 9112 6.1 and 6.3. */
static weir_parse_t head_settle(weir_head_t *head, bool is_request)
{
    bool has_length = head->known[WEIR_FIELD_CONTENT_LENGTH] >= 0;
    bool has_coding = head->known[WEIR_FIELD_TRANSFER_ENCODING] >= 0;
    if (has_coding && (has_length || head->minor == 0 || !head->is_chunked))
        return WEIR_PARSE_BAD;
    if (is_request && head->minor == 1 && head->known[WEIR_FIELD_HOST] < 0)
        return WEIR_PARSE_BAD;
    if (is_request && head->target.p[0] != '/')
        target_settle(head);
    head->is_keep_alive = !http1_connection_has(head, WEIR_LIT("close")) &&
                          (head->minor == 1 || http1_connection_has(head, WEIR_LIT("keep-alive")));
    head->is_upgrade = head->known[WEIR_FIELD_UPGRADE] >= 0 && http1_connection_has(head, WEIR_LIT("upgrade"));
    return WEIR_PARSE_DONE;
}

static void head_clear(weir_head_t *head)
{
    memset(head, 0, offsetof(weir_head_t, known));
    memset(head->known, 0xff, sizeof(head->known));
    head->content_length = -1;
}

/* `*p` goes behind the head when it is DONE. */
static weir_parse_t head_parse(const char **p, const char *end, weir_head_t *head, bool is_request)
{
    weir_slice_t line;
    head_clear(head);
    weir_parse_t result = line_take(p, end, &line);
    if (result == WEIR_PARSE_DONE)
        result = is_request ? request_line(line, head) : status_line(line, head);
    while (result == WEIR_PARSE_DONE && (result = line_take(p, end, &line)) == WEIR_PARSE_DONE) {
        if (line.n == 0)
            return head_settle(head, is_request);
        result = field_line(line, head);
    }
    return result;
}

/* The end of the empty lines at the beginning; n when more of them may come. */
static size_t empty_lines_skip(const char *p, size_t n)
{
    size_t at = 0;
    while (at < n && at < EMPTY_LINES_MAX) {
        if (p[at] == '\r' && at + 1 == n)
            return n;
        if (p[at] == '\n')
            at += 1;
        else if (p[at] == '\r' && p[at + 1] == '\n')
            at += 2;
        else
            break;
    }
    return at;
}

/* What begins as no head ever does (TLS, another protocol) is not waited for: its sender may wait for us. */
static bool can_begin(const char *p, size_t n, bool is_request)
{
    static const char version[] = "HTTP/";
    size_t most = sizeof(version) - 1;
    return is_request ? token_char(p[0]) : memcmp(p, version, n < most ? n : most) == 0;
}

static weir_parse_t parse(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used, bool is_request)
{
    size_t skip = is_request ? empty_lines_skip(p, n) : 0;
    if (skip == n)
        return WEIR_PARSE_MORE;
    if (!can_begin(p + skip, n - skip, is_request))
        return WEIR_PARSE_BAD;
    /* The empty line may have begun in what was seen. */
    if (seen > 0 && !has_empty_line(p + (seen < skip + 3 ? skip : seen - 3), p + n))
        return WEIR_PARSE_MORE;
    const char *at = p + skip;
    weir_parse_t result = head_parse(&at, p + n, head, is_request);
    *used = (size_t)(at - p);
    return result;
}

weir_parse_t http1_parse_request(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used)
{
    return parse(p, n, seen, head, used, true);
}

weir_parse_t http1_parse_reply(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used)
{
    return parse(p, n, seen, head, used, false);
}

const char *http1_reason(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}
