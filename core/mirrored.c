/* mirrored.c: see mirrored.h. */
#include "mirrored.h"

#include "exchange.h"

#define BEFORE WEIR_LIT("=?base64?")
#define BEHIND WEIR_LIT("?=")

static bool is_sentinel(weir_slice_t value)
{
    size_t n = BEFORE.n + BEHIND.n;
    return value.n >= n && weir_slice_starts(value, BEFORE) &&
           memcmp(value.p + value.n - BEHIND.n, BEHIND.p, BEHIND.n) == 0;
}

static bool is_visible(weir_slice_t value)
{
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || (unsigned char)value.p[i] >= 0x7f)
            return false;
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 with its padding: at most `s.n` bytes at `out`, -1 when it is not that. */
static long base64_read(weir_slice_t s, char *out)
{
    char *begin = out;
    uint32_t bits = 0;
    unsigned pad = 0;
    if (s.n % 4 != 0)
        return -1;
    for (; s.n > 0 && s.p[s.n - 1] == '=' && pad < 2; s.n--)
        pad++;
    for (size_t i = 0; i < s.n; i++) {
        int digit = base64_digit(s.p[i]);
        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            *out++ = (char)(bits >> (6 - 2 * (i % 4)));
    }
    return out - begin;
}

static char *base64_write(weir_slice_t s, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < s.n ? (unsigned char)s.p[i + j] : 0u);
        for (size_t j = 0; j < 4; j++)
            *out++ = i + j > s.n ? '=' : digits[bits >> (18 - 6 * j) & 63];
    }
    return out;
}

int mirrored_decode(weir_exchange_t *ex, weir_slice_t *value)
{
    if (!is_visible(*value))
        return WEIR_EFAIL;
    if (!is_sentinel(*value))
        return WEIR_OK;
    weir_slice_t inner = weir_slice(value->p + BEFORE.n, value->n - BEFORE.n - BEHIND.n);
    char *text = exchange_alloc(ex, inner.n + 1);
    long n = text == NULL ? -1 : base64_read(inner, text);
    if (n < 0)
        return WEIR_EFAIL;
    *value = weir_slice(text, (size_t)n);
    return WEIR_OK;
}

int mirrored_encode(weir_exchange_t *ex, weir_slice_t *text)
{
    if (is_visible(*text) && !is_sentinel(*text) && weir_slice_trim(*text).n == text->n)
        return WEIR_OK;
    char *value = exchange_alloc(ex, BEFORE.n + (text->n + 2) / 3 * 4 + BEHIND.n);
    if (value == NULL)
        return WEIR_EFAIL;
    memcpy(value, BEFORE.p, BEFORE.n);
    char *end = base64_write(*text, value + BEFORE.n);
    memcpy(end, BEHIND.p, BEHIND.n);
    *text = weir_slice(value, (size_t)(end + BEHIND.n - value));
    return WEIR_OK;
}
