/* decode.h: a body that comes packed (Content-Encoding), unpacked piece by piece, in memory of one buffer.
 *
 * What it means to an exchange that a body is broken is reply_body.c's to say.
 */
#ifndef DECODE_H
#define DECODE_H

#include <weir/module.h>

typedef struct decoder decoder_t;

/* What its owner does with a piece, which is good until it returns: WEIR_OK, WEIR_EFULL, or WEIR_ECLOSED to unpack no more. */
typedef int (*decode_take_fn)(void *owner, const weir_chunk_t *piece);

/* limit: bytes that what is given at a time may expand to. NULL when there is no memory. */
decoder_t *decode_new(const weir_codec_t *codec, size_t limit);
void decode_free(decoder_t *decoder); /* NULL is fine */

/* Some of the body: WEIR_EFULL when the owner has said so of a piece of it, WEIR_ECLOSED as soon as it said that; WEIR_EFAIL with the
 * story when the body is broken, goes beyond the limit, or there is no memory. */
int decode_bytes(decoder_t *decoder, const weir_chunk_t *chunks, size_t n, decode_take_fn take, void *owner,
                 weir_error_t *err);
/* All of it has come: WEIR_EFAIL when it broke off. */
int decode_end(const decoder_t *decoder, weir_error_t *err);

#endif
