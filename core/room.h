/* room.h: what workers, keepers and trials furnish alike from a configuration: modules, upstreams, listeners. */
#ifndef ROOM_H
#define ROOM_H

#include "listener.h"
#include "process.h"

typedef struct room {
    arena_t *arena;
    weir_listener_t *listeners;
} room_t;

/* Hang into proc what does not depend on the configuration's parts: exchanges, modules, buffers, keys, counters. `args` may be NULL
 * (a trial). */
int room_enter(const process_args_t *args, weir_error_t *err);
void room_leave(void);

/* Load the modules, make all upstreams (into proc->upstreams) and listeners. Nothing starts. */
int room_furnish(room_t *room, const config_t *config, weir_error_t *err);
/* The upstreams may open links from now on. */
void room_start(room_t *room);
void room_clear(room_t *room);

weir_listener_t *room_listener(const room_t *room, size_t index);

#endif
