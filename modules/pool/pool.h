/* pool.h: what the files of the pool share.
 *
 * A pool owns the links of an upstream in one process: it chooses the server of an exchange and the link to it, opens links
 * when there are too few, and lets exchanges wait for one, within bounds.
 *
 * Its links are of one of two kinds, by their transport:
 *   exclusive  one exchange at a time (HTTP/1.1): leased from a LIFO list, so that those which are not needed grow old
 *   shared     many exchanges at once (children, streams); or one legacy session, which then has it for itself and gets only
 *              one that has never carried anything
 */
#ifndef POOL_H
#define POOL_H

#include <stdatomic.h>

#include <weir/module.h>

typedef struct pool_options {
    const char *strategy, *hash_header;
    int hash_by;
    int64_t min, max, max_waiting, exchanges_per_link;
    uint64_t acquire_timeout_ms;
    double grow_above, shrink_below;
    uint64_t max_age_ms, health_check_ms, health_timeout_ms, slow_start_ms;
    int64_t eject_after;
} pool_options_t;

/* Counters in shared memory: what /status sums over all processes. Of a server: */
enum {
    GAUGE_LINKS,
    GAUGE_CONNECTING,
    GAUGE_BUSY,
    GAUGE_IN_FLIGHT, /* exchanges */
    GAUGE_REQUESTS,  /* of the window, as weir_load_t has them */
    GAUGE_ERRORS,
    GAUGE_ANSWERED,
    GAUGE_ANSWERED_US,
    GAUGE_BORN_MS, /* of the open links, summed: the clock is one for all processes */
    SERVER_GAUGES,
    COUNT_OPENED = SERVER_GAUGES, /* links, ever */
    COUNT_FAILED,                 /* links that could not be opened */
    COUNT_REQUESTS,
    COUNT_ERRORS,
    COUNT_CHECKS,  /* of its health */
    COUNT_UNWELL,  /* of them, that it failed */
    COUNT_EJECTED, /* how often it was */
    COUNT_AGED,    /* links closed for their age */
    COUNT_SHRUNK,  /* links closed since they were not needed */
    COUNT_GROWN,   /* links opened before they were needed */
    SERVER_COUNTERS,
};

/* Of the pool: */
enum {
    GAUGE_WAITING,
    POOL_GAUGES,
    COUNT_WAITED = POOL_GAUGES, /* exchanges that had to */
    POOL_COUNTERS,
};

typedef struct pool pool_t;

/* A server, and where its links are: weir_link_t.node is in one of these lists, or in none while its link is leased to one
 * exchange or owned by a session. */
typedef struct pool_server {
    /* what every exchange looks at or changes, together */
    weir_server_t *server;
    pool_t *pool;
    struct pool_health *health; /* of all processes */
    weir_load_t *load;          /* in pool.loads */
    weir_counters_t counters;
    bool is_ejected;   /* or comes back, and this process has not seen it yet */
    bool is_unwanted;  /* it has closed a link that was never used, and nobody has asked for one since */
    bool is_check_due; /* on the next link that opens */
    weir_list_t fresh; /* idle, has carried nothing */
    weir_list_t idle;  /* idle, has carried something; all idle ones of the exclusive kind that were used */
    weir_list_t busy;  /* shared, with exchanges on it */
    weir_list_t connecting;
    uint32_t nlinks;      /* in whatever state */
    uint32_t nopen;       /* links that are open */
    uint32_t calm;        /* tend.c: how often in a row too few links were in use */
    uint32_t spare;       /* scratch of waiting.c: its connecting links that nobody counts on yet */
    uint64_t born_ms;     /* of the open links, summed */
    uint64_t failed_ms;   /* when a link could not be opened; 0: the last one could */
    uint64_t returned_ms; /* while it starts slowly: since when */
    uint64_t window_ms;   /* when the newer half of the window began */
    weir_load_t before;   /* what the window had then */
    weir_link_t *checked; /* the link on which the server is being asked; NULL: none */
    weir_timer_t refill;
} pool_server_t;

struct pool {
    const weir_host_t *host;
    weir_upstream_t *upstream;
    const pool_options_t *options;
    bool is_shared;   /* the kind of its links */
    bool is_messages; /* of shared ones: they carry messages, not whole exchanges */
    uint32_t min, max;
    pool_server_t *servers;
    weir_load_t *loads;
    uint32_t nservers;
    uint32_t *candidates; /* room for a choice among all servers */
    const weir_balancer_t *balancer;
    void *strategy;
    weir_counters_t counters;
    weir_list_t waiting; /* wait_t.node, the oldest first */
    uint32_t nwaiting;
    uint32_t nparticular; /* of them, those that not every server or link will do for */
    weir_timeouts_t *acquire_timeouts;
    weir_timer_t tend;
    bool is_providing, is_asked_again; /* waiting_provide() is on the stack */
    char why[128];                     /* why the last link could not be opened */
};

/* Per exchange. */
typedef struct wait {
    weir_list_t node; /* next == NULL: does not wait */
    weir_exchange_t *ex;
    pool_t *pool;
    pool_server_t *server; /* that its load counts on; NULL: none yet */
    pool_server_t *bound;  /* its session's server; NULL: any will do */
    bool is_own;           /* begins a session that takes the link for itself */
    weir_timer_t timer;
} wait_t;

