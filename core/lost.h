/* lost.h: what a message that was too long to be kept was, from its bytes as they pass: whose answer is lost must be known, or its
 * caller would wait for it until the time is up.
 */
#ifndef LOST_H
#define LOST_H

#include <weir/module.h>

void lost_begin(weir_lost_t *lost);
void lost_bytes(weir_lost_t *lost, const char *p, size_t n);

/* At its end: the raw id of the request that it answers, or empty when it is no answer. Good until the next lost_begin(). */
weir_slice_t lost_answer(const weir_lost_t *lost);

#endif
