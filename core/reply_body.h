/* reply_body.h: the body of a reply that has to be read on its way: a content coding is taken off, messages are cut out.
 *
 *   who reads                                    what happens to a body that comes packed
 *   the client wants messages                    unpacked and cut; a coding that no codec expands is a bad reply
 *   a client of HTTP, which takes the coding     passes as it came; for modules that look at messages it is unpacked beside
 *   a client of HTTP, which does not             unpacked on its way, where a codec for it is loaded
 *
 * What only passes has neither decoder nor cut, and none of this is called for it. WEIR_ECLOSED: the exchange has ended, or was failed.
 */
#ifndef REPLY_BODY_H
#define REPLY_BODY_H

#include "exchange.h"

/* Behind this head: give it a decoder where it needs one; then have it cut, where it can be read. */
int reply_body_decode(exchange_t *ex, const weir_head_t *head);
bool reply_body_is_readable(const exchange_t *ex, const weir_head_t *head);
int reply_body_cut(exchange_t *ex, const weir_head_t *head);

/* Some of it, or all of it has come: modules and the client get theirs. */
int reply_body_bytes(exchange_t *ex, const weir_chunk_t *chunks, size_t n);
int reply_body_end(exchange_t *ex);

#endif
