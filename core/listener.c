/* listener.c: see listener.h. Made of the configuration; its sockets come later, and are accepter.c's. */
#include "listener.h"

#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "modules.h"
#include "option.h"
#include "proc.h"
#include "shared.h"
#include "stats.h"
#include "timer.h"
#include "tls.h"

static bool address_is_loopback(const char *text)
{
    struct address address;
    if (address_parse(text, &address, NULL) != WEIR_OK)
        return false;
    return address.kind != ADDRESS_INET || strncmp(address.host, "127.", 4) == 0 || strcmp(address.host, "::1") == 0 ||
           strcmp(address.host, "localhost") == 0;
}

static bool addresses_are_loopback(const weir_strings_t *addresses)
{
    for (size_t i = 0; i < addresses->count; i++)
        if (!address_is_loopback(addresses->items[i]))
            return false;
    return true;
}

bool listener_is_loopback(const weir_listener_t *listener)
{
    return listener->is_loopback;
}

static upstream_t *upstream_named(weir_list_t *upstreams, const char *name)
{
    WEIR_LIST_EACH(upstreams, it) {
        upstream_t *up = WEIR_CONTAINER(it, upstream_t, node);
        if (strcmp(up->pub.name, name) == 0)
            return up;
    }
    return NULL;
}

static int listener_routes(weir_listener_t *l, arena_t *arena, weir_list_t *upstreams, weir_error_t *err)
{
    l->nroutes = l->conf->nroutes;
    l->routes = arena_alloc(arena, (l->nroutes + 1) * sizeof(*l->routes));
    if (l->routes == NULL)
        return weir_error(err, "listener %s: no memory for its routes", l->name);
    for (size_t i = 0; i < l->nroutes; i++) {
        const conf_route_t *conf = &l->conf->routes[i];
        l->routes[i] = (route_t){.host = weir_slice_str(conf->host),
                                 .path = weir_slice_str(conf->path),
                                 .upstream = upstream_named(upstreams, conf->upstream)};
        if (l->routes[i].upstream == NULL)
            return weir_error(err, "listener %s: route %s: no upstream %s", l->name, conf->path, conf->upstream);
    }
    return WEIR_OK;
}

/* What is asked of clients counts for the listener, and not for the name that a client chooses to ask for. */
static int listener_verify(weir_listener_t *l, weir_error_t *err)
{
    const char *client_ca = NULL;
    for (size_t i = 0; i < l->conf->ntls; i++) {
        const char *one = l->conf->tls[i].client_ca;
        if (one != NULL && client_ca != NULL && strcmp(one, client_ca) != 0)
            return weir_error(err, "client_ca: %s and %s; one file counts for all certificates of a listener",
                              client_ca, one);
        client_ca = one == NULL ? client_ca : one;
    }
    return client_ca == NULL ? WEIR_OK : tls_server_verify(l->tls, l->name, client_ca, err);
}

static int listener_tls(const config_t *config, weir_listener_t *l, weir_error_t *err)
{
    if (l->conf->ntls == 0)
        return WEIR_OK;
    struct tls_certificate *certificates = calloc(l->conf->ntls, sizeof(*certificates));
    if (certificates == NULL)
        return weir_error(err, "listener %s: no memory for its certificates", l->name);
    for (size_t i = 0; i < l->conf->ntls; i++)
        certificates[i] = (struct tls_certificate){l->conf->tls[i].certificate, l->conf->tls[i].key};
    int version = l->conf->tls[0].min_version == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    l->tls = tls_server_new(certificates, l->conf->ntls, version, proc->ticket_secret, err);
    free(certificates);
    if (l->tls != NULL && listener_verify(l, err) == WEIR_OK)
        return WEIR_OK;
    tls_server_free(l->tls);
    l->tls = NULL;
    weir_error_wrap(err, "listener %s: ", l->name);
    return config_error_at(&config->source, node_get(l->conf->node, "tls"), err);
}

