/* proc.h: the one context of a process. Everything that a process has once hangs here: its loop, its timers, its buffers, its
 * log, its configuration. Set up by proc_init() in main's child processes, read everywhere in core, never by modules.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <weir/list.h>

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
    struct tls *tls;           /* contexts that targets share */
    struct resolver *resolver; /* made on first use */
    struct children *children; /* keepers */
    struct config *config;
    struct modules *modules;
    struct codec_context *codecs; /* contexts that nobody uses at the moment */
    const struct weir_host *host; /* what modules are given */
    unsigned char ticket_secret[80];
    struct stats *stats;   /* shared memory */
    int stats_cell;        /* this process's place in it */
    struct shared *shared; /* blocks of modules, behind the counters; NULL: none */
    struct access *access; /* access log, NULL: none */
    struct token_keys *keys;
    struct exchanges *exchanges;
    weir_list_t upstreams;                 /* upstream.node */
    const struct weir_listener *listeners; /* the first of all */
    struct channels *channels;             /* worker: to the keepers */
    struct postboxes *postboxes;           /* worker: made when there is a first one */
    weir_list_t inlets;                    /* keeper: from the workers */
    weir_list_t leaving;                   /* stream.c's: streams that have no owner any more and are not over yet */
    void (*on_inlet_gone)(void);           /* keeper */
    void *self;                            /* worker.c's own */
    struct date {
        char text[32];
        uint64_t until_ms;
    } date;                      /* http_date.c's */
    struct config *first_config; /* keeper: the one it was started with, which the master's memory holds */
    bool is_draining;
    bool is_stopping;
} proc_t;

extern proc_t *proc;

#endif
