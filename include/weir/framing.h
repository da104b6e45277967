/* framing.h: how messages are told apart on a stream: a table of functions over a state of its own for each stream.
 *
 * A transport has a framing or takes one of the host's; the host serves clients over it (stream_client_open).
 */
#ifndef WEIR_FRAMING_H
#define WEIR_FRAMING_H

#include "error.h"
#include "exchange.h"

typedef enum weir_found {
    WEIR_FOUND_MORE,     /* nothing whole: fill again */
    WEIR_FOUND_MESSAGE,  /* a message, good until the next call */
    WEIR_FOUND_TOO_LONG, /* one beyond max_message was skipped; told once */
    WEIR_FOUND_LOST,     /* its end: it was the answer to the request whose raw id is in `message` */
    WEIR_FOUND_BROKEN,   /* what comes is no frame; the stream is of no use any more */
} weir_found_t;

/* Where a framing begins. */
typedef struct weir_framing_place {
    const struct weir_host *host;
    weir_stream_t *stream;
    weir_link_t *link;         /* of the connect side, or NULL */
    weir_listener_t *listener; /* of the accept side, or NULL */
    uint64_t max_message;
} weir_framing_place_t;

typedef struct weir_framing {
    size_t state_size; /* zeroed, and given to all others */
    int (*begin)(void *state, const weir_framing_place_t *place, weir_error_t *err);
    /* Read once: the number of bytes, 0 at the end, WEIR_EAGAIN or WEIR_EFAIL. Only after WEIR_FOUND_MORE. */
    long (*fill)(void *state, weir_stream_t *stream);
    weir_found_t (*next)(void *state, weir_chunk_t *message);
    /* One message, made of parts: WEIR_OK, WEIR_EFULL, WEIR_ECLOSED. */
    int (*write)(void *state, weir_stream_t *stream, const weir_chunk_t *parts, size_t n);
    void (*drained)(void *state); /* the stream takes bytes again; NULL: nothing to do */
    void (*finish)(void *state);  /* the stream is about to be closed: write what waits; NULL: nothing does */
    void (*end)(void *state);     /* give back what the state holds */
} weir_framing_t;

/* The clients of a listener whose messages stand on streams. Owned by the transport, which fills in the first part and calls
 * stream_clients_close() before it goes. */
typedef struct weir_stream_clients {
    weir_listener_t *listener;
    const weir_framing_t *framing;
    uint64_t max_message, buffer_limit, send_timeout_ms;
    bool is_patient;           /* the end of what a client sends is not its end: what is in flight is answered first */
    void (*left)(void *owner); /* a client has gone; NULL: nobody wants to know */
    void *owner;
    weir_list_t list; /* the host's, as the next */
    size_t count;
} weir_stream_clients_t;

#endif
