/* keeper.c: a keeper: owns what must outlive a worker: stdio children, the legacy sessions on them, their event logs.
 *
 * It survives reloads. An upstream whose definition did not change stays as it is; one that changed or went is retired: the workers
 * that still know it may use it until drain_timeout, then its sessions and children end. A configuration lives as long as an
 * upstream made from it.
 *
 *   state     event                            next
 *   SERVING   CONFIG                           SERVING with the new upstreams; the old ones are retired, retired ones that are new again
 *                                              go on
 *   SERVING   DRAIN                            DRAINING
 *   DRAINING  the last worker's channel ends   STOPPING
 *   any       STOP, master gone                STOPPING: sessions end, children are ended in their order
 *   STOPPING  the last child is reaped         leaves
 */
#include "keeper.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "child.h"
#include "exchanges.h"
#include "inlet.h"
#include "log.h"
#include "modules.h"
#include "proc.h"
#include "room.h"
#include "stats.h"
#include "timer.h"
#include "upstreams.h"

/* How often it is looked whether the workers that may use a retired upstream have left. */
#define RETIRE_LOOK_MS 200

static void keeper_leave(void)
{
    ev_break(proc->loop, EVBREAK_ALL);
}

/* Configurations are freed with their last upstream. */
static void config_release(config_t *config)
{
    WEIR_LIST_EACH(&proc->upstreams, it)
        if (WEIR_CONTAINER(it, upstream_t, node)->config == config)
            return;
    if (config != proc->config && config != proc->first_config)
        config_free(config);
}

static void upstream_end(upstream_t *up)
{
    config_t *config = up->config;
    upstream_free(up);
    config_release(config);
}

static void upstreams_end(void)
{
    WEIR_LIST_EACH(&proc->upstreams, it)
        upstream_end(WEIR_CONTAINER(it, upstream_t, node));
}

static void keeper_stop(void)
{
    if (proc->is_stopping)
        return;
    proc->is_stopping = true;
    inlets_close();
    upstreams_end();
    children_on_empty(keeper_leave);
}

static void keeper_inlet_gone(void)
{
    if (proc->is_draining && inlets_count() == 0)
        keeper_stop();
}

static void keeper_drain(bool is_followed)
{
    (void)is_followed;
    proc->is_draining = true;
    keeper_inlet_gone();
}

static void keeper_peer(int slot, uint32_t generation, int fd)
{
    weir_error_t err;
    if (inlet_open(slot, generation, fd, &err) != WEIR_OK)
        log_write(WEIR_LOG_ERROR, "worker/%d cannot be reached: %s", slot, err.text);
}

/* Workers of before have a drain_timeout of their own, which began when those that follow them were ready: as long as they are
 * there, nothing that they may use ends. */
static void upstream_retired(void *arg)
{
    upstream_t *up = arg;
    if (inlets_are_older_than(up->retired_by)) {
        timer_start(timers_get(RETIRE_LOOK_MS), &up->retirement);
        return;
    }
    log_write(WEIR_LOG_INFO, "upstream %s of an older configuration ends", up->pub.name);
    upstream_end(up);
}

static void upstream_retire(upstream_t *up, uint32_t generation)
{
    if (up->is_retired)
        return;
    up->is_retired = true;
    up->retired_by = generation;
    up->retirement = (weir_timer_t){.fire = upstream_retired, .arg = up};
    timer_start(timers_get(proc->config->drain_timeout_ms), &up->retirement);
}

/* It is in force again: the change that retired it was undone, or taken back. */
static void upstream_revive(upstream_t *up)
{
    up->is_retired = false;
    timer_stop(&up->retirement);
}

/* Make what is new into `fresh`; on failure nothing has changed. */
static int upstreams_make(config_t *config, weir_list_t *fresh, weir_error_t *err)
{
    for (size_t i = 0; i < config->nupstreams; i++) {
        const conf_upstream_t *conf = &config->upstreams[i];
        upstream_t *up;
        if (!upstream_is_kept(config, conf) || upstream_by_digest(conf->digest) != NULL)
            continue;
        if (upstream_new(config, conf, &up, err) != WEIR_OK) {
            WEIR_LIST_EACH(fresh, it)
                upstream_free(WEIR_CONTAINER(it, upstream_t, node));
            return WEIR_EFAIL;
        }
        up->config = config;
        weir_list_append(fresh, &up->node);
    }
    return WEIR_OK;
}

static bool config_has(const config_t *config, uint64_t digest)
{
    for (size_t i = 0; i < config->nupstreams; i++)
        if (config->upstreams[i].digest == digest)
            return true;
    return false;
}

static int keeper_apply(config_t *config, uint32_t generation, weir_error_t *err)
{
    weir_list_t fresh;
    weir_list_init(&fresh);
    if (check_server_users(config, err) != WEIR_OK || modules_load(proc->modules, config, err) != WEIR_OK ||
        upstreams_make(config, &fresh, err) != WEIR_OK)
        return WEIR_EFAIL;
    WEIR_LIST_EACH(&proc->upstreams, it) {
        upstream_t *old = WEIR_CONTAINER(it, upstream_t, node);
        if (config_has(config, old->digest))
            upstream_revive(old);
        else
            upstream_retire(old, generation);
    }
    WEIR_LIST_EACH(&fresh, it) {
        weir_list_remove(it);
        weir_list_append(&proc->upstreams, it);
        upstream_start(WEIR_CONTAINER(it, upstream_t, node));
    }
    return WEIR_OK;
}

static bool is_same_file(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Other processes open their log when they start; this one stays, and follows. */
static void keeper_log(const config_t *before)
{
    weir_error_t err;
    if (before->log_level == proc->config->log_level && is_same_file(before->log_file, proc->config->log_file))
        return;
    struct log *log = log_open((weir_level_t)proc->config->log_level, proc->config->log_file, &err);
    if (log == NULL) {
        log_write(WEIR_LOG_ERROR, "%s; the old log stays in use", err.text);
        return;
    }
    log_close(proc->log);
    proc->log = log;
}

static int keeper_config(const char *text, const char *file, uint32_t generation, weir_error_t *err)
{
    config_t *config;
    if (config_parse(text, file, &config, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (keeper_apply(config, generation, err) != WEIR_OK) {
        config_free(config);
        return WEIR_EFAIL;
    }
    config_t *before = proc->config;
    proc->config = config;
    keeper_log(before);
    config_release(before);
    return WEIR_OK;
}

static const process_events_t keeper_events = {
    .drain = keeper_drain,
    .stop = keeper_stop,
    .peer = keeper_peer,
    .config = keeper_config,
    .master_gone = keeper_stop,
};

static int keeper_set_up(const process_args_t *args, weir_error_t *err)
{
    if (room_enter(args, err) != WEIR_OK)
        return WEIR_EFAIL;
    proc->first_config = proc->config;
    proc->on_inlet_gone = keeper_inlet_gone;
    proc->children = children_new();
    if (proc->children == NULL)
        return weir_error(err, "no memory for the children");
    return keeper_apply(proc->config, args->generation, err);
}

int keeper_main(const process_args_t *args)
{
    weir_error_t err;
    if (process_enter(args, &keeper_events) != WEIR_OK)
        return 1;
    if (keeper_set_up(args, &err) != WEIR_OK) {
        log_write(WEIR_LOG_ERROR, "%s", err.text);
        return 1;
    }
    if (process_ready() != WEIR_OK)
        return 1;
    ev_run(proc->loop, 0);
    children_free(proc->children);
    room_leave();
    config_t *last = proc->config;
    proc->config = proc->first_config;
    config_release(last);
    process_leave();
    return 0;
}
