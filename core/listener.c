/* listener.c: see listener.h. Accepting is bounded per turn, so that one flood does not starve what is under way. */
#include "listener.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "modules.h"
#include "option.h"
#include "proc.h"
#include "stream.h"
#include "tls.h"

#define ACCEPTS_PER_TURN 64
/* More than a kernel keeps waiting on a socket. */
#define ACCEPTS_AT_END 65536

typedef struct accepter {
    ev_io io;
    weir_listener_t *listener;
} accepter_t;

static bool address_is_loopback(const char *text)
{
    struct address address;
    if (address_parse(text, &address, NULL) != WEIR_OK)
        return false;
    return address.kind == ADDRESS_UNIX || strncmp(address.host, "127.", 4) == 0 || strcmp(address.host, "::1") == 0 ||
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

static int listener_tls(weir_listener_t *l, weir_error_t *err)
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
    return l->tls == NULL ? weir_error_wrap(err, "listener %s: ", l->name) : WEIR_OK;
}

/* The transport of a listener, and its options from the same map as the core's. */
static int listener_transport(const config_t *config, weir_listener_t *l, arena_t *arena, weir_error_t *err)
{
    const char *name = l->conf->transports.items[0];
    const node_t *at = node_get(l->conf->node, "transport");
    if (l->conf->transports.count > 1)
        return config_error(&config->source, at, err, "listener %s: only one transport on a port in this version",
                            l->name);
    const weir_module_t *module = modules_find(proc->modules, name);
    if (module == NULL || module->transport == NULL || module->transport->accept == NULL)
        return config_error(
            &config->source, at, err,
            "listener %s: no loaded module is a transport %s that accepts clients; is it in `modules:`?", l->name,
            name);
    l->accept = module->transport->accept;
    l->options = arena_alloc(arena, l->accept->options_size + 1);
    if (l->options == NULL)
        return weir_error(err, "listener %s: no memory for its options", l->name);
    conf_listener_t scratch;
    option_set_t sets[] = {
        {conf_listener_options, &scratch, "a listener"},
        {conf_listener_sections, NULL, "a listener"},
        {l->accept->options, l->options, name},
    };
    return options_read_sets(&config->source, arena, sets, 3, l->conf->node, err);
}

int listener_new(const config_t *config, const conf_listener_t *conf, arena_t *arena, weir_list_t *upstreams,
                 weir_listener_t **out, weir_error_t *err)
{
    weir_listener_t *l = arena_alloc(arena, sizeof(*l));
    if (l == NULL)
        return weir_error(err, "no memory for listener %s", conf->name);
    l->name = conf->name;
    l->conf = conf;
    l->is_loopback = addresses_are_loopback(&conf->listen);
    if (listener_transport(config, l, arena, err) != WEIR_OK || listener_routes(l, arena, upstreams, err) != WEIR_OK ||
        listener_tls(l, err) != WEIR_OK)
        return WEIR_EFAIL;
    l->self = l->accept->create(proc->host, l, l->options, err);
    if (l->self == NULL)
        return weir_error_wrap(err, "listener %s: ", l->name);
    *out = l;
    return WEIR_OK;
}

void listener_free(weir_listener_t *l)
{
    l->accept->destroy(l->self);
    tls_server_free(l->tls);
    free(l->accepters);
}

/* One client; false when there are no more for now. */
static bool listener_accept_one(weir_listener_t *l, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        if (errno == EMFILE || errno == ENFILE)
            log_write(WEIR_LOG_ERROR, "listener %s: out of file descriptors; raise the limit (ulimit -n)", l->name);
        return errno == EINTR || errno == ECONNABORTED;
    }
    weir_error_t err;
    weir_stream_t *stream = stream_accept(client, (struct sockaddr *)&peer, len, l->tls, &err);
    if (stream == NULL)
        log_write(WEIR_LOG_ERROR, "listener %s: a client could not be taken: %s", l->name, err.text);
    else
        l->accept->open(l->self, stream);
    return true;
}

static void accepter_ready(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    accepter_t *accepter = WEIR_CONTAINER(io, accepter_t, io);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!listener_accept_one(accepter->listener, io->fd))
            return;
}

int listener_accept(weir_listener_t *l, int fd, weir_error_t *err)
{
    /* Watchers must not move once they run, so there is room for all from the start. */
    const size_t max = 256;
    if (l->accepters == NULL)
        l->accepters = calloc(max, sizeof(*l->accepters));
    if (l->accepters == NULL || l->naccepters == max)
        return weir_error(err, "listener %s: no memory, or more than %zu sockets", l->name, max);
    accepter_t *accepter = &l->accepters[l->naccepters++];
    accepter->listener = l;
    ev_io_init(&accepter->io, accepter_ready, fd, EV_READ);
    ev_io_start(proc->loop, &accepter->io);
    return WEIR_OK;
}

/* Whoever is in the queue of a socket that nobody listens on from now on would be reset when it closes: they are taken first.
 * A socket that goes on in the next generation of workers is only our copy of it. */
static void accepter_close(accepter_t *accepter)
{
    for (int i = 0; i < ACCEPTS_AT_END && listener_accept_one(accepter->listener, accepter->io.fd); i++)
        ;
    ev_io_stop(proc->loop, &accepter->io);
    close(accepter->io.fd);
}

void listener_drain(weir_listener_t *l, bool now)
{
    for (size_t i = 0; i < l->naccepters; i++)
        accepter_close(&l->accepters[i]);
    l->naccepters = 0;
    l->accept->drain(l->self, now);
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
