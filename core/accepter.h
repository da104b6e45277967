/* accepter.h: the sockets of a listener, and whom it takes there: one accepter for each, all of them resting while a worker has nothing to
 * take another client with, closed when the loop has let go of them.
 */
#ifndef ACCEPTER_H
#define ACCEPTER_H

#include "listener.h"

/* Accept from a listening socket, which stays the master's. */
int listener_accept(weir_listener_t *listener, const char *address, int fd, weir_error_t *err);
/* The one client that it can have has gone: weir ends. */
void listener_over(weir_listener_t *listener);
/* Take no new clients; see `drain` of weir_accept_t. */
void listener_drain(weir_listener_t *listener, bool now);

#endif