static const weir_accept_t *accept_named(const char *listener, const char *name, weir_error_t *err)
{
    const weir_module_t *module = modules_find(proc->modules, name);
    if (module != NULL && module->transport != NULL && module->transport->accept != NULL)
        return module->transport->accept;
    (void)weir_error(err, "listener %s: no loaded module is a transport %s that accepts; is it in `modules:`?",
                     listener, name);
    return NULL;
}

/* One face of a listener for each of its transports, in the configuration's order; the first one meets the clients. */
static int listener_faces(weir_listener_t *l, arena_t *arena, weir_error_t *err)
{
    weir_listener_t *face = l;
    for (size_t i = 0; i < l->conf->transports.count; i++) {
        if (i > 0) {
            face->sibling = arena_alloc(arena, sizeof(*face));
            if (face->sibling == NULL)
                return weir_error(err, "listener %s: no memory for its transports", l->name);
            *face->sibling = *l;
            face = face->sibling;
            face->sibling = NULL;
        }
        face->first = l;
        face->accept = accept_named(l->name, l->conf->transports.items[i], err);
        if (face->accept == NULL)
            return WEIR_EFAIL;
        if (l->conf->transports.count > 1 && face->accept->adopt == NULL)
            return weir_error(err, "listener %s: transport %s cannot share its port with others", l->name,
                              l->conf->transports.items[i]);
        face->options = arena_alloc(arena, face->accept->options_size + 1);
        if (face->options == NULL)
            return weir_error(err, "listener %s: no memory for its options", l->name);
    }
    return WEIR_OK;
}

#define TRANSPORTS_MAX 8

/* The options of all its transports stand in one map, beside the core's. */
static int listener_options(const config_t *config, weir_listener_t *l, arena_t *arena, weir_error_t *err)
{
    conf_listener_t scratch;
    option_set_t sets[2 + TRANSPORTS_MAX] = {
        {conf_listener_options, &scratch, "a listener"},
        {conf_listener_sections, NULL, "a listener"},
    };
    size_t n = 2;
    for (weir_listener_t *face = l; face != NULL; face = face->sibling) {
        if (n == 2 + TRANSPORTS_MAX)
            return weir_error(err, "listener %s: more than %d transports", l->name, TRANSPORTS_MAX);
        sets[n] = (option_set_t){face->accept->options, face->options, l->conf->transports.items[n - 2]};
        n++;
    }
    return options_read_sets(&config->source, arena, sets, n, l->conf->node, err);
}

/* What its transports allow together: a lane belongs to one of them, and those that have none have no part in it. */
static int listener_link_module(const config_t *config, weir_listener_t *l, arena_t *arena,
                                const conf_chain_item_t *conf, weir_error_t *err)
{
    const weir_module_t *module = modules_find(proc->modules, conf->module);
    if (module == NULL || module->link == NULL)
        return weir_error(err, "%s:%d:%d: listener %s: %s is no link module that is loaded; %s", config->file,
                          conf->line, conf->column, l->name, conf->module,
                          module == NULL ? "is it in `modules:`?" : "it belongs into the chain of an upstream");
    lane_place_t place = {.config = config,
                          .arena = arena,
                          .what = "listener",
                          .name = l->name,
                          .transport = l->conf->transports.items[0]};
    for (weir_listener_t *face = l; face != NULL; face = face->sibling)
        if (face->accept->link_modules != NULL)
            place.allowed |= face->accept->link_modules(face->options, &place.why_not);
    return lane_chain_add(&l->lanes, &place, module, conf, err);
}

