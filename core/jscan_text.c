/* jscan_text.c: what a JSON string says: escapes resolved, compared with plain text, put where JSON asks for them; and members of an object
 * found by what their keys say.
 */
#include "jscan.h"

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
static size_t whole_character(const char *p, const char *end)
{
    size_t n = jscan_character(p, end);
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
        size_t raw = *p == '\\' ? whole_character(p, end) : 1;
        size_t n = jscan_unescape(weir_slice(p, raw), character);
        if (n > plain.n || memcmp(character, plain.p, n) != 0)
            return false;
        plain = weir_slice(plain.p + n, plain.n - n);
        p += raw;
    }
    return plain.n == 0;
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
        size_t n = jscan_character(p, end);
        used = n > 0 ? append(out, used, size, p, n) : append(out, used, size, "\xef\xbf\xbd", 3);
        p += n > 0 ? n : 1;
    }
    return used;
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
