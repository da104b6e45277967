/* http1_chunked.c: the decoder of chunked bodies (RFC 9112 7.1). It goes byte by byte over size lines and trailers, and in one step over
 * data. Nothing is lenient: that a line may end with LF alone (2.2) is said of start lines and fields, and two readers who disagree
 * about where a chunk ends see two different messages.
 *
 *   state        next
 *   SIZE         first digit of a size: DIGITS
 *   DIGITS       digits; space: SIZE_SPACE; `;`: EXTENSION; CR: SIZE_LF
 *   SIZE_SPACE   spaces; `;`: EXTENSION; CR: SIZE_LF
 *   EXTENSION    read over; CR: SIZE_LF
 *   SIZE_LF      LF: DATA, or TRAILER after a size of 0
 *   DATA         `left` bytes, then DATA_CR
 *   DATA_CR      CR: DATA_LF
 *   DATA_LF      LF: SIZE
 *   TRAILER      at the beginning of a line; CR: END_LF; anything else: TRAILER_LINE
 *   TRAILER_LINE read over; CR: TRAILER_LF
 *   TRAILER_LF   LF: TRAILER
 *   END_LF       LF: the body is done
 */
#include "http1.h"

#define SIZE_LINE_MAX 1024
#define TRAILER_MAX 16384

typedef enum state {
    SIZE,
    DIGITS,
    SIZE_SPACE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LINE,
    TRAILER_LF,
    END_LF,
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

/* Go on to `next` if the byte is the one that has to come. */
static int expect(weir_chunked_t *c, char byte, char expected, state_t next)
{
    c->state = (uint8_t)next;
    return byte == expected ? WEIR_OK : WEIR_EFAIL;
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

/* The size line from its second byte to its CR. */
static int in_size_line(weir_chunked_t *c, char byte)
{
    if (++c->overhead > SIZE_LINE_MAX)
        return WEIR_EFAIL;
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (c->state == EXTENSION)
        return (unsigned char)byte < ' ' && byte != '\t' ? WEIR_EFAIL : WEIR_OK;
    else if (byte == ';')
        c->state = EXTENSION;
    else if (byte == ' ' || byte == '\t')
        c->state = SIZE_SPACE;
    else
        return c->state == DIGITS ? size_digit(c, byte) : WEIR_EFAIL;
    return WEIR_OK;
}

static int in_trailer(weir_chunked_t *c, char byte)
{
    if (++c->overhead > TRAILER_MAX)
        return WEIR_EFAIL;
    if (byte == '\r')
        c->state = c->state == TRAILER ? END_LF : TRAILER_LF;
    else if ((unsigned char)byte < ' ' && byte != '\t')
        return WEIR_EFAIL;
    else
        c->state = TRAILER_LINE;
    return WEIR_OK;
}

static int size_done(weir_chunked_t *c, char byte)
{
    c->overhead = 0;
    return expect(c, byte, '\n', c->left == 0 ? TRAILER : DATA);
}

static int body_done(weir_chunked_t *c, char byte)
{
    c->is_done = byte == '\n';
    return c->is_done ? WEIR_OK : WEIR_EFAIL;
}

static int one_byte(weir_chunked_t *c, char byte)
{
    switch ((state_t)c->state) {
    case SIZE:
        return size_digit(c, byte);
    case DIGITS:
    case SIZE_SPACE:
    case EXTENSION:
        return in_size_line(c, byte);
    case SIZE_LF:
        return size_done(c, byte);
    case DATA_CR:
        return expect(c, byte, '\r', DATA_LF);
    case DATA_LF:
        return expect(c, byte, '\n', SIZE);
    case TRAILER:
    case TRAILER_LINE:
        return in_trailer(c, byte);
    case TRAILER_LF:
        return expect(c, byte, '\n', TRAILER);
    case END_LF:
        return body_done(c, byte);
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
