/* shared.c: see the table in shared.h. A hash table of names, open addressing, and behind it the blocks, one after the other. */
#include "shared.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "stats.h"
#include "upstreams.h"

#define ENTRIES 8192u
#define NAME_MAX_BYTES 255u
#define ALIGNMENT 64u /* blocks of different owners share no cache line */
#define STATE_READY UINT32_MAX

typedef struct entry {
    _Atomic uint32_t state; /* 0: free; READY; otherwise the pid that names it */
    uint64_t size;
    uint64_t at; /* of the block, from the beginning of `blocks` */
    char name[NAME_MAX_BYTES + 1];
} entry_t;

struct shared {
    uint64_t room;
    _Atomic uint64_t used;
    entry_t entries[ENTRIES];
    _Alignas(ALIGNMENT) char blocks[];
};

struct shared *shared_attach(void *memory, size_t size)
{
    struct shared *shared = memory;
    if (size < sizeof(*shared))
        return NULL;
    shared->room = size - sizeof(*shared);
    return shared;
}

static bool is_gone(uint32_t pid)
{
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static bool room_take(struct shared *shared, uint64_t size, uint64_t *at)
{
    uint64_t need = (size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
    *at = atomic_load(&shared->used);
    do
        if (need < size || need > shared->room - *at)
            return false;
    while (!atomic_compare_exchange_weak(&shared->used, at, *at + need));
    return true;
}

/* The entry is ours alone until its state says READY. */
static bool entry_make(struct shared *shared, entry_t *entry, const char *name, size_t size)
{
    if (!room_take(shared, size, &entry->at)) {
        atomic_store(&entry->state, 0);
        return false;
    }
    entry->size = size;
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    atomic_store(&entry->state, STATE_READY);
    return true;
}

/* Claim the entry if it is free, or if whoever was naming it died; otherwise wait until it has its name. */
static bool entry_claim(entry_t *entry)
{
    for (;;) {
        uint32_t state = 0, me = (uint32_t)getpid();
        if (atomic_compare_exchange_strong(&entry->state, &state, me))
            return true;
        if (state == STATE_READY)
            return false;
        if (is_gone(state) && atomic_compare_exchange_strong(&entry->state, &state, me))
            return true;
        sched_yield();
    }
}

void *shared_block(struct shared *shared, const char *name, size_t size)
{
    uint32_t first = (uint32_t)name_hash64(name);
    if (strlen(name) > NAME_MAX_BYTES)
        return NULL;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        entry_t *entry = &shared->entries[(first + i) % ENTRIES];
        if (entry_claim(entry)) {
            if (!entry_make(shared, entry, name, size))
                return NULL;
            return shared->blocks + entry->at;
        }
        if (entry->size == size && strcmp(entry->name, name) == 0)
            return shared->blocks + entry->at;
    }
    return NULL;
}

/* ---- for modules ---- */

/* `where` is the upstream, or the upstream and the server. */
static void *block_at(const char *where, const char *module, const char *kind, size_t size, weir_error_t *err)
{
    char name[NAME_MAX_BYTES + 2];
    int n = snprintf(name, sizeof(name), "%s %s %s", module, kind, where);
    void *block = n < 0 || (size_t)n >= sizeof(name) ? NULL : shared_block(proc->shared, name, size);
    if (block == NULL)
        weir_error(err,
                   "the shared memory has no room for %zu bytes of %s; have fewer upstreams or servers, or start weir "
                   "again when many were renamed",
                   size, where);
    return block;
}

static void *block_of(weir_upstream_t *upstream, const weir_server_t *server, const char *module, const char *kind,
                      size_t size, weir_error_t *err)
{
    char where[NAME_MAX_BYTES + 2];
    if (proc->shared == NULL) {
        void *own = arena_alloc(upstream_of(upstream)->arena, size);
        if (own == NULL)
            weir_error(err, "no memory (%zu bytes)", size);
        return own;
    }
    snprintf(where, sizeof(where), "%s%s%s", upstream->name, server == NULL ? "" : "/",
             server == NULL ? "" : server->name);
    return block_at(where, module, kind, size, err);
}

void *shared_of(weir_upstream_t *upstream, const weir_server_t *server, const char *module, size_t size,
                weir_error_t *err)
{
    return block_of(upstream, server, module, "data", size, err);
}

/* ---- counters: a cell for each process, which is its only writer ---- */

typedef struct cell {
    int64_t pid;
    int64_t values[];
} cell_t;

static size_t cell_size(const weir_counters_t *counters)
{
    size_t size = sizeof(cell_t) + (counters->ngauges + counters->ngrowing) * sizeof(int64_t);
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static cell_t *cell_at(const weir_counters_t *counters, size_t i)
{
    return (cell_t *)(void *)((char *)counters->cells + i * cell_size(counters));
}

/* What a dead process had under way is forgotten, what it had counted is not. */
static void cell_take(weir_counters_t *counters)
{
    cell_t *mine = cell_at(counters, proc->shared == NULL ? 0 : (size_t)proc->stats_cell);
    if (mine->pid != getpid())
        memset(mine->values, 0, counters->ngauges * sizeof(int64_t));
    mine->pid = getpid();
    counters->mine = mine->values;
}

int counters_of(weir_counters_t *counters, weir_upstream_t *upstream, const weir_server_t *server, const char *module,
                uint32_t ngauges, uint32_t ngrowing, weir_error_t *err)
{
    *counters = (weir_counters_t){.ngauges = ngauges, .ngrowing = ngrowing};
    counters->ncells = proc->shared == NULL ? 1 : STATS_CELLS;
    counters->cells = block_of(upstream, server, module, "counters", counters->ncells * cell_size(counters), err);
    if (counters->cells == NULL)
        return WEIR_EFAIL;
    cell_take(counters);
    return WEIR_OK;
}

int link_counters_of(weir_counters_t *counters, int64_t *own, const char *where, const char *module, uint32_t ngauges,
                     uint32_t ngrowing, weir_error_t *err)
{
    *counters = (weir_counters_t){.ngauges = ngauges, .ngrowing = ngrowing, .mine = own};
    if (proc->shared == NULL)
        return WEIR_OK;
    counters->ncells = STATS_CELLS;
    counters->cells = block_at(where, module, "lanes", counters->ncells * cell_size(counters), err);
    if (counters->cells == NULL)
        return WEIR_EFAIL;
    cell_take(counters);
    return WEIR_OK;
}

void counters_sum(const weir_counters_t *counters, int64_t *sum)
{
    memset(sum, 0, (counters->ngauges + counters->ngrowing) * sizeof(*sum));
    size_t ncells = proc->shared == NULL ? counters->ncells : stats_cells(proc->stats);
    if (counters->cells == NULL) /* of nobody else */
        memcpy(sum, counters->mine, (counters->ngauges + counters->ngrowing) * sizeof(*sum));
    for (size_t i = 0; i < ncells; i++) {
        const cell_t *cell = cell_at(counters, i);
        bool is_alive = cell->pid != 0 && (proc->shared == NULL || stats_owner(proc->stats, i) == cell->pid);
        for (uint32_t at = is_alive ? 0 : counters->ngauges; at < counters->ngauges + counters->ngrowing; at++)
            sum[at] += cell->values[at];
    }
}
