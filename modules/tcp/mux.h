/* mux.h: the framing `mux`: a link between two weirs that carries the exchanges of many clients at once.
 *
 * A channel is one exchange: what one client asked and all that answers it. The weir that connects (the edge) opens channels, the weir
 * that listens (the inner one) serves each as it serves a client's request, and ends it. Sessions are in no table of either side of the
 * link: the inner weir gives a token, the edge seals it into its own, and any link to the inner weir will do for what comes with
 * it. So a link that breaks fails what is in flight on it and nothing else: the next request of a session opens a channel on another link,
 * and a client that comes back for its stream with Last-Event-ID goes the same way.
 *
 * A frame is a length and a payload (frames.h). A plain payload begins with MUX_MARK, which no codec and no JSON text begins with; then
 * come records: the channel and the size of what follows (varints), a word, and what the word says.
 *
 *   word    from   channel  holds                                                    means
 *   HELLO   both   0        version, channels, max_message, window                   the first record of each end
 *   PING    edge   0        -                                                        are you there
 *   PONG    inner  0        -                                                        yes
 *   LEAVE   inner  0        -                                                        open no more channels here
 *   OPEN    edge   free     flags, session, where, who, principal, head, message     serve this
 *   CREDIT  edge   open     bytes                                                    so many of the reply were taken
 *   CANCEL  edge   open     -                                                        nobody waits for it any more
 *   HEAD    inner  open     status, length, fields, the first bytes of the body      the reply begins
 *   DATA    inner  open     bytes of the body                                        and goes on
 *   END     inner  open     -                                                        it is over, also after a CANCEL
 *   FAIL    inner  open     reason, seconds of Retry-After, text                     it has failed
 *
 * A channel's last record comes from the inner weir: END, FAIL, or the byte that makes the body as long as its head said. Then its number is
 * free again. So CREDIT and CANCEL may find their channel closed, and are skipped then; anything else that names a channel which is not open is
 * an error, and ends the link.
 *
 *   edge's channel   event                     next       what happens
 *   -                send                      OPEN       OPEN is written
 *   -                send, no channel free,    QUEUED     sent when there is one, and the link takes bytes again
 *                    or the link is full
 *   QUEUED           abandon                   -
 *   OPEN             HEAD                      REPLYING   reply_head, reply_bytes
 *   REPLYING         DATA                      REPLYING   reply_bytes; CREDIT when a quarter of the window was taken
 *   OPEN, REPLYING   END, FAIL, the last byte  -          reply_end, exchange_fail
 *   OPEN, REPLYING   abandon                   CANCELLED  CANCEL is written
 *   CANCELLED        END, FAIL, the last byte  -          the number is free again
 *   QUEUED           the link breaks           -          goes to another link: the other weir has not seen it
 *   OPEN             the link breaks before    -          likewise
 *                    the kernel had any of it
 *   OPEN, REPLYING   the link breaks           -          fails: server_died
 *
 *   inner channel    event                     next       what happens
 *   -                OPEN                      OPEN       exchange_start
 *   OPEN             reply                     OPEN       HEAD, DATA; beyond the window the reply's source is paused
 *   OPEN             CREDIT                    OPEN       goes on when less than half of the window is under way
 *   OPEN             reply_end, fail           -          END, FAIL
 *   OPEN             CANCEL, the link breaks   -          exchange_abandon
 *
 * Who a client is (its principal) the edge knows, and the inner weir has only its word for it. It takes the word of a link whose own
 * certificate names one of the listener's `edges`; on any other its clients are nobody in particular, and never the edge itself.
 *
 * A health check (flag) is answered by the inner weir itself, by an empty reply: it asks after the weir, not after its servers.
 *
 * Both weirs stay without a queue of their own: what has been read is passed on in the same turn. A client that does not read stops the
 * credit of its channel, which stops what it reads from at the inner weir, and nobody else.
 */
#ifndef WEIR_TCP_MUX_H
#define WEIR_TCP_MUX_H

#include "frames.h"

#define MUX_VERSION 1
#define MUX_MARK 0x01
/* What a payload may hold beyond one message: heads, and other messages that were gathered with it. */
#define MUX_BESIDE (256u << 10)
/* A head, of a request or a reply, is made in memory of this size. */
#define MUX_HEAD_ROOM (64u << 10)

typedef enum mux_word {
    MUX_HELLO = 0x01,
    MUX_PING = 0x02,
    MUX_PONG = 0x03,
    MUX_LEAVE = 0x04,
    MUX_OPEN = 0x10,
    MUX_CREDIT = 0x11,
    MUX_CANCEL = 0x12,
    MUX_HEAD = 0x20,
    MUX_DATA = 0x21,
    MUX_END = 0x22,
    MUX_FAIL = 0x23,
} mux_word_t;

extern const weir_joiner_t mux_joiner;

/* ---- writing: into memory of the owner; what does not fit sets is_over ---- */

typedef struct mux_out {
    char *p;
    size_t n, size;
    bool is_over;
} mux_out_t;

void mux_out_byte(mux_out_t *out, uint8_t byte);
void mux_out_number(mux_out_t *out, uint64_t number);
void mux_out_text(mux_out_t *out, weir_slice_t text);

/* ---- reading: what is not there sets is_broken, and is empty ---- */

typedef struct mux_in {
    weir_slice_t rest;
    bool is_broken;
} mux_in_t;

uint8_t mux_in_byte(mux_in_t *in);
uint64_t mux_in_number(mux_in_t *in);
weir_slice_t mux_in_text(mux_in_t *in);

/* ---- records ---- */

typedef struct mux_hello {
    uint64_t version;
    uint64_t channels;    /* that the writer serves at once; an edge: 0 */
    uint64_t max_message; /* the longest record that it takes */
    uint64_t window;      /* bytes of a reply that it takes before it has passed any on; an inner weir: 0 */
} mux_hello_t;

int mux_write_hello(frames_t *frames, const mux_hello_t *hello);
int mux_in_hello(mux_in_t *in, mux_hello_t *hello, weir_error_t *err);

/* A request without its head and message. The slices are of the record. */
typedef struct mux_open {
    weir_verb_t verb;
    weir_era_t era;
    bool is_tls, has_head, is_checkup;
    weir_slice_t session, peer, target, principal;
    weir_slice_t host, last_event_id, authorization, revision; /* of a client without a head */
} mux_open_t;

/* `is_read_here`: the reply is to come as it can be read, not compressed. */
void mux_out_open(mux_out_t *out, const mux_open_t *open, const weir_head_t *head, bool is_read_here);
/* `head` is filled in when the client had one. What is left of `in` is the message. */
int mux_in_open(mux_in_t *in, mux_open_t *open, weir_head_t *head, weir_error_t *err);

/* What is left of `in` is the beginning of the body. */
void mux_out_reply(mux_out_t *out, const weir_reply_t *reply);
int mux_in_reply(mux_in_t *in, weir_head_t *head, weir_error_t *err);

int mux_write_word(frames_t *frames, uint64_t channel, mux_word_t word);
int mux_write_credit(frames_t *frames, uint64_t channel, uint64_t bytes);

#endif
