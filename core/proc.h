/* proc.h: the one context of a process. Everything that a process has once hangs here: its loop, its timers, its buffers, its
 * log, its configuration. Set up by proc_init() in main's child processes, read everywhere in core, never by modules.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum proc_kind {
    PROC_MASTER,
    PROC_WORKER,
    PROC_KEEPER,
    PROC_TRIAL, /* the forked child that tries a configuration */
    PROC_TOOL,  /* weir -t, weir modules, weir schema */
} proc_kind_t;

typedef struct proc {
    proc_kind_t kind;
    int slot;             /* of a worker or keeper, from 0 */
    uint32_t generation;  /* of the configuration */
    struct ev_loop *loop; /* NULL in a tool */
    struct log *log;
    struct timers *timers;
    struct bufs *bufs;
    struct tls *tls;           /* client and server contexts */
    struct resolver *resolver; /* made on first use */
    struct children *children; /* keepers */
    struct config *config;
    struct modules *modules;
    struct stats *stats;   /* shared memory */
    struct access *access; /* access log, NULL: none */
    struct token_keys *keys;
    bool is_draining;
} proc_t;

extern proc_t *proc;

#endif
