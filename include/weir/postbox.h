/* postbox.h: messages for a client whose connection another worker may hold, for transports whose clients send each message by a
 * request of its own.
 *
 * A worker opens a box for a client and gives the client its address; whichever worker gets a message for that address posts it.
 */
#ifndef WEIR_POSTBOX_H
#define WEIR_POSTBOX_H

#include "exchange.h"

typedef struct weir_postbox weir_postbox_t;

#define WEIR_POSTBOX_ADDRESS 52 /* characters of an address, digits and a to f; nobody can guess one */

/* A message for a box. WEIR_OK: it is taken, `message->buf` was referenced where it is kept longer, or the bytes were copied.
 * WEIR_EFULL: not now. May close the box. */
typedef int (*weir_postbox_take_fn)(void *owner, const weir_chunk_t *message);

/* A message on its way. The sender embeds it, zeroed, with `done` and `arg`, and forgets it (post_forget) before its memory goes. */
typedef struct weir_post {
    weir_list_t node; /* the host's, as the next four */
    uint32_t id, generation;
    int worker, keeper;
    /* WEIR_OK: taken. WEIR_ECLOSED: there is no such box (any more), or it is not for this sender. WEIR_EFULL: it takes nothing now.
     * WEIR_EFAIL: nobody knows, for the way there is broken. */
    void (*done)(void *arg, int result);
    void *arg;
} weir_post_t;

#endif
