/* channel.h: the stream between a worker and a keeper, and what goes over it.
 *
 * Both ends are the same program on the same machine: numbers are in host order. A frame is a head and a payload. Exchanges of a
 * channel are numbered by the worker; a number is used once.
 *
 *   word     from    argument   payload                                          means
 *   CALL     worker  verb, era  call head, last event id, message                serve this
 *                               MIRRORED: fields (param.h) in the place of the last event id
 *                               SCANNED: places (places.h) behind the call head
 *                               NAMED: principal and address of the client, a byte for the length before each, behind these
 *   CANCEL   worker  reason     -                                                its exchange has ended; nobody waits
 *   PAUSE    worker  1 or 0     -                                                the client is full, takes bytes again
 *   SESSION  keeper  -          session id, negotiated revision                  the reply grants this session
 *   ACCEPTED keeper  status     -                                                taken; there is no answer
 *   STREAM   keeper  -          -                                                an event stream, before its first event
 *   MESSAGE  keeper  status     event id, message; FINAL: the exchange has ended
 *   END      keeper  -          -                                                the stream has ended
 *   FAIL     keeper  reason     seconds of Retry-After, text                     the exchange has failed
 *
 * POST, POSTED and LEFT are of no exchange; see postbox.h.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "exchange.h"

typedef enum frame_word {
    FRAME_CALL = 1,
    FRAME_CANCEL,
    FRAME_PAUSE,
    FRAME_SESSION,
    FRAME_ACCEPTED,
    FRAME_STREAM,
    FRAME_MESSAGE,
    FRAME_END,
    FRAME_FAIL,
    FRAME_POST,
    FRAME_POSTED,
    FRAME_LEFT,
} frame_word_t;

#define FRAME_FINAL 0x1u       /* MESSAGE: the last one */
#define FRAME_HAS_SESSION 0x2u /* CALL: of a session */
#define FRAME_MIRRORED 0x4u    /* CALL: its client repeats parameters in fields of its head */
#define FRAME_SCANNED 0x8u     /* CALL: what the worker has found in the message comes with it */
#define FRAME_NAMED 0x10u      /* CALL: who the client is comes with it, for a choice among servers */

typedef struct frame {
    uint32_t n; /* bytes of payload */
    uint8_t word;
    uint8_t flags;
    uint16_t arg; /* see the table; MESSAGE: HTTP status; CALL: verb | era << 8 */
    uint32_t id;  /* exchange */
    uint32_t
        extra; /* CALL: bytes of last event id, or of fields; MESSAGE: of event id; SESSION: of revision; FAIL: of seconds */
} frame_t;

/* What a CALL's payload begins with. */
typedef struct call_head {
    uint64_t upstream; /* digest of its definition: two configurations may live in a keeper at once */
    uint8_t session[16];
} call_head_t;

/* One end of a channel: reads whole frames. */
typedef struct wire {
    weir_stream_t *stream;
    weir_buf_t *in; /* what has been read and not taken yet */
    size_t from, to;
    weir_buf_t *joined; /* small frames of this turn */
    size_t njoined;
    weir_timer_t flush;
    void *owner;
    void (*frame)(void *owner, const frame_t *frame, weir_slice_t payload); /* the payload may be written to */
    void (*drained)(void *owner);
    void (*gone)(void *owner, const char *why);
} wire_t;

int wire_open(wire_t *wire, int fd, uint64_t limit, weir_error_t *err);
void wire_close(wire_t *wire);
/* Write one frame, at the end of the turn at the latest; frame->n is set here. WEIR_EFULL as streams say. */
int wire_write(wire_t *wire, frame_t *frame, const weir_chunk_t *parts, size_t n);

/* Who takes the frames that are of no exchange, and hears when a keeper is down. */
typedef struct channel_post {
    void (*frame)(wire_t *wire, const frame_t *frame, weir_slice_t payload);
    void (*lost)(int keeper);
} channel_post_t;

/* The worker's end. A channel to each keeper; `fd` -1: the keeper is down, channel_connect() follows. */
int channels_new(const int *fds, size_t n, const channel_post_t *post);
void channels_free(void);
int channel_connect(size_t keeper, int fd, weir_error_t *err);
/* Whether a kept upstream can be asked: one of the keepers is up. */
bool channels_are_up(void);

/* How exchanges of kept upstreams are carried: to the keeper that their session, or chance, chooses. */
extern const struct carrier channel_carrier;

/* Send a frame of no exchange to a keeper that is up, the same one for the same number. Which one, or -1: none is. */
int channel_relay(uint32_t number, frame_t *frame, const weir_chunk_t *parts, size_t n);

#endif
