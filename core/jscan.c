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

/* An escape, or a character beyond ASCII. */
static inline size_t character_length(const char *p, const char *end)
{
    return *p == '\\' ? escape_length(p, end) : utf8_length(p, end);
}

size_t jscan_character(const char *p, const char *end)
{
    return character_length(p, end);
}

/* A string that has more than plain bytes in it: `p` stands at the first other one. On its own, so that the other kind has no frame. */
__attribute__((noinline)) static bool string_rest(jscan_t *j, const char *begin, const char *p, jscan_text_t *out)
{
    out->is_escaped = false;
    while (p < j->end && *p != '"') {
        size_t n = character_length(p, j->end);
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
