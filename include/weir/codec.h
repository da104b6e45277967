/* codec.h: how a compression format serves weir: the link module `compress` packs payloads with one, and whoever reads a stream
 * expands them again, told by the first bytes alone.
 *
 * A packer and an expander are each one context that serves one frame after another and allocates nothing in between. Frames
 * depend on nothing that came before them. All calls are plain work on memory: nothing blocks, nothing is kept of what is given.
 */
#ifndef WEIR_CODEC_H
#define WEIR_CODEC_H

#include <stdint.h>

#include "error.h"
#include "slice.h"

/* What is wanted of what has been packed so far. */
typedef enum weir_pack {
    WEIR_PACK_MORE,  /* nothing yet: more of the frame follows */
    WEIR_PACK_FLUSH, /* all of it comes out and can be expanded, and more of the frame follows */
    WEIR_PACK_END,   /* all of it, and the frame ends */
} weir_pack_t;

/* A frame is given in this many pieces (WEIR_PACK_MORE) between two flushes at most. */
#define WEIR_PACK_PIECES 32

typedef struct weir_codec {
    const char *name;    /* as `codec:` of compress names it: "lz4" */
    weir_slice_t magic;  /* the first bytes of every frame. No JSON text begins like them */
    weir_slice_t coding; /* the HTTP content coding (RFC 9110 8.4.1); empty: it is none */
    int level_min, level_max, level_default;

    /* Packing. packed_bound: no frame of n bytes is larger, in however many pieces it came. pack_begin starts a
     * frame, also after one that was left half-way; `size` is what it will hold, 0 when that is not known. pack reads all of
     * `in` and returns how much it wrote: there must be room for packed_bound() of what was given since the last flush.
     * WEIR_EFAIL: the frame is lost, begin another. */
    void *(*packer_new)(int level, weir_error_t *err);
    void (*packer_free)(void *packer); /* NULL is fine */
    size_t (*packed_bound)(size_t n);
    int (*pack_begin)(void *packer, uint64_t size);
    long (*pack)(void *packer, weir_slice_t in, weir_pack_t how, char *out, size_t room);

    /* Expanding. expanded_size: what a whole payload says it holds, 0 when it does not say; never to be trusted with memory
     * beyond a bound. expand_begin starts a frame; its context may not take more memory than a frame of `limit` bytes needs.
     * expand moves `in` past what it has read and adds to `filled` what it has written of `room` bytes:
     *   WEIR_OK      the frame ends here
     *   WEIR_EAGAIN  it goes on: more input, or more room
     *   WEIR_EFAIL   it is broken; the error says how */
    void *(*expander_new)(weir_error_t *err);
    void (*expander_free)(void *expander); /* NULL is fine */
    uint64_t (*expanded_size)(weir_slice_t payload);
    int (*expand_begin)(void *expander, size_t limit);
    int (*expand)(void *expander, weir_slice_t *in, char *out, size_t room, size_t *filled, weir_error_t *err);

    /* As packer_new, for a frame that may stay open for hours and gets little at a time: one of many, so it should hold little
     * memory. NULL: packer_new serves for these too. */
    void *(*packer_new_small)(int level, weir_error_t *err);
} weir_codec_t;

#endif
