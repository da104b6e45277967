/* cut.h: a reply that comes as bytes (a head, then a body) cut into the messages that are in it: for clients who know nothing of HTTP,
 * and for modules of the chain that look at messages.
 *
 *   body                         what comes out
 *   application/json             one message; none where the status says that there is no such thing (404)
 *   text/event-stream            a message for each event
 *   none (202, 204), any other   nothing
 *
 * What a message means to the exchange is reply_body.c's to say.
 */
#ifndef CUT_H
#define CUT_H

#include <weir/module.h>

typedef struct cut cut_t;

/* What its owner does with a message, whose bytes are good until it returns: WEIR_OK, WEIR_EFULL, or WEIR_ECLOSED to cut no more. */
typedef int (*cut_take_fn)(void *owner, weir_slice_t bytes, weir_slice_t event_id);

/* For the body behind this head; limit: bytes that one message may have. NULL when there is no memory. */
cut_t *cut_new(const weir_head_t *head, size_t limit);
void cut_free(cut_t *cut);

/* Some of the body: what the owner has said of the last message in it, or WEIR_ECLOSED as soon as it said that; WEIR_EFAIL when a
 * message is larger than the limit or there is no memory. */
int cut_bytes(cut_t *cut, const weir_chunk_t *chunks, size_t n, cut_take_fn take, void *owner);
/* All of it has come: the same. */
int cut_end(cut_t *cut, cut_take_fn take, void *owner);

#endif
