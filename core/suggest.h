/* suggest.h: the known word that was probably meant. */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <weir/slice.h>

/* Edits between two words: insert, delete, replace, swap neighbours (optimal string alignment). Words beyond 64 bytes are far. */
unsigned word_distance(weir_slice_t a, weir_slice_t b);

/* Keep the nearer of `best` (may be NULL) and `word`; words too far from what was written are never kept. */
const char *suggest_nearer(weir_slice_t written, const char *best, const char *word);

#endif
