/* daemon.h: serving in the background. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

#include <weir/error.h>

/* Split in two. In the daemon: true; its stdin and stdout are /dev/null, and what it writes to stderr reaches whoever typed
 * `weir -d` until daemon_ready(). In the caller's process: false, when the daemon is ready or has failed, with `*status` the exit
 * status, and the error filled in when there never was a daemon. */
bool daemon_begin(int *status, weir_error_t *err);

/* All is ready: let the caller go. Nothing is said on stderr any more. */
int daemon_ready(void);

#endif
