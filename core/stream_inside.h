/* stream_inside.h: what a stream is, for stream.c, stream_out.c and dial.c; nobody else includes it. */
#ifndef STREAM_INSIDE_H
#define STREAM_INSIDE_H

#include <ev.h>
#include <openssl/ssl.h>

#include "stream.h"
#include "timer.h"

#define STREAM_MAGIC 0x5354524du
#define STREAM_PEER_MAX 46 /* INET6_ADDRSTRLEN */

/* See stream.c for what happens in each. */
typedef enum stream_state {
    STREAM_DIALING,   /* dial.c: resolving, connecting */
    STREAM_HANDSHAKE, /* TLS, both sides */
    STREAM_OPEN,
    STREAM_FINISHING, /* the queue is being written, then LINGERING */
    STREAM_LINGERING, /* our end is shut; what still arrives is read and dropped */
    STREAM_BROKEN,    /* the owner has been told, or is about to be */
    STREAM_CLOSED,    /* freed at the end of the turn */
} stream_state_t;

struct dial;

/* What is queued, with the watcher that waits for room. Exists only while something is queued. */
struct out {
    struct ev_io writable;
    weir_chunk_t *chunks; /* those from `first` on */
    uint32_t first, count, room;
    size_t bytes;
    size_t spare;     /* bytes left behind the last chunk in a buffer of our own, to copy into */
    bool is_full;     /* WEIR_EFULL was said, `drained` is owed */
    bool is_retry;    /* OpenSSL wants the same bytes again */
    bool is_gathered; /* all of it is of this turn, and the kernel has not been asked to take it */
    weir_timer_t leave;
};

/* Idle streams are what weir has most of: this stays small, and everything that is needed only at times is behind a pointer. */
struct weir_stream {
    uint32_t magic;
    uint8_t state; /* stream_state_t; changed by stream_move() alone */
    bool is_paused : 1;
    bool is_read_over : 1; /* the end, or an error, has been read */
    bool has_ended : 1;    /* it was the end that was read: the other side has shut its own */
    bool is_pipes : 1;
    bool gathers : 1; /* what is written in one turn leaves together */
    uint8_t peer_len;
    int wfd;                            /* the same as the one that is read, unless is_pipes */
    struct ev_io io;                    /* reading; connecting and handshaking also use it to wait for room */
    weir_list_t leaving;                /* FINISHING, LINGERING: in proc->leaving */
    weir_timer_t timer;                 /* connect, send or linger time-out; in BROKEN and CLOSED the turn's end */
    const weir_stream_events_t *events; /* NULL: nobody is told */
    void *owner;
    struct out *out; /* NULL: nothing is queued */
    SSL *ssl;        /* NULL: plain */
    struct dial *dial;
    char *why;                      /* BROKEN: the reason that is to be told */
    weir_timeouts_t *send_timeouts; /* NULL: the other end may take its time */
    uint64_t limit_bytes;
    uint64_t taken_bytes; /* that the kernel has taken */
    char peer[STREAM_PEER_MAX];
};

/* stream.c */
weir_stream_t *stream_new(int rfd, int wfd, weir_error_t *err);
void stream_move(weir_stream_t *s, stream_state_t next);
void stream_break(weir_stream_t *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void stream_set_fd(weir_stream_t *s, int fd); /* of a stream that had none; -1: it has none any more */
void stream_set_peer(weir_stream_t *s, const struct sockaddr *peer, socklen_t len);
void stream_established(weir_stream_t *s); /* the connection stands: handshake, or open */
void stream_wait_for(weir_stream_t *s, int events);
void stream_out_empty(weir_stream_t *s); /* everything queued has been written */

/* stream_out.c */
int out_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n);
void out_start(weir_stream_t *s); /* begin to write what was queued before the stream was open */
void out_hurry(weir_stream_t *s); /* what was gathered leaves now, as far as the kernel takes it */
void out_free(weir_stream_t *s);

/* dial.c */
void dial_connected(weir_stream_t *s);  /* the stream is open: the dial is over */
bool dial_is_pending(weir_stream_t *s); /* a handshake of a dialled stream */
void dial_event(weir_stream_t *s);      /* the socket that connects is ready */
void dial_free(weir_stream_t *s);
const char *dial_name(const weir_stream_t *s); /* whom we dial, for errors */

#endif
