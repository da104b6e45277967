/* process.h: what every worker and keeper has in common: how it is told to start, what its master may say to it, what it says.
 *
 * The master forks, closes what is not the child's, and calls worker_main() or keeper_main() with a process_args_t. That main
 * calls process_enter() first, sets itself up, says process_ready(), and runs proc->loop until there is nothing left to do. Its
 * return value is the exit status of the process.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include <weir/error.h>

#include "config.h"

/* One listening socket of a worker. It stays the master's: stop accepting before closing it. A worker may have several for one
 * listener: one for each of its addresses, and those of slots that no worker serves since their number was made smaller. */
typedef struct listen_fd {
    size_t listener;     /* index in the configuration */
    const char *address; /* as bound: "127.0.0.1:8080", "unix:/run/weir.sock" */
    int fd;              /* non-blocking, listening, close-on-exec */
} listen_fd_t;

#define PROCESS_SEED_SIZE 64
#define PROCESS_SHARED_SIZE (256u << 20)

/* What a process is given. Lives as long as the process; so do the configuration and all that hangs on it. */
typedef struct process_args {
    config_t *config;
    int slot;            /* from 0 */
    uint32_t generation; /* of the configuration, from 1 */
    int control_fd;      /* SOCK_SEQPACKET to the master */
    const listen_fd_t *listens;
    size_t nlistens;
    int admin_fd;        /* listening socket shared by all workers, or -1 */
    const int *peer_fds; /* worker: one stream socket for each keeper, -1: it is down, `peer` follows; keeper: none */
    size_t npeers;       /* worker: the number of keepers */
    size_t nworkers;     /* of this generation */
    const uint8_t *seed; /* PROCESS_SEED_SIZE random bytes, the same in all processes as long as the master lives */
    void *
        shared; /* PROCESS_SHARED_SIZE bytes of shared memory, zeroed at start, likewise; untouched pages cost nothing */
} process_args_t;

/* What the master says. Every member may be NULL: then the message is read and nothing happens, except that `stop` and
 * `master_gone` leave the process at once. Called from the loop, one at a time. */
typedef struct process_events {
    /* Finish, take nothing new, leave when done or at drain_timeout. Others follow, or it is the end (SIGQUIT as well). */
    void (*drain)(bool is_followed);
    void (*stop)(void);   /* leave now (SIGTERM as well) */
    void (*reopen)(void); /* the error log has been opened again already; the access log is yours */
    /* A stream socket to the other kind: worker: keeper `slot` was started again; keeper: worker `slot` of `generation` came.
     * The descriptor is the receiver's. A keeper learns that a worker has gone from the end of its stream. */
    void (*peer)(int slot, uint32_t generation, int fd);
    /* Keepers: a new configuration, tried already. A failure goes back to the master with its story, and the configuration
     * that was there is then sent again. */
    int (*config)(const char *text, const char *file, uint32_t generation, weir_error_t *err);
    void (*master_gone)(
        void); /* the master died: end what must not outlive it, then leave. Workers are killed instead */
} process_events_t;

/* Set up `proc`: loop, timers, buffers, signals, the control channel; the log is open already. The error has been logged on
 * failure. ev_run(proc->loop, 0) then returns when ev_break() is called: the control channel keeps the loop alive. */
int process_enter(const process_args_t *args, const process_events_t *events);

/* Give up root for `user:`, when all that only root may read (keys, certificates, logs) is open. Does nothing when weir was not
 * started by root, and in a keeper whose configuration names a user for a server. */
int process_drop(weir_error_t *err);

/* Tell the master that this process serves; drops privileges first unless that was done. On failure, which has been logged, the
 * process must end: it may still be root. */
__attribute__((warn_unused_result)) int process_ready(void);

/* Undo process_enter(), for a clean end under a leak checker. */
void process_leave(void);

#endif
