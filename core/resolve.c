/* resolve.c: names to addresses by c-ares, on the loop.
 *
 * Why c-ares and not a thread with getaddrinfo(): it is the well-kept resolver that does not block (curl and Node stand on
 * it), it reads /etc/hosts and resolv.conf as libc does, sorts by RFC 6724, and it tells the TTL, which getaddrinfo() hides. A
 * thread would be the only one of the process, and would have to be kept away from every fork.
 *
 * The resolver owns the channel and one watcher per socket that c-ares opens. A query is owned by c-ares while it is out, then
 * by the turn's end, where its result is delivered and it is freed; a cancelled one only forgets whom to tell. The nameservers
 * are read once per process: a reload reads them again.
 */
#include "resolve.h"

#include <ares.h>
#include <assert.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proc.h"
#include "timer.h"

#define QUERY_MAGIC 0x52515259u
#define TRY_TIMEOUT_MS 2000
#define TRIES 3
#define TICK_MS 200 /* how often c-ares is asked to look at its own time-outs */
/* A TTL of 0 must not mean a query per connection, and one of a week must not outlive a move. */
#define TTL_MIN_S 5u
#define TTL_MAX_S 600u

struct lookup_socket {
    struct ev_io io;
    struct resolver *resolver;
    struct lookup_socket *next;
};

struct resolver {
    ares_channel channel;
    struct lookup_socket *sockets;
    weir_timer_t tick;
    uint32_t out; /* queries that c-ares has */
};

struct resolve_query {
    uint32_t magic;
    int status; /* of c-ares */
    uint16_t port;
    char *host;
    void (*done)(void *arg, const resolved_t *found, const char *why); /* NULL: cancelled */
    void *arg;
    weir_timer_t deliver;
    resolved_t found;
};

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop;
    ares_channel channel = ((struct lookup_socket *)io->data)->resolver->channel;
    ares_process_fd(channel, events & EV_READ ? io->fd : ARES_SOCKET_BAD, events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
}

static struct lookup_socket **find_socket(struct resolver *resolver, int fd)
{
    struct lookup_socket **at = &resolver->sockets;
    while (*at != NULL && (*at)->io.fd != fd)
        at = &(*at)->next;
    return at;
}

static struct lookup_socket *add_socket(struct resolver *resolver, int fd)
{
    struct lookup_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL)
        return NULL; /* the query times out, and its text says so */
    socket->resolver = resolver;
    ev_io_init(&socket->io, on_socket, fd, 0);
    socket->io.data = socket;
    socket->next = resolver->sockets;
    resolver->sockets = socket;
    return socket;
}

/* c-ares says what it waits for on a socket; nothing means that it is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = arg;
    struct lookup_socket **at = find_socket(resolver, fd);
    struct lookup_socket *socket = *at;
    if (socket != NULL)
        ev_io_stop(proc->loop, &socket->io);
    if (!readable && !writable) {
        if (socket != NULL) {
            *at = socket->next;
            free(socket);
        }
        return;
    }
    if (socket == NULL && (socket = add_socket(resolver, fd)) == NULL)
        return;
    ev_io_set(&socket->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(proc->loop, &socket->io);
}

static void start_tick(struct resolver *resolver)
{
    weir_timeouts_t *queue = timers_get(TICK_MS);
    if (queue != NULL)
        timer_start(queue, &resolver->tick);
}

static void on_tick(void *arg)
{
    struct resolver *resolver = arg;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (resolver->out > 0)
        start_tick(resolver);
}

static struct resolver *resolver_new(weir_error_t *err)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL) {
        weir_error(err, "out of memory");
        return NULL;
    }
    resolver->tick = (weir_timer_t){.fire = on_tick, .arg = resolver};
    struct ares_options options = {
        .timeout = TRY_TIMEOUT_MS,
        .tries = TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&resolver->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS)
        return resolver;
    weir_error(err, "cannot start the resolver: %s; look at /etc/resolv.conf", ares_strerror(status));
    free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    timer_stop(&resolver->tick);
    ares_destroy(resolver->channel); /* ends its queries and closes its sockets */
    ares_library_cleanup();
    free(resolver);
}

int resolver_use(const char *servers, weir_error_t *err)
{
    if (proc->resolver == NULL && (proc->resolver = resolver_new(err)) == NULL)
        return WEIR_EFAIL;
    int status = ares_set_servers_ports_csv(proc->resolver->channel, servers);
    if (status == ARES_SUCCESS)
        return WEIR_OK;
    return weir_error(err, "cannot use the nameservers \"%s\": %s", servers, ares_strerror(status));
}

static void query_free(struct resolve_query *query)
{
    timer_stop(&query->deliver);
    query->magic = 0;
    free(query->host);
    free(query);
}

