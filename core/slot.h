/* slot.h: a place for one process, worker or keeper, and what the master knows of it. The process in it may change: one that
 * died is followed by another. See slot.c for the states.
 */
#ifndef SLOT_H
#define SLOT_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"
#include "proc.h"

typedef enum slot_state {
    SLOT_EMPTY,
    SLOT_STARTING,
    SLOT_READY,
    SLOT_DRAINING,
    SLOT_STOPPING,
    SLOT_WAITING,
} slot_state_t;

typedef struct slot slot_t;

/* What a slot asks of the master, which owns it. The master looks at the states itself, once in a turn of its loop. */
typedef struct slot_owner {
    /* Fork the process: set `pid` and `control_fd`. */
    int (*launch)(slot_t *slot, weir_error_t *err);
    /* APPLIED, FAILED. */
    void (*answered)(slot_t *slot, const control_message_t *message);
    /* Died without being asked to, from STARTING or READY; `how` for people. True: start another one after a while. */
    bool (*died)(slot_t *slot, bool was_ready, const char *how);
} slot_owner_t;

struct slot {
    const slot_owner_t *owner;
    struct master *master;
    struct generation *generation; /* worker: the one it belongs to; keepers: NULL */
    proc_kind_t kind;
    int index;
    slot_state_t state;
    pid_t pid;             /* 0: no process */
    int control_fd;        /* our end; meaningful while there is a process */
    uint32_t started_with; /* number of the configuration */
    bool is_answer_due;    /* CONFIG was sent */
    bool is_overdue;       /* already killed */
    unsigned backoff_ms;
    ev_tstamp started_at;
    struct ev_io control;
    struct ev_timer timer;
};

void slot_init(slot_t *slot, const slot_owner_t *owner, struct master *master, proc_kind_t kind, int index);

/* Fill an empty slot. When the fork fails it is tried again like a process that died. */
void slot_start(slot_t *slot);

/* Ask the process to finish within `limit` seconds, or to stop; one that overstays is stopped, then killed. `next` is the number of
 * the configuration whose workers follow, 0 at the end. */
void slot_drain(slot_t *slot, ev_tstamp limit, uint32_t next);
void slot_stop(slot_t *slot);
void slot_kill(slot_t *slot);

/* Say something to the process; nothing happens when there is none. */
int slot_say(slot_t *slot, control_word_t word);
int slot_tell(slot_t *slot, const control_message_t *message, int descriptor);

/* The process has been waited for. */
void slot_reaped(slot_t *slot, int status);

bool slot_is_alive(const slot_t *slot);
const char *slot_kind(const slot_t *slot);

#endif
