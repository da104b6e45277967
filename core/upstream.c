/* upstream.c: see upstream.h. */
#include "upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "calls.h"
#include "carrier.h"
#include "channel.h"
#include "link.h"
#include "modules.h"
#include "option.h"
#include "param.h"
#include "proc.h"
#include "session.h"
#include "shared.h"
#include "stats.h"
#include "target.h"
#include "timer.h"
#include "upstream_chain.h"
#include "upstreams.h"

static const carrier_t *carrier_of(const upstream_t *up)
{
    if (up->is_kept)
        return &channel_carrier;
    return up->connect->flags & WEIR_CONNECT_STREAM ? &calls_carrier : &link_carrier;
}

static int upstream_transport(const config_t *config, upstream_t *up, weir_error_t *err)
{
    const weir_module_t *module = modules_find(proc->modules, up->conf->transport);
    if (module == NULL || module->transport == NULL || module->transport->connect == NULL)
        return config_error(
            &config->source, node_get(up->conf->node, "transport"), err,
            "upstream %s: no loaded module is a transport %s that reaches servers; is it in `modules:`?", up->pub.name,
            up->conf->transport);
    up->connect = module->transport->connect;
    up->transport = up->conf->transport;
    up->pub.options = arena_alloc(up->arena, up->connect->upstream_options_size + 1);
    if (up->pub.options == NULL)
        return weir_error(err, "upstream %s: no memory for its options", up->pub.name);
    conf_upstream_t scratch;
    option_set_t sets[] = {
        {conf_upstream_options, &scratch, "an upstream"},
        {conf_upstream_sections, NULL, "an upstream"},
        {up->connect->upstream_options, up->pub.options, up->transport},
    };
    if (options_read_sets(&config->source, up->arena, sets, 3, up->conf->node, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (up->connect->variant != NULL)
        up->connect = up->connect->variant(up->pub.options);
    up->pub.is_shared = up->connect->flags & (WEIR_CONNECT_STREAM | WEIR_CONNECT_SHARED);
    up->pub.is_messages = up->connect->flags & WEIR_CONNECT_STREAM;
    up->pub.is_dear = up->connect->flags & WEIR_CONNECT_DEAR;
    up->is_kept = proc->kind == PROC_WORKER && (up->connect->flags & WEIR_CONNECT_KEPT);
    up->carrier = carrier_of(up);
    return WEIR_OK;
}

bool upstream_is_kept(const config_t *config, const conf_upstream_t *conf)
{
    upstream_t up = {.conf = conf, .arena = arena_new(1024), .pub.name = conf->name};
    if (up.arena == NULL)
        return false;
    bool is_kept = upstream_transport(config, &up, NULL) == WEIR_OK && (up.connect->flags & WEIR_CONNECT_KEPT);
    arena_free(up.arena);
    return is_kept;
}

static int server_options(const config_t *config, upstream_t *up, server_t *server, const conf_server_t *conf,
                          weir_error_t *err)
{
    if (conf == NULL) {
        server->pub.options = up->pub.options;
        server->pub.weight = 1;
        return WEIR_OK;
    }
    server->pub.weight = (uint32_t)conf->weight;
    server->pub.options = arena_alloc(up->arena, up->connect->server_options_size + 1);
    if (server->pub.options == NULL)
        return weir_error(err, "upstream %s: no memory for a server's options", up->pub.name);
    conf_server_t scratch;
    option_set_t sets[] = {
        {conf_server_options, &scratch, "a server"},
        {up->connect->server_options, server->pub.options, up->transport},
    };
    return options_read_sets(&config->source, up->arena, sets, 2, conf->node, err);
}

static bool server_is_named(const upstream_t *up, const char *name)
{
    for (uint32_t i = 0; i + 1 < up->pub.nservers; i++)
        if (strcmp(up->servers[i].pub.name, name) == 0)
            return true;
    return false;
}

/* A name says which server is meant, in tokens of sessions, to operators, and to what counts: the second of a name is NAME~2. */
static int server_name_alone(upstream_t *up, weir_error_t *err)
{
    weir_server_t *server = &up->servers[up->pub.nservers - 1].pub;
    const char *given = server->name;
    size_t size = strlen(given) + sizeof("~4294967295");
    for (unsigned i = 2; server_is_named(up, server->name); i++) {
        char *name = arena_alloc(up->arena, size);
        if (name == NULL)
            return weir_error(err, "upstream %s: no memory for a server's name", up->pub.name);
        snprintf(name, size, "%s~%u", given, i);
        server->name = name;
    }
    return WEIR_OK;
}

static int upstream_server(const config_t *config, upstream_t *up, uint32_t i, const conf_server_t *conf,
                           weir_error_t *err)
{
    server_t *server = &up->servers[i];
    server->pub = (weir_server_t){.magic = WEIR_SERVER_MAGIC, .index = i, .upstream = &up->pub};
    weir_list_init(&server->links);
    if (server_options(config, up, server, conf, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (up->connect->server_open(proc->host, &server->pub, err) != WEIR_OK) {
        weir_error_wrap(err, "upstream %s: ", up->pub.name);
        return config_error_at(&config->source, conf == NULL ? up->conf->node : conf->node, err);
    }
    up->pub.nservers++;
    if (server_name_alone(up, err) != WEIR_OK)
        return WEIR_EFAIL;
    server->name_hash = (uint32_t)name_hash64(server->pub.name);
    if (counters_of(&server->latency, &up->pub, &server->pub, "weir", 0, LATENCY_BUCKETS + 1, err) != WEIR_OK)
        return weir_error_wrap(err, "upstream %s: ", up->pub.name);
    return WEIR_OK;
}

static int upstream_servers(const config_t *config, upstream_t *up, weir_error_t *err)
{
    bool has_list = up->connect->server_options != NULL;
    if (has_list && up->conf->nservers == 0)
        return config_error(&config->source, up->conf->node, err, "upstream %s: has no servers", up->pub.name);
    if (!has_list && up->conf->nservers > 0)
        return config_error(&config->source, node_get(up->conf->node, "servers"), err,
                            "upstream %s: transport %s takes no `servers`", up->pub.name, up->transport);
    uint32_t n = has_list ? (uint32_t)up->conf->nservers : 1;
    up->servers = arena_alloc(up->arena, n * sizeof(*up->servers));
    if (up->servers == NULL)
        return weir_error(err, "upstream %s: no memory for its servers", up->pub.name);
    for (uint32_t i = 0; i < n; i++)
        if (upstream_server(config, up, i, has_list ? &up->conf->servers[i] : NULL, err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

static bool upstream_is_configured(const config_t *config, const char *name)
{
    for (size_t i = 0; i < config->nupstreams; i++)
        if (strcmp(config->upstreams[i].name, name) == 0)
            return true;
    return false;
}

/* A server of its own, unless that were all it has; or another upstream, which is looked up when it is needed. */
static int upstream_take_fallback(const config_t *config, upstream_t *up, weir_error_t *err)
{
    const char *name = up->conf->fallback;
    uint32_t found = 0;
    if (name == NULL)
        return WEIR_OK;
    for (uint32_t i = 0; i < up->pub.nservers; i++) {
        up->servers[i].pub.is_fallback = strcmp(up->servers[i].pub.name, name) == 0;
        found += up->servers[i].pub.is_fallback;
    }
    const node_t *at = node_get(up->conf->node, "fallback");
    if (found > 0 && found == up->pub.nservers)
        return config_error(&config->source, at, err, "fallback: %s is all that upstream %s has", name, up->pub.name);
    if (found > 0)
        return WEIR_OK;
    if (strcmp(name, up->pub.name) == 0)
        return config_error(&config->source, at, err, "fallback: upstream %s cannot stand in for itself", name);
    if (!upstream_is_configured(config, name))
        return config_error(&config->source, at, err, "fallback: %s is neither an upstream nor a server of %s", name,
                            up->pub.name);
    up->fallback = name;
    return WEIR_OK;
}

static int upstream_make(const config_t *config, upstream_t *up, weir_error_t *err)
{
    if (upstream_transport(config, up, err) != WEIR_OK || upstream_servers(config, up, err) != WEIR_OK ||
        upstream_take_fallback(config, up, err) != WEIR_OK || upstream_chain(config, up, err) != WEIR_OK)
        return WEIR_EFAIL;
    up->reply_timeouts = timers_get(up->conf->reply_timeout_ms);
    if (up->reply_timeouts == NULL)
        return weir_error(err, "upstream %s: no memory for its timers", up->pub.name);
    if (proc->kind != PROC_KEEPER)
        return WEIR_OK;
    up->sessions = sessions_new(up);
    return up->sessions == NULL ? weir_error(err, "upstream %s: no memory for its sessions", up->pub.name) : WEIR_OK;
}

int upstream_new(const config_t *config, const conf_upstream_t *conf, upstream_t **out, weir_error_t *err)
{
    upstream_t *up = calloc(1, sizeof(*up));
    arena_t *arena = arena_new(4096);
    if (up == NULL || arena == NULL) {
        free(up);
        if (arena != NULL)
            arena_free(arena);
        return weir_error(err, "no memory for upstream %s", conf->name);
    }
    up->arena = arena;
    up->conf = conf;
    up->pub.name = conf->name;
    up->pub.reply_timeout_ms = conf->reply_timeout_ms;
    up->pub.buffer_limit = conf->buffer_limit;
    up->pub.max_message = conf->max_message;
    up->digest = conf->digest;
    up->name_hash = name_hash64(conf->name);
    up->stats = stats_row(conf->name);
    weir_list_init(&up->node);
    weir_list_init(&up->era_waits);
    if (upstream_make(config, up, err) != WEIR_OK) {
        upstream_free(up);
        return WEIR_EFAIL;
    }
    *out = up;
    return WEIR_OK;
}

void upstream_start(upstream_t *up)
{
    for (uint32_t i = 0; i < up->nchain; i++)
        if (up->chain[i].ops->start != NULL)
            up->chain[i].ops->start(up->chain[i].self);
}

static void server_close_links(server_t *server)
{
    WEIR_LIST_EACH(&server->links, it)
        link_close(&WEIR_CONTAINER(it, link_t, in_server)->pub, WEIR_REASON_SERVER_DIED, "its upstream was removed");
}

void upstream_free(upstream_t *up)
{
    weir_list_remove(&up->node);
    timer_stop(&up->retirement);
    if (up->sessions != NULL)
        sessions_free(up);
    for (uint32_t i = 0; i < up->pub.nservers; i++)
        server_close_links(&up->servers[i]);
    lane_chain_end(&up->lanes);
    for (uint32_t i = up->nchain; i-- > 0;)
        up->chain[i].ops->destroy(up->chain[i].self);
    for (uint32_t i = up->nshadows; i-- > 0;)
        up->shadows[i].ops->destroy(up->shadows[i].self);
    for (uint32_t i = 0; i < up->pub.nservers; i++) {
        up->connect->server_close(&up->servers[i].pub);
        target_free(up->servers[i].target);
    }
    params_free(up);
    free(up->revisions);
    arena_free(up->arena);
    free(up);
}
