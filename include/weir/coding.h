/* coding.h: content codings of HTTP (RFC 9110 8.4): bodies that are packed as a whole, from their head to their end, for whoever
 * said that it takes them so.
 *
 * A link module says which codings are offered (WEIR_LINK_ENCODES); whose body gets which is decided and done by the host. What
 * comes packed is expanded by any codec that is loaded, whatever is offered.
 */
#ifndef WEIR_CODING_H
#define WEIR_CODING_H

#include "codec.h"
#include "exchange.h"

#define WEIR_CODINGS_MAX 8

typedef struct weir_coding {
    const weir_codec_t *codec; /* one that names a content coding */
    int level;
} weir_coding_t;

/* What is offered, the best first. */
typedef struct weir_codings {
    weir_coding_t items[WEIR_CODINGS_MAX];
    uint32_t count;
    uint64_t min_size; /* smaller bodies are sent as they are */
    uint32_t max_open; /* bodies that may be under way at a time, in a process; more of them are sent as they are */
} weir_codings_t;

/* So many pieces of a body are given at a time. */
#define WEIR_ENCODE_CHUNKS 24

/* A body on its way out, with a context of its own until it ends. */
typedef struct weir_encoder weir_encoder_t;

#endif
