/* jscan.c: see jscan.h. Most bytes of a message stand inside of strings: those are looked at sixteen at a time. */
#include "jscan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

jscan_t jscan_over(weir_slice_t text)
{
    return (jscan_t){.p = text.p, .end = text.n == 0 ? text.p : text.p + text.n};
}

void jscan_space(jscan_t *j)
{
    for (; j->p < j->end; j->p++) {
        char c = *j->p;
        if (c == '\n' || c == '\r')
            j->has_newline = true;
        else if (c != ' ' && c != '\t')
            return;
    }
}

bool jscan_at_end(jscan_t *j)
{
    return jscan_peek(j) == 0 && j->p == j->end;
}

/* ---- strings ---- */

#ifdef __SSE2__
/* One bit for each byte that is not plain. As signed bytes, controls and everything beyond ASCII are less than a space. */
static inline unsigned odd_bytes(__m128i bytes)
{
    __m128i is_quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i is_backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    __m128i is_low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(is_quote, is_backslash), is_low));
}

static inline unsigned odd_of_16(const char *p)
{
    return odd_bytes(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline unsigned odd_of_8(const char *p)
{
    return odd_bytes(_mm_loadl_epi64((const __m128i *)(const void *)p)) & 0xff;
}
#endif

/* What is left at the end is looked at together with plain bytes before it. */
static inline const char *plain_end(const char *begin, const char *end)
{
    const char *p = begin;
#ifdef __SSE2__
    unsigned odd;
    for (; end - p >= 16; p += 16)
        if ((odd = odd_of_16(p)) != 0)
            return p + __builtin_ctz(odd);
    if (p > begin)
        return (odd = odd_of_16(end - 16)) != 0 ? end - 16 + __builtin_ctz(odd) : end;
    if (end - p >= 8) {
        if ((odd = odd_of_8(p)) != 0)
            return p + __builtin_ctz(odd);
        return (odd = odd_of_8(end - 8)) != 0 ? end - 8 + __builtin_ctz(odd) : end;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && *p >= ' ')
        p++;
    return p;
}

const char *jscan_plain(const char *p, const char *end)
{
    return plain_end(p, end);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* An escape, from its backslash on. Returns its length, 0 when it is none. */
static size_t escape_length(const char *p, const char *end)
{
    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return memchr("\"\\/bfnrt", p[1], 8) != NULL ? 2 : 0;
    if (end - p < 6)
        return 0;
    return is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]) ? 6 : 0;
}

/* A UTF-8 sequence beyond ASCII (RFC 3629: shortest form, no surrogates, up to U+10FFFF). Returns its length, 0: none. */
static size_t utf8_length(const char *s, const char *end)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = (size_t)(end - s), n;
    unsigned low = 0x80, high = 0xbf;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (left < n)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* A string that has more than plain bytes in it: `p` stands at the first other one. On its own, so that the other kind has no frame. */
__attribute__((noinline)) static bool string_rest(jscan_t *j, const char *begin, const char *p, jscan_text_t *out)
{
    out->is_escaped = false;
    while (p < j->end && *p != '"') {
        size_t n = *p == '\\' ? escape_length(p, j->end) : utf8_length(p, j->end);
        if (n == 0)
            break;
        out->is_escaped |= *p == '\\';
        p = plain_end(p + n, j->end);
    }
    j->p = p;
    if (p == j->end || *p != '"')
        return false;
    out->text = weir_slice(begin, (size_t)(p - begin));
    j->p++;
    return true;
}

bool jscan_string(jscan_t *j, jscan_text_t *out)
{
    if (jscan_peek(j) != '"')
        return false;
    const char *begin = j->p + 1;
    const char *p = plain_end(begin, j->end);
    if (p == j->end || *p != '"')
        return string_rest(j, begin, p, out);
    *out = (jscan_text_t){.text = weir_slice(begin, (size_t)(p - begin))};
    j->p = p + 1;
    return true;
}

/* ---- other scalars ---- */

static bool skip_digits(jscan_t *j)
{
    const char *begin = j->p;
    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > begin;
}

static bool skip_char(jscan_t *j, char a, char b)
{
    if (j->p == j->end || (*j->p != a && *j->p != b))
        return false;
    j->p++;
    return true;
}

static bool jscan_number(jscan_t *j)
{
    (void)skip_char(j, '-', '-');
    if (!skip_char(j, '0', '0') && !skip_digits(j))
        return false;
    if (skip_char(j, '.', '.') && !skip_digits(j))
        return false;
    if (!skip_char(j, 'e', 'E'))
        return true;
    (void)skip_char(j, '+', '-');
    return skip_digits(j);
}

static bool jscan_word(jscan_t *j, weir_slice_t word)
{
    if ((size_t)(j->end - j->p) < word.n || memcmp(j->p, word.p, word.n) != 0)
        return false;
    j->p += word.n;
    return true;
}

static bool jscan_scalar(jscan_t *j, char first)
{
    jscan_text_t text;
    switch (first) {
    case '"':
        return jscan_string(j, &text);
    case 't':
        return jscan_word(j, WEIR_LIT("true"));
    case 'f':
        return jscan_word(j, WEIR_LIT("false"));
    case 'n':
        return jscan_word(j, WEIR_LIT("null"));
    default:
        return jscan_number(j);
    }
}

/* ---- nesting ---- */

/* Which of the open brackets are objects: one bit each. */
typedef struct nest {
    uint64_t objects[JSCAN_DEPTH / 64];
    unsigned depth;
} nest_t;

static bool nest_in_object(const nest_t *nest)
{
    unsigned at = nest->depth - 1;
    return nest->objects[at / 64] >> (at % 64) & 1;
}

static void nest_open(nest_t *nest, bool is_object)
{
    unsigned at = nest->depth++;
    nest->objects[at / 64] &= ~((uint64_t)1 << at % 64);
    nest->objects[at / 64] |= (uint64_t)is_object << at % 64;
}

static bool has_room_for_one_more(jscan_t *j, unsigned depth)
{
    j->is_too_deep = depth == JSCAN_DEPTH;
    return !j->is_too_deep;
}

static bool jscan_key(jscan_t *j)
{
    jscan_text_t key;
    if (!jscan_string(j, &key) || jscan_peek(j) != ':')
        return false;
    j->p++;
    return true;
}

/* A value has ended: close what closes here, and step to where the next value begins. `depth` 0: all is closed. */
static bool nest_next(jscan_t *j, nest_t *nest)
{
    while (nest->depth > 0) {
        bool in_object = nest_in_object(nest);
        char c = jscan_peek(j);
        if (c == ',') {
            j->p++;
            return !in_object || jscan_key(j);
        }
        if (c != (in_object ? '}' : ']'))
            return false;
        j->p++;
        nest->depth--;
    }
    return true;
}

/* An open bracket. An empty pair is a whole value; otherwise the cursor goes to the first value inside. */
static bool nest_enter(jscan_t *j, nest_t *nest, bool is_object, bool *is_empty)
{
    if (!has_room_for_one_more(j, j->depth + nest->depth))
        return false;
    j->p++;
    *is_empty = jscan_peek(j) == (is_object ? '}' : ']');
    if (*is_empty) {
        j->p++;
        return true;
    }
    nest_open(nest, is_object);
    return !is_object || jscan_key(j);
}

bool jscan_value(jscan_t *j, weir_slice_t *raw)
{
    nest_t nest;
    nest.depth = 0;
    char first = jscan_peek(j);
    const char *begin = j->p;
    for (;;) {
        bool is_whole = true;
        if (first == '{' || first == '[') {
            if (!nest_enter(j, &nest, first == '{', &is_whole))
                return false;
        } else if (!jscan_scalar(j, first)) {
            return false;
        }
        if (is_whole && !nest_next(j, &nest))
            return false;
        if (nest.depth == 0)
            break;
        first = jscan_peek(j);
    }
    if (raw != NULL)
        *raw = weir_slice(begin, (size_t)(j->p - begin));
    return true;
}

bool jscan_member(jscan_t *j, bool *is_first, jscan_text_t *key, bool *is_over)
{
    char c = jscan_peek(j);
    *is_over = false;
    if (*is_first) {
        if (c != '{' || !has_room_for_one_more(j, j->depth))
            return false;
        j->depth++;
        j->p++;
        c = jscan_peek(j);
    }
    if (c == '}') {
        j->depth--;
        j->p++;
        *is_over = true;
        return true;
    }
    if (!*is_first) {
        if (c != ',')
            return false;
        j->p++;
    }
    *is_first = false;
    if (!jscan_string(j, key) || jscan_peek(j) != ':')
        return false;
    j->p++;
    return true;
}

/* ---- escapes ---- */

static unsigned hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return value;
}