static const char *remedy(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
        return "check the name in the configuration, or add it to /etc/hosts";
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
        return "check the nameservers in /etc/resolv.conf";
    default:
        return "check the name and /etc/resolv.conf";
    }
}

static void deliver(void *arg)
{
    struct resolve_query *query = arg;
    if (query->done != NULL && query->status == ARES_SUCCESS) {
        query->done(query->arg, &query->found, NULL);
    } else if (query->done != NULL) {
        char why[512];
        snprintf(why, sizeof(why), "cannot resolve %s: %s; %s", query->host, ares_strerror(query->status),
                 remedy(query->status));
        query->done(query->arg, NULL, why);
    }
    query_free(query);
}

static void keep_address(struct resolve_query *query, const struct ares_addrinfo_node *node)
{
    resolved_t *found = &query->found;
    if (found->count == RESOLVE_MAX || (node->ai_family != AF_INET && node->ai_family != AF_INET6))
        return;
    struct sockaddr_storage *sa = &found->items[found->count].sa;
    memcpy(sa, node->ai_addr, node->ai_addrlen);
    found->items[found->count++].len = node->ai_addrlen;
    if (node->ai_family == AF_INET)
        ((struct sockaddr_in *)sa)->sin_port = htons(query->port);
    else
        ((struct sockaddr_in6 *)sa)->sin6_port = htons(query->port);
    if (node->ai_ttl >= 0 && (uint32_t)node->ai_ttl < found->ttl_s)
        found->ttl_s = (uint32_t)node->ai_ttl;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    (void)timeouts;
    struct resolve_query *query = arg;
    assert(query->magic == QUERY_MAGIC);
    query->status = status;
    query->found.ttl_s = TTL_MAX_S;
    for (const struct ares_addrinfo_node *node = result != NULL ? result->nodes : NULL; node != NULL;
         node = node->ai_next)
        keep_address(query, node);
    if (result != NULL)
        ares_freeaddrinfo(result);
    if (status == ARES_SUCCESS && query->found.count == 0)
        query->status = ARES_ENODATA;
    if (query->found.ttl_s < TTL_MIN_S)
        query->found.ttl_s = TTL_MIN_S;
    if (status == ARES_EDESTRUCTION) {
        query_free(query);
        return;
    }
    proc->resolver->out--;
    timer_at_turn_end(&query->deliver);
}

static struct resolve_query *query_new(const char *host, uint16_t port)
{
    struct resolve_query *query = calloc(1, sizeof(*query));
    if (query == NULL || (query->host = strdup(host)) == NULL) {
        free(query);
        return NULL;
    }
    query->magic = QUERY_MAGIC;
    query->port = port;
    query->deliver = (weir_timer_t){.fire = deliver, .arg = query};
    return query;
}

/* localhost, and every name below it, is this machine, whatever files and nameservers say or do not (RFC 6761, 6.3). */
static bool is_local(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), own = sizeof(name) - 1;
    n -= n > 0 && host[n - 1] == '.';
    return n >= own && strncasecmp(host + n - own, name, own) == 0 && (n == own || host[n - own - 1] == '.');
}

/* IPv6 first, as getaddrinfo() has it; who dials goes on to the next when nobody listens there. */
static void keep_loopback(struct resolve_query *query)
{
    resolved_t *found = &query->found;
    const struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(query->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(query->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(&found->items[0].sa, &six, sizeof(six));
    found->items[0].len = sizeof(six);
    memcpy(&found->items[1].sa, &four, sizeof(four));
    found->items[1].len = sizeof(four);
    found->count = 2;
    found->ttl_s = TTL_MAX_S;
    query->status = ARES_SUCCESS;
}

struct resolve_query *resolve(const char *host, uint16_t port,
                              void (*done)(void *arg, const resolved_t *found, const char *why), void *arg,
                              weir_error_t *err)
{
    bool is_here = is_local(host);
    if (!is_here && proc->resolver == NULL && (proc->resolver = resolver_new(err)) == NULL)
        return NULL;
    struct resolve_query *query = query_new(host, port);
    if (query == NULL) {
        weir_error(err, "cannot resolve %s: out of memory", host);
        return NULL;
    }
    query->done = done;
    query->arg = arg;
    if (is_here) {
        keep_loopback(query);
        timer_at_turn_end(&query->deliver);
        return query;
    }
    struct resolver *resolver = proc->resolver;
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (resolver->out++ == 0)
        start_tick(resolver);
    ares_getaddrinfo(resolver->channel, host, NULL, &hints, on_answer, query);
    return query;
}

void resolve_cancel(struct resolve_query *query)
{
    assert(query->magic == QUERY_MAGIC);
    query->done = NULL;
}
