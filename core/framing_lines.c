/* framing_lines.c: one message a line (2026-07-28, "Custom Transports"; stdio in all revisions). */
#include "framing_lines.h"

#include "lines.h"
#include "stream.h"

#define PARTS_MAX 16

typedef struct line_state {
    weir_lines_t lines;
    size_t at; /* of what was read: handed out */
    uint64_t max_message;
} line_state_t;

static int lines_begin(void *state, const weir_framing_place_t *place, weir_error_t *err)
{
    (void)err;
    ((line_state_t *)state)->max_message = place->max_message;
    stream_gather(place->stream);
    return WEIR_OK;
}

static void lines_end(void *state)
{
    line_state_t *s = state;
    lines_free(&s->lines);
    s->at = 0;
}

static long lines_fill(void *state, weir_stream_t *stream)
{
    line_state_t *s = state;
    weir_slice_t room = lines_room(&s->lines);
    long n = room.n == 0 ? WEIR_EFAIL : stream_read(stream, (char *)room.p, room.n);
    s->at = 0;
    if (n > 0)
        lines_filled(&s->lines, (size_t)n);
    else if (s->lines.filled == 0)
        lines_end(s);
    return n;
}

static weir_found_t lines_find(void *state, weir_chunk_t *message)
{
    line_state_t *s = state;
    weir_slice_t line;
    for (;;) {
        switch (lines_next(&s->lines, &s->at, s->max_message, &line)) {
        case WEIR_LINES_MORE:
            s->at = 0;
            return WEIR_FOUND_MORE;
        case WEIR_LINES_TOO_LONG:
            return WEIR_FOUND_TOO_LONG;
        case WEIR_LINES_LOST:
            *message = (weir_chunk_t){.bytes = line};
            return WEIR_FOUND_LOST;
        case WEIR_LINES_LINE:
            *message = (weir_chunk_t){.bytes = line, .buf = s->lines.buf};
            if (line.n > 0)
                return WEIR_FOUND_MESSAGE;
        }
    }
}

static int lines_write(void *state, weir_stream_t *stream, const weir_chunk_t *parts, size_t n)
{
    weir_chunk_t chunks[PARTS_MAX];
    (void)state;
    if (n >= PARTS_MAX)
        return WEIR_ECLOSED;
    for (size_t i = 0; i < n; i++)
        chunks[i] = parts[i];
    chunks[n] = (weir_chunk_t){.bytes = WEIR_LIT("\n")};
    return stream_write(stream, chunks, n + 1);
}

const weir_framing_t framing_lines = {
    .state_size = sizeof(line_state_t),
    .begin = lines_begin,
    .fill = lines_fill,
    .next = lines_find,
    .write = lines_write,
    .end = lines_end,
};
