/* listener.h: where clients arrive. The sockets are the master's; a worker accepts from its own share of them.
 *
 * Transports that share a port have a face of the listener each: what is the listener's own is the same in all of them.
 *
 * Owned by the worker from listener_new() to its end. A keeper has one listener that no client connects to: the channel.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <weir/module.h>

#include "config.h"
#include "lane.h"
#include "upstream.h"

typedef struct route {
    weir_slice_t host; /* empty: any */
    weir_slice_t path;
    upstream_t *upstream;
} route_t;

struct weir_listener {
    const char *name;
    const conf_listener_t *conf;
    const weir_accept_t *accept;
    void *self; /* the transport's instance */
    void *options;
    route_t *routes;
    size_t nroutes;
    lane_chain_t lanes; /* link modules, for the lanes of its clients; of the first face alone */
    struct tls_server *tls;
    struct accepter *accepters; /* one for each socket */
    size_t naccepters;
    weir_timer_t rest; /* while it runs nobody is taken */
    uint64_t rest_said_ms;
    bool is_loopback;
    weir_listener_t *next;
    const weir_listener_t *head; /* of all the worker's listeners */
    weir_listener_t *sibling;    /* the same listener for its next transport */
    weir_listener_t *first;      /* its face for the first one */
};

int listener_new(const config_t *config, const conf_listener_t *conf, arena_t *arena, weir_list_t *upstreams,
                 weir_listener_t **out, weir_error_t *err);
void listener_free(weir_listener_t *listener);

/* Connections that are open, of all its transports. */
size_t listener_clients(const weir_listener_t *listener);
/* See weir_host_t. */
bool listener_is_shared(const weir_listener_t *listener);
int listener_counters(weir_counters_t *counters, int64_t *own, const weir_listener_t *listener, const char *module,
                      uint32_t ngauges, uint32_t ngrowing, weir_error_t *err);
bool listener_offer(weir_listener_t *listener, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes,
                    size_t head_n);

/* The upstream for a host and a target ("/mcp?x"), or NULL. */
upstream_t *listener_route(const weir_listener_t *listener, weir_slice_t host, weir_slice_t target);
bool listener_is_loopback(const weir_listener_t *listener);

#endif
