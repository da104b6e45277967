/* tcp.h: what the files of the tcp transport share.
 *
 * A connection carries messages both ways, over TCP or a Unix socket, plain or over TLS. On the accept side it is a client's, on the
 * connect side a link. Both cut the stream by the same framer.
 */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include <weir/module.h>

typedef enum framing {
    FRAMING_NDJSON, /* one message a line (2026-07-28, "Custom Transports") */
} framing_t;

extern const char *const framing_names[];

/* Cuts what a stream brings into messages, and writes messages to it. Owns a buffer only while a frame is incomplete. */
typedef struct framer {
    const weir_host_t *host;
    framing_t framing;
    uint64_t max_message;
    weir_lines_t lines;
    size_t at; /* of what was read: handed out */
} framer_t;

typedef enum framer_found {
    FRAMER_MORE,     /* nothing whole: read again */
    FRAMER_MESSAGE,  /* a message, good until the next call */
    FRAMER_TOO_LONG, /* one beyond max_message was skipped; told once */
} framer_found_t;

/* Read once. The number of bytes, 0 at the end, WEIR_EAGAIN or WEIR_EFAIL. Only after FRAMER_MORE. */
long framer_fill(framer_t *framer, weir_stream_t *stream);
framer_found_t framer_next(framer_t *framer, weir_chunk_t *message);
int framer_write(framer_t *framer, weir_stream_t *stream, const weir_chunk_t *parts, size_t n);
void framer_free(framer_t *framer);

extern const weir_accept_t tcp_accept;
extern const weir_connect_t tcp_connect;

#endif
