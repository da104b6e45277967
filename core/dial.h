/* dial.h: connecting to a target: from its name to a socket that is connected. */
#ifndef DIAL_H
#define DIAL_H

#include <sys/socket.h>
#include <weir/error.h>

struct target;

typedef struct dial dial_t;

/* Both come from the loop, or from dial_begin(); either may free the dial.
 *
 * connected  the socket is connected, and the owner's from now on. What it does next (TLS) still is within the dial's time.
 * failed     it will not be: no address is left, or the time is up */
typedef struct dial_events {
    void (*connected)(void *owner, int fd);
    void (*failed)(void *owner, const char *why);
} dial_events_t;

/* Ask for the target's addresses. NULL with `err` when that cannot be done. */
dial_t *dial_new(struct target *target, const dial_events_t *events, void *owner, weir_error_t *err);
/* Connect, now or when they are there. */
void dial_begin(dial_t *dial);
/* All stands, TLS included: the target remembers which address it was. */
void dial_answered(dial_t *dial);
void dial_free(dial_t *dial); /* NULL is fine */

struct target *dial_target(const dial_t *dial);
const struct sockaddr *dial_address(const dial_t *dial, socklen_t *len); /* the one at hand */

#endif
