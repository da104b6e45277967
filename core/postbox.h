/* postbox.h: where any worker leaves messages for a client whose connection one of them holds.
 *
 * An address names the worker that holds the box, of whichever generation, the box's number there and 128 random bits. A message
 * for a box of another worker goes through a keeper, which has channels to all of them:
 *
 *   from                  frame    what happens
 *   sender                POST     the keeper passes it on to the worker that it is for, or says POSTED itself: there is none
 *   worker of the box     POSTED   the keeper passes it on to the sender
 *   keeper                LEFT     a worker has gone; what was on its way there is told so
 *
 * The sender must come by the same listener, with the same Authorization and as the same principal as the client: box and sender make a
 * digest of them, and only the digest travels.
 */
#ifndef POSTBOX_H
#define POSTBOX_H

#include <weir/postbox.h>

#include "channel.h"

#define POSTBOX_KEY_SIZE 16
#define POSTBOX_BOUND_SIZE 32

typedef struct post_place {
    int32_t worker;
    uint32_t generation;
} post_place_t;

/* What POST, POSTED and LEFT begin with; behind it, in a POST, the message. */
typedef struct post_head {
    post_place_t to, from; /* LEFT: `from` has gone */
    uint32_t box;
    uint8_t key[POSTBOX_KEY_SIZE];
    uint8_t bound[POSTBOX_BOUND_SIZE];
} post_head_t;

typedef struct postboxes postboxes_t;

void postboxes_free(void);

/* For transports; see weir_host_t. */
weir_postbox_t *postbox_open(weir_listener_t *listener, weir_slice_t authorization, weir_slice_t principal,
                             weir_postbox_take_fn take, void *owner);
weir_slice_t postbox_address(const weir_postbox_t *box);
void postbox_close(weir_postbox_t *box);
void post_send(weir_post_t *post, weir_listener_t *listener, weir_slice_t address, weir_slice_t authorization,
               weir_slice_t principal, const weir_chunk_t *message);
void post_forget(weir_post_t *post);

/* What comes over channels of these frames. */
extern const channel_post_t postbox_channel;

#endif
