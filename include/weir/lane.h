/* lane.h: what lies between the messages and the frames of one stream, in both directions, on a link as on a client's connection.
 *
 *   out   message → joined with others (a link module that gathers) → packed (link modules that pack) → one frame of the transport
 *   in    frame → expanded, told by its first bytes → cut into messages, in their order
 *
 * What is joined and packed follows from the chain of the upstream, or of the listener; what comes in is taken apart whatever is
 * configured. The bytes of a frame are its payload; what marks frames in the stream (a length, a newline) is the transport's.
 */
#ifndef WEIR_LANE_H
#define WEIR_LANE_H

#include "coding.h"
#include "error.h"
#include "exchange.h"
#include "option.h"

typedef struct weir_lane weir_lane_t;
struct weir_host;

/* How messages stand in a payload. A plain payload must not begin like that of any codec (weir_codec_t.magic). All functions but
 * `next` may be NULL: nothing stands there. */
#define WEIR_JOIN_MAX 32
typedef struct weir_joiner {
    /* What stands before message number n, from 0, and around all of `count`: up to WEIR_JOIN_MAX bytes at p. The number of them. */
    size_t (*before)(char *p, uint32_t n, uint64_t tag, size_t message_bytes);
    size_t (*begin)(char *p, uint32_t count);
    size_t (*end)(char *p, uint32_t count);
    /* Take message number n off `rest`, which is a whole payload at first. WEIR_OK, WEIR_EAGAIN when there is none left, or
     * WEIR_EFAIL with the reason. */
    int (*next)(weir_slice_t *rest, uint32_t n, weir_slice_t *message, uint64_t *tag, weir_error_t *err);
    bool is_lines; /* a newline inside a message, which JSON allows between tokens, is written as a space */
} weir_joiner_t;

/* Joiners that the host has. */
typedef enum weir_join {
    WEIR_JOIN_LINES, /* newlines between messages */
    WEIR_JOIN_ARRAY, /* one message alone as it is, several as a JSON array */
} weir_join_t;

/* A message is given in up to this many parts; a frame has up to three chunks more. */
#define WEIR_LANE_PARTS 16
#define WEIR_LANE_CHUNKS (WEIR_LANE_PARTS + 3)

typedef struct weir_lane_spec {
    weir_link_t *link;         /* whose upstream's chain says what happens to messages; or NULL, and */
    weir_listener_t *listener; /* whose chain does */
    const weir_joiner_t *joiner;
    uint64_t max_message; /* no payload is expanded beyond this */
    /* Write one frame; result and life of the chunks as with stream_write. May be called at the end of the turn, or later. Must
     * not free the lane. */
    int (*frame)(void *owner, const weir_chunk_t *chunks, size_t n);
    void *owner;
} weir_lane_spec_t;

/* Why a payload was sent. */
typedef enum weir_flush {
    WEIR_FLUSH_SIZE,     /* max_messages */
    WEIR_FLUSH_BYTES,    /* max_bytes */
    WEIR_FLUSH_TIME,     /* it has waited long enough */
    WEIR_FLUSH_TURN,     /* the turn of the loop was over */
    WEIR_FLUSH_EXPLICIT, /* lane_flush, lane_drained */
    WEIR_FLUSH_DRAIN,    /* the stream is being closed */
    WEIR_FLUSHES
} weir_flush_t;

/* How much is gathered at most; a module that gathers sets it in `open`, and may change it in `flushed`. */
typedef struct weir_gather {
    uint32_t max_messages;
    uint64_t max_bytes;
} weir_gather_t;

/* What has been gathered. */
typedef struct weir_gathered {
    uint32_t messages;
    size_t bytes;
    uint64_t waited_us; /* the first of them */
    bool is_full;       /* the stream has not taken what was written before */
} weir_gathered_t;

#define WEIR_LINK_GATHERS 0x1u /* says how long messages are gathered; one in a chain, before those that pack */
#define WEIR_LINK_PACKS                                                                                                \
    0x2u /* turns payloads into smaller ones, which the reader's lane expands by their first bytes */
#define WEIR_LINK_ENCODES 0x4u /* offers content codings for bodies of HTTP */

/* A link module: one instance for each upstream or listener in a process, and a state for each lane. */
typedef struct weir_link_module {
    uint32_t flags;
    size_t state_size; /* zeroed */
    /* `where`: "upstream search", for link_counters(). Also called where no lane will ever be: for `status`. */
    void *(*create)(const struct weir_host *host, const char *where, const void *options, weir_error_t *err);
    void (*destroy)(void *self);
    void (*open)(void *self, void *state, weir_gather_t *gather); /* a lane begins; NULL: nothing to do */
    void (*close)(void *self, void *state);                       /* likewise */
    /* WEIR_LINK_GATHERS. wait: asked at the end of the turn in which the first message came: how many milliseconds more, 0: it
     * is sent now. flushed: it was sent. */
    uint64_t (*wait)(void *self, void *state, const weir_gathered_t *gathered);
    void (*flushed)(void *self, void *state, const weir_gathered_t *gathered, weir_flush_t why, weir_gather_t *gather);
    /* WEIR_LINK_PACKS: leave `packed` alone when the payload is better sent as it is; it must be smaller than what was given. Its
     * reference to a buffer is the lane's from then on; without one the bytes are good until the next call of pack. */
    void (*pack)(void *self, void *state, const weir_chunk_t *chunks, size_t n, size_t bytes, weir_chunk_t *packed);
    void (*status)(void *self, weir_status_t *status); /* NULL: nothing to tell */
    /* WEIR_LINK_ENCODES: asked once, after `create`, where the transport is one of HTTP. */
    int (*codings)(void *self, weir_codings_t *codings, weir_error_t *err);
} weir_link_module_t;

#endif
