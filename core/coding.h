/* coding.h: content codings (include/weir/coding.h): what a chain offers, what a peer takes, bodies on their way out.
 *
 * What is offered belongs to the chain of link modules that offers it and outlives all bodies. An encoder belongs to whoever sends the
 * body; its context goes to the next one.
 */
#ifndef CORE_CODING_H
#define CORE_CODING_H

#include <weir/module.h>

struct lane_chain;

/* What a chain offers; NULL: nothing. */
const weir_codings_t *coding_offers(const struct lane_chain *chain);

const weir_codec_t *coding_of(weir_slice_t name);
size_t coding_names(char *p, size_t n);
const weir_coding_t *coding_choose(const weir_codings_t *codings, const weir_head_t *head, bool *is_needed);
/* Whether whoever sent this head takes a body in a coding. */
bool coding_is_taken(const weir_head_t *head, weir_slice_t name);

weir_encoder_t *encoder_new(const weir_codings_t *codings, const weir_coding_t *coding, bool is_stream);
int encode(weir_encoder_t *encoder, const weir_chunk_t *chunks, size_t n, weir_pack_t how, weir_chunk_t *out);
void encoder_free(weir_encoder_t *encoder);

int decode(const weir_codings_t *codings, const weir_codec_t *codec, weir_slice_t body, uint64_t limit,
           weir_chunk_t *out, weir_error_t *err);

#endif
