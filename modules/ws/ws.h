/* ws.h: what the files of the ws transport share (RFC 6455, framing by libwslay; RFC 7692 by zlib).
 *
 * One message a text message. A socket_t is the WebSocket on a stream, on either side; handshake.c is what comes before it.
 */
#ifndef WEIR_WS_H
#define WEIR_WS_H

#include <wslay/wslay.h>

#include <weir/module.h>

/* ---- deflate.c: permessage-deflate without context takeover, so that one pair of zlib streams serves all sockets; and what it saves,
 * counted of the sockets that agreed on it ---- */

typedef struct deflater deflater_t;

/* Of an upstream, or of a listener (`upstream` NULL). NULL with the reason. */
deflater_t *deflater_new(const weir_host_t *host, weir_upstream_t *upstream, const weir_listener_t *listener,
                         weir_error_t *err);
void deflater_free(deflater_t *d);
/* A message that goes out. The result stands in memory of the deflater until the next call; an empty slice when it is better sent as
 * it is. */
weir_slice_t deflater_pack(deflater_t *d, weir_slice_t bytes);
/* One that came packed; likewise, an empty slice when it is broken, or would be larger than `limit`. */
weir_slice_t deflater_unpack(deflater_t *d, weir_slice_t bytes, uint64_t limit, bool *is_too_large);
/* One that came as it is. */
void deflater_passed(deflater_t *d, size_t bytes);
void deflater_tell(const deflater_t *d, weir_status_t *status); /* NULL: nothing */

extern const weir_figure_t ws_figures[];

/* ---- socket.c ---- */

#define MASKS_SIZE 256

typedef struct socket_events {
    void (*message)(void *owner, weir_slice_t text); /* may end the socket */
} socket_events_t;

typedef struct socket {
    const weir_host_t *host;
    weir_stream_t *stream; /* NULL: ended */
    wslay_event_context_ptr wslay;
    const socket_events_t *events;
    void *owner;
    deflater_t *deflater; /* NULL: not negotiated */
    uint64_t max_message;
    weir_buf_t *rest; /* what was read behind the handshake */
    size_t rest_at, rest_n;
    uint8_t masks[MASKS_SIZE]; /* random bytes for the next keys, from `masks_at` on */
    size_t masks_at;
    char *joined; /* a message made of parts */
    size_t joined_size;
    int written;                        /* what the stream said to the last write */
    bool is_eof, is_paused, is_awaited; /* awaited: the answer to a ping */
} socket_t;

/* `rest`: bytes behind the handshake, copied. WEIR_EFAIL when there is no memory. The stream stays the caller's to close. */
int socket_open(socket_t *s, const weir_host_t *host, weir_stream_t *stream, bool is_client, deflater_t *deflater,
                uint64_t max_message, const socket_events_t *events, void *owner, weir_slice_t rest);
/* Read on: WEIR_OK, or WEIR_ECLOSED when the other end has said goodbye, broke the protocol (it has been told) or has gone. */
int socket_read(socket_t *s);
/* One text message: WEIR_OK, WEIR_EFULL, WEIR_ECLOSED. */
int socket_write(socket_t *s, const weir_chunk_t *parts, size_t n);
/* Say goodbye with a status code (RFC 6455, 7.4.1); then the stream may be finished. */
void socket_close(socket_t *s, uint16_t code, const char *why);
/* Ask whether the other end is there. False: it did not answer the last time. */
bool socket_ping(socket_t *s);
/* Forget the stream, at once; the memory goes with socket_free(), when nothing of it is on the stack. */
void socket_forget(socket_t *s);
void socket_free(socket_t *s);

#define CLOSE_NORMAL 1000
#define CLOSE_GOING_AWAY 1001
#define CLOSE_PROTOCOL_ERROR 1002
#define CLOSE_BAD_TYPE 1003
#define CLOSE_BAD_DATA 1007
#define CLOSE_TOO_LARGE 1009

/* ---- handshake.c ---- */

#define KEY_SIZE 24    /* base64 of 16 bytes */
#define ACCEPT_SIZE 28 /* base64 of a SHA-1 */

/* A field of a head by name; empty when absent. */
weir_slice_t head_value(const weir_head_t *head, weir_slice_t name);
/* Whether a comma-separated field has a token, in any case. */
bool has_token(weir_slice_t list, weir_slice_t token);
void handshake_accept(weir_slice_t key, char accept[ACCEPT_SIZE + 1]);
void handshake_key(char key[KEY_SIZE + 1]);
/* Whether an offer (or an answer) of extensions has permessage-deflate in a form that we speak. */
bool offers_deflate(weir_slice_t extensions);

extern const weir_accept_t ws_accept;
extern const weir_connect_t ws_connect;

#endif
