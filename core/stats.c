/* stats.c: see stats.h. A row is claimed by its name's hash with a compare-and-swap, in one step, and whoever claims it writes the same
 * name: a process that dies in between leaves nothing that others would wait for. Everything else has one writer.
 */
#include "stats.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "proc.h"
#include "process.h"
#include "upstreams.h"

#define STATS_NAME_MAX 64

typedef struct cell {
    _Atomic(pid_t) owner; /* 0: free */
    stats_row_t rows[STATS_ROWS];
} cell_t;

typedef struct row_name {
    _Atomic uint64_t hash; /* of the whole name; 0: free */
    _Atomic bool is_named;
    char name[STATS_NAME_MAX]; /* what fits of it */
} row_name_t;

typedef struct stats {
    row_name_t names[STATS_ROWS];
    _Atomic size_t ncells;            /* that have ever been taken */
    stats_row_t departed[STATS_ROWS]; /* written by the master alone */
    ledger_t ledger;
    cell_t cells[STATS_CELLS];
} stats_t;

_Static_assert(sizeof(stats_t) < PROCESS_SHARED_SIZE / 2,
               "the counters leave half of the shared memory to the modules");

/* Where a process without shared memory (a trial, a test) counts. */
static stats_row_t nowhere;

struct stats *stats_attach(void *shared, size_t size)
{
    return size < sizeof(stats_t) ? NULL : shared;
}

size_t stats_size(void)
{
    return (sizeof(stats_t) + 4095) & ~(size_t)4095;
}

pid_t stats_owner(const struct stats *stats, size_t cell)
{
    return atomic_load(&stats->cells[cell].owner);
}

size_t stats_cells(const struct stats *stats)
{
    return atomic_load(&stats->ncells);
}

static void cells_count(struct stats *stats, size_t taken)
{
    size_t n = atomic_load(&stats->ncells);
    while (n <= taken && !atomic_compare_exchange_weak(&stats->ncells, &n, taken + 1))
        continue;
}

ledger_t *stats_ledger(struct stats *stats)
{
    return &stats->ledger;
}

int stats_claim(struct stats *stats, pid_t pid)
{
    for (size_t i = 0; i < STATS_CELLS; i++) {
        pid_t nobody = 0;
        if (atomic_compare_exchange_strong(&stats->cells[i].owner, &nobody, pid)) {
            cells_count(stats, i);
            proc->stats_cell = (int)i;
            return WEIR_OK;
        }
    }
    return WEIR_EFULL;
}

static void lanes_add(stats_lanes_t *sum, const stats_lanes_t *lanes)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)lanes;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

static void row_add(stats_row_t *sum, const stats_row_t *row)
{
    sum->exchanges += row->exchanges;
    sum->bytes_in += row->bytes_in;
    sum->bytes_out += row->bytes_out;
    sum->us += row->us;
    for (int i = 0; i < WEIR_REASONS; i++)
        sum->ended[i] += row->ended[i];
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        sum->latency[i] += row->latency[i];
    lanes_add(&sum->lanes, &row->lanes);
}

/* Rows are taken in their order. */
static bool row_is_used(const struct stats *stats, size_t row)
{
    return row == STATS_ROW_OTHER || (row < STATS_ROWS && atomic_load(&stats->names[row].hash) != 0);
}

void stats_fold(struct stats *stats, pid_t pid)
{
    ledger_forget(&stats->ledger, pid);
    for (size_t i = 0; i < stats_cells(stats); i++) {
        cell_t *cell = &stats->cells[i];
        if (atomic_load(&cell->owner) != pid)
            continue;
        for (size_t row = 0; row_is_used(stats, row); row++) {
            row_add(&stats->departed[row], &cell->rows[row]);
            memset(&cell->rows[row], 0, sizeof(cell->rows[row]));
        }
        atomic_store(&cell->owner, 0);
        return;
    }
}

/* The row of a name: the one that has it, or the first free one. */
static size_t row_index(struct stats *stats, const char *name)
{
    uint64_t hash = name_hash64(name);
    hash += hash == 0;
    for (size_t i = STATS_ROW_OTHER + 1; i < STATS_ROWS; i++) {
        row_name_t *row = &stats->names[i];
        uint64_t owner = 0;
        if (!atomic_compare_exchange_strong(&row->hash, &owner, hash) && owner != hash)
            continue;
        if (!atomic_load(&row->is_named)) {
            snprintf(row->name, sizeof(row->name), "%s", name);
            atomic_store(&row->is_named, true);
        }
        return i;
    }
    return STATS_ROW_OTHER;
}

stats_row_t *stats_row(const char *name)
{
    if (proc->stats == NULL)
        return &nowhere;
    size_t row = name == NULL ? STATS_ROW_OTHER : row_index(proc->stats, name);
    return &proc->stats->cells[proc->stats_cell].rows[row];
}

void stats_begin(stats_row_t *row)
{
    row->exchanges++;
    row->gauges[STATS_IN_FLIGHT]++;
}

void stats_end(stats_row_t *row, const weir_outcome_t *outcome)
{
    row->gauges[STATS_IN_FLIGHT]--;
    row->ended[outcome->reason]++;
    row->bytes_in += outcome->bytes_in;
    row->bytes_out += outcome->bytes_out;
}

void stats_time(stats_row_t *row, uint64_t us)
{
    row->us += us;
    row->latency[latency_bucket(us)]++;
}

void stats_set(stats_row_t *row, stats_gauge_t gauge, int64_t value)
{
    row->gauges[gauge] = value;
}

void stats_add(stats_row_t *row, stats_gauge_t gauge, int64_t change)
{
    row->gauges[gauge] += change;
}

const char *stats_name(const struct stats *stats, size_t row)
{
    if (row == STATS_ROW_OTHER)
        return "other";
    if (row >= STATS_ROWS || !atomic_load(&stats->names[row].is_named))
        return NULL;
    return stats->names[row].name;
}

void stats_sum(const struct stats *stats, size_t row, stats_row_t *sum)
{
    *sum = stats->departed[row];
    for (size_t i = 0; i < stats_cells(stats); i++) {
        const cell_t *cell = &stats->cells[i];
        if (atomic_load(&cell->owner) == 0)
            continue;
        row_add(sum, &cell->rows[row]);
        for (int gauge = 0; gauge < STATS_GAUGES; gauge++)
            sum->gauges[gauge] += cell->rows[row].gauges[gauge];
    }
}