static int listener_chain(const config_t *config, weir_listener_t *l, arena_t *arena, weir_error_t *err)
{
    char row[256];
    snprintf(row, sizeof(row), STATS_LISTENER "%s", l->name);
    struct stats_row *stats = stats_row(l->conf->nchain > 0 ? row : NULL);
    if (lane_chain_begin(&l->lanes, arena, l->conf->nchain, &stats->lanes, err) != WEIR_OK)
        return weir_error_wrap(err, "listener %s: ", l->name);
    for (size_t i = 0; i < l->conf->nchain; i++)
        if (listener_link_module(config, l, arena, &l->conf->chain[i], err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

static int listener_create(weir_listener_t *l, weir_error_t *err)
{
    for (weir_listener_t *face = l; face != NULL; face = face->sibling) {
        face->self = face->accept->create(proc->host, face, face->options, err);
        if (face->self == NULL)
            return weir_error_wrap(err, "listener %s: ", l->name);
    }
    return WEIR_OK;
}

/* Where the listener begins in the configuration, before a story that does not say it. */
static int listener_wrong(const config_t *config, const weir_listener_t *l, weir_error_t *err)
{
    return weir_error_wrap(err, "%s:%d:%d: ", config->file, l->conf->node->key_line, l->conf->node->key_column);
}

int listener_new(const config_t *config, const conf_listener_t *conf, arena_t *arena, weir_list_t *upstreams,
                 weir_listener_t **out, weir_error_t *err)
{
    weir_listener_t *l = arena_alloc(arena, sizeof(*l));
    if (l == NULL)
        return weir_error(err, "no memory for listener %s", conf->name);
    l->name = conf->name;
    l->conf = conf;
    weir_list_init(&l->rest.node);
    l->is_loopback = addresses_are_loopback(&conf->listen);
    if (listener_routes(l, arena, upstreams, err) != WEIR_OK || listener_faces(l, arena, err) != WEIR_OK)
        return listener_wrong(config, l, err);
    if (listener_options(config, l, arena, err) != WEIR_OK || listener_chain(config, l, arena, err) != WEIR_OK ||
        listener_tls(config, l, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (listener_create(l, err) != WEIR_OK)
        return listener_wrong(config, l, err);
    *out = l;
    return WEIR_OK;
}

void listener_free(weir_listener_t *l)
{
    for (weir_listener_t *face = l; face != NULL; face = face->sibling)
        face->accept->destroy(face->self);
    lane_chain_end(&l->lanes);
    timer_stop(&l->rest);
    tls_server_free(l->tls);
    free(l->accepters);
}

int listener_counters(weir_counters_t *counters, int64_t *own, const weir_listener_t *l, const char *module,
                      uint32_t ngauges, uint32_t ngrowing, weir_error_t *err)
{
    char where[256];
    snprintf(where, sizeof(where), "listener %s", l->name);
    return link_counters_of(counters, own, where, module, ngauges, ngrowing, err);
}

size_t listener_clients(const weir_listener_t *l)
{
    size_t n = 0;
    for (; l != NULL; l = l->sibling)
        n += l->accept->clients == NULL ? 0 : l->accept->clients(l->self);
    return n;
}

bool listener_is_shared(const weir_listener_t *listener)
{
    return listener->first->sibling != NULL;
}

bool listener_offer(weir_listener_t *listener, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes,
                    size_t head_n)
{
    for (weir_listener_t *face = listener->first; face != NULL; face = face->sibling)
        if (face != listener && face->accept->adopt(face->self, stream, head, bytes, head_n))
            return true;
    return false;
}

static weir_slice_t host_without_port(weir_slice_t host)
{
    if (host.n > 0 && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        return end == NULL ? host : weir_slice(host.p, (size_t)(end - host.p) + 1);
    }
    const char *colon = host.n == 0 ? NULL : memchr(host.p, ':', host.n);
    return colon == NULL ? host : weir_slice(host.p, (size_t)(colon - host.p));
}

upstream_t *listener_route(const weir_listener_t *l, weir_slice_t host, weir_slice_t target)
{
    const char *query = target.n == 0 ? NULL : memchr(target.p, '?', target.n);
    weir_slice_t path = query == NULL ? target : weir_slice(target.p, (size_t)(query - target.p));
    for (size_t i = 0; i < l->nroutes; i++) {
        const route_t *route = &l->routes[i];
        if (!weir_slice_eq(route->path, path))
            continue;
        if (route->host.n == 0 || weir_slice_ieq(route->host, host_without_port(host)))
            return route->upstream;
    }
    return NULL;
}
