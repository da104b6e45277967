/* framer.c: see tcp.h. */
#include "tcp.h"

#define PARTS_MAX 16

long framer_fill(framer_t *framer, weir_stream_t *stream)
{
    weir_slice_t room = framer->host->lines_room(&framer->lines);
    long n = room.n == 0 ? WEIR_EFAIL : framer->host->stream_read(stream, (char *)room.p, room.n);
    framer->at = 0;
    if (n > 0)
        framer->host->lines_filled(&framer->lines, (size_t)n);
    else if (framer->lines.filled == 0)
        framer_free(framer);
    return n;
}

framer_found_t framer_next(framer_t *framer, weir_chunk_t *message)
{
    weir_slice_t line;
    for (;;) {
        switch (framer->host->lines_next(&framer->lines, &framer->at, framer->max_message, &line)) {
        case WEIR_LINES_MORE:
            framer->at = 0;
            return FRAMER_MORE;
        case WEIR_LINES_TOO_LONG:
            return FRAMER_TOO_LONG;
        case WEIR_LINES_LINE:
            *message = (weir_chunk_t){.bytes = line, .buf = framer->lines.buf};
            if (line.n > 0)
                return FRAMER_MESSAGE;
        }
    }
}

int framer_write(framer_t *framer, weir_stream_t *stream, const weir_chunk_t *parts, size_t n)
{
    weir_chunk_t chunks[PARTS_MAX];
    if (n >= PARTS_MAX)
        return WEIR_ECLOSED;
    for (size_t i = 0; i < n; i++)
        chunks[i] = parts[i];
    chunks[n] = (weir_chunk_t){.bytes = WEIR_LIT("\n")};
    return framer->host->stream_write(stream, chunks, n + 1);
}

void framer_free(framer_t *framer)
{
    framer->host->lines_free(&framer->lines);
    framer->at = 0;
}
