/* listener.c: see listener.h. Accepting is bounded per turn, so that one flood does not starve what is under way. */
#include "listener.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "modules.h"
#include "option.h"
#include "proc.h"
#include "shared.h"
#include "stats.h"
#include "stream.h"
#include "timer.h"
#include "tls.h"

#define ACCEPTS_PER_TURN 64
/* How long nobody is taken when there is no descriptor or memory for one more, and how often that is said. */
#define REST_MS 100
#define REST_SAY_MS 10000
/* A turn of the loop. */
#define LET_GO_MS 1
/* More than a kernel keeps waiting on a socket. */
#define ACCEPTS_AT_END 65536

typedef struct accepter {
    ev_io io;
    weir_listener_t *listener;
} accepter_t;

static void accepters_watch(void *arg)
{
    weir_listener_t *l = arg;
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_start(proc->loop, &l->accepters[i].io);
}

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
    l->rest = (weir_timer_t){.fire = accepters_watch, .arg = l};
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

/* There is nothing to take another client with. The sockets would be ready all the time, so they are left alone for a moment;
 * those who wait stay in their queues. */
static void listener_rest(weir_listener_t *l, const char *why)
{
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_stop(proc->loop, &l->accepters[i].io);
    timer_start(timers_get(REST_MS), &l->rest);
    if (l->rest_said_ms != 0 && now_ms() - l->rest_said_ms < REST_SAY_MS)
        return;
    l->rest_said_ms = now_ms();
    log_write(WEIR_LOG_ERROR, "listener %s: takes no new clients for the moment: %s", l->name, why);
}

/* Clients of this worker, whichever listener they came by. */
static bool is_worker_full(const weir_listener_t *l)
{
    size_t n = 0;
    for (const weir_listener_t *one = l->head; one != NULL; one = one->next)
        n += listener_clients(one);
    return n >= (size_t)proc->config->worker_connections;
}

/* One client; false when there are no more for now. */
static bool listener_accept_one(weir_listener_t *l, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        if (errno == EMFILE)
            listener_rest(l, "too many open files; raise weir's limit of them (ulimit -n)");
        else if (errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            listener_rest(l, strerror(errno));
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
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (is_worker_full(accepter->listener)) {
            listener_rest(accepter->listener, "its worker has as many as worker_connections allows");
            return;
        }
        if (!listener_accept_one(accepter->listener, io->fd))
            return;
    }
}

/* The one client at our own stdin and stdout. The descriptors are copies: the process keeps its own. */
static int listener_take_stdio(weir_listener_t *l, weir_error_t *err)
{
    if (proc->slot != 0)
        return WEIR_OK;
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0), out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (in < 0 || out < 0)
        return weir_error(err, "listener %s: stdin or stdout is not open: %s", l->name, strerror(errno));
    weir_stream_t *stream = stream_pipes(in, out, err);
    if (stream == NULL)
        return weir_error_wrap(err, "listener %s: ", l->name);
    l->accept->open(l->self, stream);
    return WEIR_OK;
}

void listener_over(weir_listener_t *l)
{
    log_write(WEIR_LOG_INFO, "listener %s: its client has gone, and there will be no other", l->name);
    if (!proc->is_draining && kill(getppid(), SIGQUIT) != 0)
        log_write(WEIR_LOG_ERROR, "cannot tell the master to end: %s", strerror(errno));
}

int listener_accept(weir_listener_t *l, const char *address, int fd, weir_error_t *err)
{
    if (strcmp(address, ADDRESS_STDIO_TEXT) == 0)
        return listener_take_stdio(l, err);
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
static void accepters_close(void *arg)
{
    weir_listener_t *l = arg;
    for (size_t i = 0; i < l->naccepters; i++) {
        int fd = l->accepters[i].io.fd;
        for (int n = 0; n < ACCEPTS_AT_END && listener_accept_one(l, fd); n++)
            ;
        close(fd);
    }
    l->naccepters = 0;
}

/* The sockets are closed when the loop has let go of them: epoll knows them by what other processes still have open too. */
void listener_drain(weir_listener_t *l, bool now)
{
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_stop(proc->loop, &l->accepters[i].io);
    l->rest.fire = accepters_close;
    if (l->naccepters > 0)
        timer_start(timers_get(LET_GO_MS), &l->rest);
    for (weir_listener_t *face = l; face != NULL; face = face->sibling)
        face->accept->drain(face->self, now);
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
