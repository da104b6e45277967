/* http1_chunked.c: the decoder of chunked bodies (RFC 9112 7.1). It goes byte by byte over size lines and trailers, and in one step over
 * data. A line may end with LF alone; nothing else is lenient.
 *
 *   state     next
 *   SIZE      first digit of a size: DIGITS
 *   DIGITS    digits; `;` or space: EXTENSION; CR: SIZE_LF; LF: DATA, or TRAILER after a size of 0
 *   EXTENSION read over until the line ends
 *   DATA      `left` bytes, then DATA_CR
 *   DATA_CR   CR: DATA_LF; LF: SIZE
 *   TRAILER   at the beginning of a line: an empty one ends the body; anything else: TRAILER_LINE
 */
#include "http1.h"

#define EXTENSION_MAX 1024
#define TRAILER_MAX 16384

typedef enum state {
    SIZE,
    DIGITS,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LF,
    TRAILER_LINE,
} state_t;

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int size_digit(weir_chunked_t *c, char byte)
{
    int value = hex_value(byte);
    if (value < 0 || c->left >> 59 != 0)
        return WEIR_EFAIL;
    c->left = c->left << 4 | (uint64_t)value;
    c->state = DIGITS;
    return WEIR_OK;
}

static int size_done(weir_chunked_t *c)
{
    c->state = c->left == 0 ? TRAILER : DATA;
    c->overhead = 0;
    return WEIR_OK;
}

static int in_digits(weir_chunked_t *c, char byte)
{
    if (byte == '\n')
        return size_done(c);
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (byte == ';' || byte == ' ' || byte == '\t')
        c->state = EXTENSION;
    else
        return size_digit(c, byte);
    return WEIR_OK;
}

static int in_extension(weir_chunked_t *c, char byte)
{
    if (byte == '\n')
        return size_done(c);
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (++c->overhead > EXTENSION_MAX || ((unsigned char)byte < ' ' && byte != '\t'))
        return WEIR_EFAIL;
    return WEIR_OK;
}

static int body_done(weir_chunked_t *c)
{
    c->is_done = 1;
    return WEIR_OK;
}

static int in_trailer(weir_chunked_t *c, char byte)
{
    if (++c->overhead > TRAILER_MAX)
        return WEIR_EFAIL;
    if (byte == '\n')
        return c->state == TRAILER_LINE ? (c->state = TRAILER, WEIR_OK) : body_done(c);
    if (c->state == TRAILER_LF)
        return WEIR_EFAIL;
    if (byte == '\r')
        c->state = c->state == TRAILER ? TRAILER_LF : TRAILER_LINE;
    else
        c->state = TRAILER_LINE;
    return WEIR_OK;
}

static int one_byte(weir_chunked_t *c, char byte)
{
    switch ((state_t)c->state) {
    case SIZE:
        return size_digit(c, byte);
    case DIGITS:
        return in_digits(c, byte);
    case EXTENSION:
        return in_extension(c, byte);
    case SIZE_LF:
        return byte == '\n' ? size_done(c) : WEIR_EFAIL;
    case DATA_CR:
        c->state = byte == '\r' ? DATA_LF : SIZE;
        return byte == '\r' || byte == '\n' ? WEIR_OK : WEIR_EFAIL;
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n' ? WEIR_OK : WEIR_EFAIL;
    case TRAILER:
    case TRAILER_LF:
    case TRAILER_LINE:
        return in_trailer(c, byte);
    case DATA:
        break;
    }
    return WEIR_EFAIL;
}

int http1_chunked_decode(weir_chunked_t *c, const char *p, size_t n, size_t *used, weir_slice_t *data)
{
    size_t at = 0;
    *data = (weir_slice_t){NULL, 0};
    while (at < n && c->state != DATA && !c->is_done)
        if (one_byte(c, p[at++]) != WEIR_OK)
            return WEIR_EFAIL;
    if (at < n && c->state == DATA && !c->is_done) {
        size_t take = n - at < c->left ? n - at : (size_t)c->left;
        *data = weir_slice(p + at, take);
        c->left -= take;
        at += take;
        if (c->left == 0)
            c->state = DATA_CR;
    }
    *used = at;
    return data->n > 0 || c->is_done || at < n ? WEIR_OK : WEIR_EAGAIN;
}
