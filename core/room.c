/* room.c: see room.h. */
#include "room.h"

#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "call.h"
#include "codec.h"
#include "exchanges.h"
#include "host.h"
#include "modules.h"
#include "proc.h"
#include "shared.h"
#include "stats.h"
#include "timer.h"
#include "token.h"

#define SPARE_BUFS 64

/* What the master's seed is for: the same secrets in every process as long as the master lives. */
static int room_secrets(const process_args_t *args, weir_error_t *err)
{
    static const uint8_t no_seed[PROCESS_SEED_SIZE];
    const uint8_t *seed = args == NULL ? no_seed : args->seed;
    memcpy(proc->ticket_secret, seed, PROCESS_SEED_SIZE);
    memcpy(proc->ticket_secret + PROCESS_SEED_SIZE, seed, sizeof(proc->ticket_secret) - PROCESS_SEED_SIZE);
    const config_t *config = proc->config;
    proc->keys = token_keys_new(config->session_keys, seed, PROCESS_SEED_SIZE, err);
    if (proc->keys != NULL)
        return WEIR_OK;
    return config_error_at(&config->source, node_get(config->node, "session_keys"), err);
}

int room_enter(const process_args_t *args, weir_error_t *err)
{
    proc->host = host_table();
    weir_list_init(&proc->upstreams);
    weir_list_init(&proc->inlets);
    proc->exchanges = exchanges_new();
    proc->modules = modules_new();
    if (proc->bufs == NULL)
        proc->bufs = bufs_new(SPARE_BUFS);
    if (proc->exchanges == NULL || proc->modules == NULL || proc->bufs == NULL)
        return weir_error(err, "no memory to begin with");
    if (args != NULL) {
        proc->stats = stats_attach(args->shared, PROCESS_SHARED_SIZE);
        if (stats_claim(proc->stats, getpid()) != WEIR_OK)
            return weir_error(err, "no place is left for this process's counters (%d processes)", STATS_CELLS);
        proc->shared = shared_attach((char *)args->shared + stats_size(), PROCESS_SHARED_SIZE - stats_size());
    }
    return room_secrets(args, err);
}

void room_leave(void)
{
    timers_end_turn(proc->timers);
    calls_free_spare();
    exchanges_free(proc->exchanges);
    codecs_free(proc->codecs);
    modules_free(proc->modules);
    token_keys_free(proc->keys);
}

static int room_upstreams(const config_t *config, weir_error_t *err)
{
    for (size_t i = 0; i < config->nupstreams; i++) {
        upstream_t *up;
        if (upstream_new(config, &config->upstreams[i], &up, err) != WEIR_OK)
            return WEIR_EFAIL;
        weir_list_append(&proc->upstreams, &up->node);
    }
    return WEIR_OK;
}

static int room_listeners(room_t *room, const config_t *config, weir_error_t *err)
{
    weir_listener_t **at = &room->listeners;
    for (size_t i = 0; i < config->nlisteners; i++) {
        if (listener_new(config, &config->listeners[i], room->arena, &proc->upstreams, at, err) != WEIR_OK)
            return WEIR_EFAIL;
        (*at)->head = room->listeners;
        at = &(*at)->next;
    }
    return WEIR_OK;
}

int room_furnish(room_t *room, const config_t *config, weir_error_t *err)
{
    room->arena = arena_new(4096);
    if (room->arena == NULL)
        return weir_error(err, "no memory for the listeners");
    if (modules_load(proc->modules, config, err) != WEIR_OK || room_upstreams(config, err) != WEIR_OK)
        return WEIR_EFAIL;
    int rc = room_listeners(room, config, err);
    proc->listeners = room->listeners;
    return rc;
}

void room_start(room_t *room)
{
    (void)room;
    WEIR_LIST_EACH(&proc->upstreams, it)
        upstream_start(WEIR_CONTAINER(it, upstream_t, node));
}

void room_clear(room_t *room)
{
    for (weir_listener_t *l = room->listeners; l != NULL; l = l->next)
        listener_free(l);
    exchanges_stop();
    WEIR_LIST_EACH(&proc->upstreams, it)
        upstream_free(WEIR_CONTAINER(it, upstream_t, node));
    if (room->arena != NULL)
        arena_free(room->arena);
    room->arena = NULL;
    room->listeners = NULL;
    proc->listeners = NULL;
}

weir_listener_t *room_listener(const room_t *room, size_t index)
{
    weir_listener_t *l = room->listeners;
    while (l != NULL && index-- > 0)
        l = l->next;
    return l;
}
