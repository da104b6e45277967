/* stream_inside.h: what a stream is, for stream.c, stream_open.c, stream_life.c and stream_out.c; nobody else includes it. */
#ifndef STREAM_INSIDE_H
#define STREAM_INSIDE_H

#include <assert.h>
#include <ev.h>
#include <openssl/ssl.h>

#include "stream.h"
#include "timer.h"

#define STREAM_MAGIC 0x5354524du
#define STREAM_PEER_MAX 46 /* INET6_ADDRSTRLEN */

/* See stream_life.c for what happens in each. */
typedef enum stream_state {
    STREAM_DIALING,   /* resolving, connecting */
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
    uint8_t peer_len, principal_len;
    int wfd;                            /* the same as the one that is read, unless is_pipes */
    struct ev_io io;                    /* reading; connecting and handshaking also use it to wait for room */
    weir_list_t leaving;                /* FINISHING, LINGERING: in proc->leaving */
    weir_timer_t timer;                 /* connect, send or linger time-out; in BROKEN and CLOSED the turn's end */
    const weir_stream_events_t *events; /* NULL: nobody is told */
    void *owner;
    struct out *out;                /* NULL: nothing is queued */
    SSL *ssl;                       /* NULL: plain */
    struct dial *dial;              /* until the stream is open */
    char *why;                      /* BROKEN: the reason that is to be told */
    char *principal;                /* of the client's certificate; NULL: it had to show none */
    weir_timeouts_t *send_timeouts; /* NULL: the other end may take its time */
    uint64_t limit_bytes;
    uint64_t taken_bytes; /* that the kernel has taken */
    char peer[STREAM_PEER_MAX];
};

/* A stale pointer is caught where it is used. */
static inline void stream_check(const weir_stream_t *s)
{
    assert(s != NULL && s->magic == STREAM_MAGIC && s->state != STREAM_CLOSED);
}

/* stream.c */

/* Ask for `readable` as long as the owner wants it and there can be something. */
void stream_want_reading(weir_stream_t *s);

/* stream_life.c */
void stream_move(weir_stream_t *s, stream_state_t next);
/* What `io` waits for: a system call in this turn when it changes. */
void stream_wait_for(weir_stream_t *s, int events);
void stream_break(weir_stream_t *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of one that broke, and has not been told so yet: there is a better reason. */
void stream_why(weir_stream_t *s, const char *why);
void stream_wait_for_room(weir_stream_t *s); /* something is queued: it goes when it can */
void stream_gathered(weir_stream_t *s);      /* what is queued goes at the end of this turn */
void stream_hurry(weir_stream_t *s);         /* what was gathered leaves now, as far as the kernel takes it */
void stream_drop_late(weir_stream_t *s);     /* LINGERING: what still arrives is read over */
void stream_dial_over(weir_stream_t *s);
void stream_close_fds(int rfd, int wfd);

/* stream_out.c */

/* Write; what the kernel does not take is queued. WEIR_OK, WEIR_EFULL, or WEIR_EFAIL with why the stream has to break. */
int out_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n, weir_error_t *err);
/* Only queue. */
int out_queue(weir_stream_t *s, const weir_chunk_t *chunks, size_t n, weir_error_t *err);
/* Write what is queued: how many bytes went, or WEIR_EFAIL. */
long out_flush(weir_stream_t *s, weir_error_t *err);
void out_free(weir_stream_t *s);

#endif
