/* stats.h: counters in shared memory. Every process has a cell of its own and is its only writer; readers add the cells up. A
 * cell of a process that died is folded into the sum of the departed by the master, its gauges forgotten.
 *
 * Rows are upstreams, by name: the counters of an upstream go on across reloads. A listener whose clients have lanes has one too, by
 * the name of STATS_LISTENER and its own.
 */
#ifndef STATS_H
#define STATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weir/lane.h>

#include "config.h"
#include "latency.h"
#include "ledger.h"

typedef enum stats_gauge {
    STATS_IN_FLIGHT,
    STATS_LINKS,
    STATS_WAITING, /* exchanges that wait for a link */
    STATS_SESSIONS,
    STATS_CHILDREN,
    STATS_CLIENTS, /* connections; on the row of the process itself */
    STATS_GAUGES
} stats_gauge_t;

/* What went through the lanes of an upstream's links, or of a listener's clients. Nothing but counters. */
typedef struct stats_lanes {
    uint64_t messages_out, payloads_out;
    uint64_t bytes_joined; /* payloads before packing */
    uint64_t bytes_sent;   /* and after it */
    uint64_t packed;       /* payloads that were sent packed */
    uint64_t flushes[WEIR_FLUSHES];
    uint64_t waited_us; /* the first message of each payload that was gathered */
    uint64_t messages_in, payloads_in;
    uint64_t bytes_read;     /* payloads as they came */
    uint64_t bytes_expanded; /* and as they were taken apart */
    uint64_t broken;         /* payloads that could not be */
} stats_lanes_t;

typedef struct stats_row {
    uint64_t exchanges;           /* begun */
    uint64_t ended[WEIR_REASONS]; /* by reason; WEIR_REASON_NONE: answered */
    uint64_t bytes_in, bytes_out;
    uint64_t us; /* the sum of what `latency` counts */
    uint64_t latency[LATENCY_BUCKETS];
    int64_t gauges[STATS_GAUGES];
    stats_lanes_t lanes;
} stats_row_t;

#define STATS_ROWS 256
#define STATS_CELLS 256
#define STATS_LISTENER "listener/" /* no upstream has a slash in its name */
#define STATS_ROW_OTHER 0          /* what belongs to no upstream, and upstreams beyond STATS_ROWS */

struct stats;

/* The layout inside shared memory of PROCESS_SHARED_SIZE bytes. */
struct stats *stats_attach(void *shared, size_t size);
size_t stats_size(void); /* bytes of it, a multiple of a page */

/* A process takes a free cell (by its pid); the master gives back that of one that died. */
int stats_claim(struct stats *stats, pid_t pid);
void stats_fold(struct stats *stats, pid_t pid);
pid_t stats_owner(const struct stats *stats, size_t cell); /* 0: nobody */
/* How many cells have ever been taken: those behind them are empty, and their memory is not to be touched. */
size_t stats_cells(const struct stats *stats);

struct ledger *stats_ledger(struct stats *stats);

/* This process's row of an upstream; makes the row's name known when it is new. Never NULL. */
stats_row_t *stats_row(const char *name);

void stats_begin(stats_row_t *row);
void stats_end(stats_row_t *row, const weir_outcome_t *outcome);
/* How long an answer took. */
void stats_time(stats_row_t *row, uint64_t us);
/* A gauge: counted anew, or moved. */
void stats_set(stats_row_t *row, stats_gauge_t gauge, int64_t value);
void stats_add(stats_row_t *row, stats_gauge_t gauge, int64_t change);

/* The sum over all cells, for readers. Row names in order; NULL ends them. */
const char *stats_name(const struct stats *stats, size_t row);
void stats_sum(const struct stats *stats, size_t row, stats_row_t *sum);

#endif
