/* lane.h: lanes (include/weir/lane.h) and the chains of link modules that they run through.
 *
 * A lane belongs to the stream whose frames it makes, from lane_new() to lane_free(). It holds a buffer only while messages wait in
 * it or are being taken out of it. A chain belongs to its upstream or listener and outlives all its lanes.
 *
 *   gathering    event                          what happens
 *   empty        a message                      kept; at the end of the turn the gathering module says how long it may wait
 *   empty        one that fills a payload       sent alone, without being copied
 *   filled       a message that fits            kept behind the others
 *   filled       one that does not              those before it are sent (bytes)
 *   filled       max_messages, max_bytes        sent (size, bytes)
 *   filled       its time, or the turn's end    sent (time, turn)
 *   filled       lane_flush, lane_drained       sent
 */
#ifndef CORE_LANE_H
#define CORE_LANE_H

#include <weir/module.h>

#include "arena.h"
#include "config.h"

struct stats_lanes;

typedef struct lane_module {
    const weir_module_t *module;
    const weir_link_module_t *ops;
    void *self;
    const void *options;
    uint32_t state_offset; /* of its per-lane state */
} lane_module_t;

typedef struct lane_chain {
    lane_module_t *modules;
    uint32_t nmodules;
    uint32_t state_size;           /* of all modules' per-lane states */
    const lane_module_t *gatherer; /* NULL: every message is a payload of its own */
    struct stats_lanes *stats;
    weir_codings_t codings; /* of a module that encodes; empty: nothing is offered */
    uint32_t open_bodies;   /* that are on their way in one of them */
} lane_chain_t;

/* What a chain is part of: how it is named in errors, what its transport can carry and why not more. */
typedef struct lane_place {
    const config_t *config;
    arena_t *arena;
    const char *what, *name; /* "upstream", "search" */
    const char *transport;
    uint32_t allowed;
    const char *why_not;
} lane_place_t;

/* Room for up to `n` modules. */
int lane_chain_begin(lane_chain_t *chain, arena_t *arena, size_t n, struct stats_lanes *stats, weir_error_t *err);
int lane_chain_add(lane_chain_t *chain, const lane_place_t *place, const weir_module_t *module,
                   const conf_chain_item_t *conf, weir_error_t *err);
void lane_chain_end(lane_chain_t *chain);

weir_lane_t *lane_new(const weir_lane_spec_t *spec, weir_error_t *err);
void lane_free(weir_lane_t *lane);
int lane_write(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, uint64_t tag);
int lane_flush(weir_lane_t *lane, weir_flush_t why);
void lane_drained(weir_lane_t *lane);
int lane_read(weir_lane_t *lane, const weir_chunk_t *payload, weir_error_t *err);
int lane_next(weir_lane_t *lane, weir_chunk_t *message, uint64_t *tag, weir_error_t *err);
const weir_joiner_t *joiner_of(weir_join_t kind);

/* A lane on a chain that is at hand (tests, benches). */
weir_lane_t *lane_new_on(const lane_chain_t *chain, const weir_lane_spec_t *spec, weir_error_t *err);

#endif
