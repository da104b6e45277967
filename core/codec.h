/* codec.h: finding codecs among the loaded modules, and expanding a payload within a bound. Names no codec. */
#ifndef CORE_CODEC_H
#define CORE_CODEC_H

#include <weir/module.h>

struct codecs;

const weir_codec_t *codec_named(const char *name);
const weir_codec_t *codec_of(weir_slice_t begin);

/* Expand a whole payload: one frame of `codec`, or several one after another. `out` gets a buffer of its own, which the caller
 * gives back. No more than `limit` bytes are ever expanded, and a payload that says itself that it holds more costs no memory.
 * Each codec has one context in a process, which serves one payload after another. */
int codec_expand(const weir_codec_t *codec, weir_slice_t payload, size_t limit, weir_chunk_t *out, weir_error_t *err);

void codecs_free(struct codecs *codecs); /* the contexts of proc->codecs; NULL is fine */

#endif