static size_t utf8_write(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* \uXXXX, or two of them that are one character. */
static const char *unescape_unicode(const char *p, const char *end, char *out, size_t *used)
{
    unsigned code = hex4(p + 2);
    p += 6;
    if (code >= 0xd800 && code <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        unsigned low = hex4(p + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *used += utf8_write(out + *used, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return p + 6;
        }
    }
    if (code >= 0xd800 && code <= 0xdfff)
        code = 0xfffd;
    *used += utf8_write(out + *used, code);
    return p;
}

size_t jscan_unescape(weir_slice_t text, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = text.p, *end = text.p + text.n;
    size_t used = 0;
    while (p < end) {
        if (*p != '\\' || end - p < 2) {
            out[used++] = *p++;
            continue;
        }
        if (p[1] == 'u' && end - p >= 6) {
            p = unescape_unicode(p, end, out, &used);
            continue;
        }
        const char *at = memchr(from, p[1], sizeof(from) - 1);
        out[used++] = at == NULL ? p[1] : to[at - from];
        p += 2;
    }
    return used;
}

/* How much of the text from `p` on, which begins with a backslash, is one character: a pair of surrogates is. */
static size_t character_length(const char *p, const char *end)
{
    size_t n = escape_length(p, end);
    if (n < 6 || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return n;
    unsigned high = hex4(p + 2), low = hex4(p + 8);
    return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff ? 12 : n;
}

bool jscan_is(jscan_text_t text, weir_slice_t plain)
{
    if (!text.is_escaped)
        return weir_slice_eq(text.text, plain);
    const char *p = text.text.p, *end = p + text.text.n;
    while (p < end) {
        char character[12];
        size_t raw = *p == '\\' ? character_length(p, end) : 1;
        size_t n = jscan_unescape(weir_slice(p, raw), character);
        if (n > plain.n || memcmp(character, plain.p, n) != 0)
            return false;
        plain = weir_slice(plain.p + n, plain.n - n);
        p += raw;
    }
    return plain.n == 0;
}

bool jscan_get(weir_slice_t object, const weir_slice_t *names, weir_slice_t *values, size_t n)
{
    jscan_t j = jscan_over(object);
    jscan_text_t key;
    bool is_over = false;
    for (size_t i = 0; i < n; i++)
        values[i] = (weir_slice_t){NULL, 0};
    for (bool is_first = true;;) {
        weir_slice_t value;
        if (!jscan_member(&j, &is_first, &key, &is_over))
            return false;
        if (is_over)
            return true;
        if (!jscan_value(&j, &value))
            return false;
        for (size_t i = 0; i < n; i++)
            if (jscan_is(key, names[i]))
                values[i] = value;
    }
}

static size_t append(char *out, size_t used, size_t size, const char *p, size_t n)
{
    if (used > size || n > size - used)
        return size + 1;
    memcpy(out + used, p, n);
    return used + n;
}

static size_t append_escape(char *out, size_t used, size_t size, char c)
{
    static const char digits[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', digits[(unsigned char)c >> 4], digits[c & 15]};
    if (c == '"' || c == '\\') {
        text[1] = c;
        return append(out, used, size, text, 2);
    }
    if (c == '\n' || c == '\t') {
        text[1] = c == '\n' ? 'n' : 't';
        return append(out, used, size, text, 2);
    }
    return append(out, used, size, text, 6);
}

size_t jscan_escape(char *out, size_t used, size_t size, weir_slice_t text)
{
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        const char *plain = jscan_plain(p, end);
        used = append(out, used, size, p, (size_t)(plain - p));
        p = plain;
        if (p == end)
            break;
        if ((unsigned char)*p < 0x80) {
            used = append_escape(out, used, size, *p++);
            continue;
        }
        size_t n = utf8_length(p, end);
        used = n > 0 ? append(out, used, size, p, n) : append(out, used, size, "\xef\xbf\xbd", 3);
        p += n > 0 ? n : 1;
    }
    return used;
}
