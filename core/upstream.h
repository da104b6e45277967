/* upstream.h: an upstream at work in this process: its transport, its chain's instances, its servers and their links.
 *
 * Owned by the process's `upstreams` list from upstream_new() to upstream_free(). A worker has one for each upstream of the
 * configuration; for a kept one its links live in a keeper, and the worker's chain ends at the channel to it. A keeper has one
 * for each kept upstream, also for those of an older configuration whose sessions still live.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <weir/module.h>

#include "arena.h"
#include "config.h"
#include "lane.h"
#include "latency.h"

typedef struct chain_item {
    const weir_module_t *module;
    const weir_exchange_module_t *ops;
    void *self;
    const void *options;
    uint32_t state_offset; /* of its per-exchange state */
} chain_item_t;

/* What is known of the era that the servers speak. */
typedef enum upstream_era {
    UPSTREAM_ERA_UNKNOWN,
    UPSTREAM_ERA_ASKED,
    UPSTREAM_ERA_LEGACY,
    UPSTREAM_ERA_MODERN,
} upstream_era_t;

typedef struct server {
    weir_server_t pub;
    struct target *target; /* where stream_connect() goes */
    uint32_t name_hash;    /* what a session token says instead of the index, which a reload may change */
    weir_list_t links;
    bool is_pinged;          /* it is asked for its health by `ping` (checkup.h) */
    weir_counters_t latency; /* of its answers: the buckets, and their sum in microseconds */
} server_t;

typedef struct upstream {
    weir_upstream_t pub;
    weir_list_t node; /* in upstreams */
    const conf_upstream_t *conf;
    config_t *config; /* keepers: what `conf` is part of */
    arena_t *arena;
    const weir_connect_t *connect;
    const struct carrier *carrier;
    const char *transport;
    server_t *servers; /* the host's view of pub.servers */
    chain_item_t *chain;
    uint32_t nchain;
    /* Worker, kept upstream: those that work in the keeper; only asked for their status, and commanded. */
    chain_item_t *shadows;
    uint32_t nshadows;
    uint32_t state_size;      /* of all modules' per-exchange states */
    lane_chain_t lanes;       /* link modules, for the lanes of its links */
    chain_item_t *link_owner; /* NULL in a worker whose links are kept */
    const char *fallback;     /* the upstream to go to while no server may be used; NULL: none */
    uint64_t digest;          /* of the definition */
    uint64_t name_hash;       /* what a session token says */
    bool is_kept;             /* the links live in a keeper, and this is a worker */
    bool is_watched;          /* a module of its chain looks at messages of replies */
    bool is_retired;          /* a newer configuration has no such upstream any more */
    weir_timer_t retirement;  /* of one that is retired: when it ends */
    uint32_t retired_by;      /* the configuration that has it no more */
    weir_timeouts_t *reply_timeouts;
    struct stats_row *stats;
    upstream_era_t era;             /* of stream links */
    char *revisions;                /* JSON array of the revisions that a modern server speaks, NULL: not known */
    weir_slice_t revision;          /* one of them; empty: none was looked for */
    weir_list_t era_waits;          /* exchanges that wait for it to be known */
    struct params *params;          /* of its tools, in fields of the clients' heads; NULL: nobody has called one yet */
    struct session_table *sessions; /* keepers */
} upstream_t;

/* The private face of the public structs. */
static inline upstream_t *upstream_of(const weir_upstream_t *pub)
{
    return WEIR_CONTAINER(pub, upstream_t, pub);
}

/* It took so long to answer. */
static inline void server_time(server_t *server, uint64_t us)
{
    server->latency.mine[latency_bucket(us)]++;
    server->latency.mine[LATENCY_BUCKETS] += (int64_t)us;
}

/* Make an upstream: find its transport, read all options, make the chain's instances. Nothing is opened or started. The
 * configuration must outlive it. */
int upstream_new(const config_t *config, const conf_upstream_t *conf, upstream_t **out, weir_error_t *err);
/* Whether its links live in a keeper, as its transport and its options say. */
bool upstream_is_kept(const config_t *config, const conf_upstream_t *conf);
/* Begin to serve: the module that owns links may open some. */
void upstream_start(upstream_t *up);
/* Close all links, destroy the instances. No exchange may be left on it. */
void upstream_free(upstream_t *up);

#endif