static inline pool_server_t *pool_server_of(const weir_server_t *server)
{
    return server->pooled;
}

/* ---- choice.c ---- */

/* The server that an exchange goes to: one with a link at hand, or one that may open one. NULL: it has to wait. */
pool_server_t *choice_server(pool_t *pool, const wait_t *w);
/* A server at which to open a link for somebody who waits: none that has just failed. NULL: nowhere. */
pool_server_t *choice_growable(pool_t *pool, const wait_t *w);
bool choice_is_eligible(const wait_t *w, const pool_server_t *s);
/* Whether an exchange may have this link as it is now. */
bool choice_fits(const weir_link_t *link, const wait_t *w);
/* Whether the other modules of the chain let it go there; if so, it is on its way to this server and to no other. */
bool choice_admits(const wait_t *w, const pool_server_t *s);
/* None of the servers that it could go to is open to it. */
bool choice_is_barred(const pool_t *pool, const wait_t *w);
/* One of them could not be connected to just now. */
bool choice_is_failing(const pool_t *pool, const wait_t *w);

/* A server at which no link could be opened is left alone for so long, as long as there are others. */
#define RETRY_MS 1000

/* ---- load.c: what is known of a server ---- */

void load_ended(pool_server_t *s, const weir_outcome_t *outcome, bool is_error);
void load_link_up(pool_server_t *s, const weir_link_t *link);
void load_link_gone(pool_server_t *s, const weir_link_t *link);
/* The window goes on with the clock. */
void load_tend(pool_server_t *s);

static inline void load_count(pool_server_t *s, int counter, int64_t change)
{
    s->counters.mine[counter] += change;
}

static inline void load_begun(pool_server_t *s)
{
    s->load->in_flight++;
    load_count(s, GAUGE_IN_FLIGHT, 1);
}

/* A link carries something from now on, or does not any more. */
static inline void load_link_busy(pool_server_t *s, int change)
{
    load_count(s, GAUGE_BUSY, change);
}

/* ---- status.c ---- */

void status_write(const pool_t *pool, weir_status_t *status);

/* ---- links.c ---- */

uint32_t links_count(const weir_list_t *list);
bool links_may_grow(const pool_server_t *s);
/* Open one more link; false when it could not even be begun. */
bool links_open(pool_server_t *s);
/* How many are missing to `min`. */
uint32_t links_missing(const pool_server_t *s);
/* Keep `min` of them: soon, since links must not be opened while the host takes others apart. */
void links_refill_later(pool_server_t *s);
/* Lease an exchange the best link that is at hand; false when there is none. */
bool links_take(pool_server_t *s, wait_t *w);
/* Lease it this one. */
bool links_lease(weir_link_t *link, wait_t *w);
/* Close an idle link that no session can use any more; false when there is none. */
bool links_make_room(pool_server_t *s);
/* One could not be opened. */
void links_failed(pool_server_t *s, const char *why);

/* ---- told.c ---- */

void links_event(pool_t *pool, weir_link_t *link, weir_link_event_t event, const char *why);

/* ---- health.c ---- */

/* In shared memory: what all processes know. */
struct pool_health {
    _Atomic uint64_t heard_ms;    /* when it was last heard to be well, or somebody began to ask it */
    _Atomic uint64_t returned_ms; /* when it was well again after it had been ejected; 0: it never was */
    _Atomic uint32_t bad;         /* failures in a row, of exchanges and checks */
    _Atomic bool is_ejected;
};

int health_begin(pool_server_t *s, weir_error_t *err);
/* Whether servers are asked at all. Only those that are can be ejected: nothing else would bring them back. */
static inline bool health_is_asked(const pool_t *pool)
{
    return pool->options->health_check_ms > 0;
}

static inline bool health_is_ejected(const pool_server_t *s)
{
    return (s->is_ejected || atomic_load_explicit(&s->health->is_ejected, memory_order_relaxed)) &&
           health_is_asked(s->pool);
}

/* It is well, or it is not: an exchange or a check has told. */
void health_good(pool_server_t *s);
void health_bad(pool_server_t *s, const char *why);
void health_link_up(pool_server_t *s, weir_link_t *link);
void health_connect_failed(pool_server_t *s, const char *why);
void health_tend(pool_server_t *s);

/* ---- tend.c: what happens by the clock ---- */

void tend_start(pool_t *pool);

/* ---- waiting.c ---- */

/* Let an exchange wait, for a link of this server if there is one to be opened. */
weir_verdict_t waiting_add(wait_t *w, pool_server_t *s);
/* Fail an exchange that no server is open to. */
void waiting_fail_barred(wait_t *w);
void waiting_remove(wait_t *w);
/* A link can take exchanges: give it to those who have waited longest. */
void waiting_serve(pool_t *pool, weir_link_t *link);
/* See that a link is on its way, or can come free, for everybody who waits; fail the others. */
void waiting_provide(pool_t *pool);

#endif
