/* daemon.h: serving in the background. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

#include <weir/error.h>

/* Split in two. In the daemon: true, and `*ready_fd` waits for "+" when all is ready; its stdin and stdout are /dev/null, its
 * stderr stays until daemon_settle(). In the caller's process: false, when the daemon is ready or has failed, with `*status` the
 * exit status. */
bool daemon_begin(int *ready_fd, int *status, weir_error_t *err);

/* All is ready: nothing more is said on stderr. */
int daemon_settle(void);

#endif
