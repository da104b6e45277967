/* lines.c: newline-delimited messages out of a stream. A line that stands whole in the buffer is handed on where it is; one that
 * does not is moved to the beginning of the buffer, or of a larger one, and waits for its end.
 */
#include "lines.h"

#include "buf.h"
#include "lost.h"

weir_slice_t lines_room(weir_lines_t *lines)
{
    if (lines->buf == NULL) {
        lines->buf = buf_new(0);
        lines->filled = lines->scanned = 0;
    }
    if (lines->buf == NULL)
        return (weir_slice_t){NULL, 0};
    return weir_slice(lines->buf->data + lines->filled, lines->buf->size - lines->filled);
}

void lines_filled(weir_lines_t *lines, size_t n)
{
    lines->filled += n;
}

void lines_free(weir_lines_t *lines)
{
    buf_unref(lines->buf);
    lines->buf = NULL;
    lines->filled = lines->scanned = 0;
}

/* What there is from `at` on, in another buffer. */
static bool lines_move(weir_lines_t *lines, size_t at, size_t size)
{
    weir_buf_t *other = buf_new(size);
    if (other == NULL)
        return false;
    memcpy(other->data, lines->buf->data + at, lines->filled - at);
    buf_unref(lines->buf);
    lines->buf = other;
    return true;
}

/* The rest to the beginning, with room behind it. A buffer that somebody else still reads is not written to. */
static bool lines_make_room(weir_lines_t *lines, size_t at, size_t rest)
{
    size_t size = lines->buf->size;
    if (rest > size - size / 4)
        return lines_move(lines, at, 2 * size);
    if (lines->buf->refs > 1)
        return lines_move(lines, at, size);
    if (at > 0)
        memmove(lines->buf->data, lines->buf->data + at, rest);
    return true;
}

/* Keep the beginning of a line, from `at` on, for the next read. */
static weir_lines_found_t lines_keep(weir_lines_t *lines, size_t at, uint64_t max_message)
{
    size_t rest = lines->filled - at;
    bool ends_with_cr = rest > 0 && lines->buf->data[lines->filled - 1] == '\r'; /* it may be the end's */
    bool is_too_long = !lines->is_skipping && rest - ends_with_cr > max_message;
    if (is_too_long)
        lost_begin(&lines->lost);
    if (is_too_long || lines->is_skipping)
        lost_bytes(&lines->lost, lines->buf->data + at, rest);
    if (rest == 0 || is_too_long || lines->is_skipping) {
        lines->is_skipping = lines->is_skipping || is_too_long;
        lines_free(lines);
        return is_too_long ? WEIR_LINES_TOO_LONG : WEIR_LINES_MORE;
    }
    if (!lines_make_room(lines, at, rest)) {
        lost_begin(&lines->lost);
        lost_bytes(&lines->lost, lines->buf->data + at, rest);
        lines->is_skipping = true;
        lines_free(lines);
        return WEIR_LINES_TOO_LONG;
    }
    lines->filled = lines->scanned = rest;
    return WEIR_LINES_MORE;
}

/* The end of a line that was skipped; `line` is the last of it. */
static weir_lines_found_t lines_skipped(weir_lines_t *lines, weir_slice_t *line)
{
    lost_bytes(&lines->lost, line->p, line->n);
    lines->is_skipping = false;
    *line = lost_answer(&lines->lost);
    return line->n > 0 ? WEIR_LINES_LOST : WEIR_LINES_LINE;
}

weir_lines_found_t lines_next(weir_lines_t *lines, size_t *at, uint64_t max_message, weir_slice_t *line)
{
    if (lines->buf == NULL)
        return WEIR_LINES_MORE;
    char *begin = lines->buf->data + *at, *end = lines->buf->data + lines->filled;
    char *from = *at < lines->scanned ? lines->buf->data + lines->scanned : begin;
    char *lf = memchr(from, '\n', (size_t)(end - from));
    if (lf == NULL)
        return lines_keep(lines, *at, max_message);
    *line = weir_slice(begin, (size_t)(lf - begin));
    if (lines->is_skipping) {
        *at = (size_t)(lf + 1 - lines->buf->data);
        return lines_skipped(lines, line);
    }
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    if (line->n > max_message) {
        lost_begin(&lines->lost);
        lines->is_skipping = true; /* it stands here whole, and is read over in the next call */
        return WEIR_LINES_TOO_LONG;
    }
    *at = (size_t)(lf + 1 - lines->buf->data);
    return WEIR_LINES_LINE;
}
