/* codec.h: finding codecs among the loaded modules, their contexts, and expanding a payload within a bound. Names no codec. */
#ifndef CORE_CODEC_H
#define CORE_CODEC_H

#include <weir/module.h>

const weir_codec_t *codec_named(const char *name);
const weir_codec_t *codec_of(weir_slice_t begin);
const weir_codec_t *codec_at(uint32_t index);

/* A context of a codec. Made when it is first asked for; given back, it serves the next who asks for the same. */
typedef enum codec_use {
    CODEC_PACKS,
    CODEC_PACKS_SMALL, /* see packer_new_small */
    CODEC_EXPANDS,
} codec_use_t;

typedef struct codec_context {
    struct codec_context *next; /* in proc->codecs, while nobody has it */
    const weir_codec_t *codec;
    codec_use_t use;
    int level; /* of one that packs */
    void *context;
} codec_context_t;

codec_context_t *codec_take(const weir_codec_t *codec, codec_use_t use, int level, weir_error_t *err);
void codec_give(codec_context_t *context); /* NULL is fine */
void codecs_free(codec_context_t *spare);  /* those of proc->codecs; NULL is fine */

/* Expand a whole payload: one frame of `codec`, or several one after another. `out` gets a buffer of its own, which the caller
 * gives back. No more than `limit` bytes are ever expanded, and a payload that says itself that it holds more costs no memory:
 * that is WEIR_EFULL. */
int codec_expand(const weir_codec_t *codec, weir_slice_t payload, size_t limit, weir_chunk_t *out, weir_error_t *err);

#endif
