/* edge.c: a listener's instance of sse: its options, and the list of its connections. */
#include "edge.h"

#include <stdlib.h>

#define OPT(member) offsetof(edge_options_t, member)

static const weir_option_t edge_options[] = {
    {"max_head", WEIR_TYPE_SIZE, OPT(max_head), "16KiB", 1024, 65536, NULL, false,
     "largest head of a request; a larger one is answered with 431"},
    {"max_message", WEIR_TYPE_SIZE, OPT(max_message), "4MiB", 1024, 1 << 30, NULL, false,
     "largest message of a client, and all together that wait for its max_exchanges; more is answered with 413, or "
     "503"},
    {"buffer_limit", WEIR_TYPE_SIZE, OPT(buffer_limit), "256KiB", 16384, 1 << 30, NULL, false,
     "bytes queued for a client that does not read; at 80% its servers are not read any more"},
    {"header_timeout", WEIR_TYPE_DURATION, OPT(header_timeout_ms), "10s", 1, 86400000, NULL, false,
     "time for a request's head, from its first byte, or from connecting for the first one"},
    {"body_timeout", WEIR_TYPE_DURATION, OPT(body_timeout_ms), "30s", 1, 86400000, NULL, false,
     "time between two reads of a request's body"},
    {"idle_timeout", WEIR_TYPE_DURATION, OPT(idle_timeout_ms), "75s", 1, 86400000, NULL, false,
     "how long a connection is kept between two requests"},
    {"send_timeout", WEIR_TYPE_DURATION, OPT(send_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a client may take no byte of what waits for it"},
    {"heartbeat", WEIR_TYPE_DURATION, OPT(heartbeat_ms), "30s", 1, 86400000, NULL, false,
     "how often an event stream gets a comment, so that nobody takes it for dead, and a client that has gone is "
     "noticed"},
    {"max_streams", WEIR_TYPE_INT, OPT(max_streams), "4096", 1, 65535, NULL, false,
     "event streams of a worker at once; more are answered with 503"},
    {"allowed_origins", WEIR_TYPE_STRINGS, OPT(guard.allowed_origins), NULL, 0, 0, NULL, false,
     "origins whose web pages may connect (\"https://app.example\", or \"*\"); without it, those of this machine"},
    {"allowed_hosts", WEIR_TYPE_STRINGS, OPT(guard.allowed_hosts), NULL, 0, 0, NULL, false,
     "what Host may say besides localhost, against DNS rebinding; with a port or for any"},
    {.name = NULL},
};

static bool edge_has_timeouts(edge_t *edge)
{
    const weir_host_t *host = edge->host;
    edge->header_timeouts = host->timeouts(edge->options->header_timeout_ms);
    edge->body_timeouts = host->timeouts(edge->options->body_timeout_ms);
    edge->idle_timeouts = host->timeouts(edge->options->idle_timeout_ms);
    edge->heartbeats = host->timeouts(edge->options->heartbeat_ms);
    return edge->header_timeouts != NULL && edge->body_timeouts != NULL && edge->idle_timeouts != NULL &&
           edge->heartbeats != NULL;
}

static void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err)
{
    edge_t *edge = calloc(1, sizeof(*edge));
    if (edge != NULL) {
        edge->host = host;
        edge->listener = listener;
        edge->options = options;
        weir_list_init(&edge->visits);
    }
    if (edge != NULL && edge_has_timeouts(edge))
        return edge;
    free(edge);
    (void)weir_error(err, "sse: no memory for a listener");
    return NULL;
}

static void edge_cut(edge_t *edge)
{
    while (!weir_list_empty(&edge->visits))
        visit_finish(WEIR_CONTAINER(edge->visits.next, visit_t, node));
}

static void edge_destroy(void *self)
{
    edge_cut(self);
    free(self);
}

static void edge_open(void *self, weir_stream_t *stream)
{
    visit_open(self, stream);
}

static bool edge_adopt(void *self, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    if (request_ask(self, head) == ASK_NOTHING)
        return false;
    visit_adopt(self, stream, head, bytes, head_n);
    return true;
}

/* Streams go on until their time is over: their clients have no way to go on elsewhere where they stopped. */
static void edge_drain(void *self, bool now)
{
    edge_t *edge = self;
    edge->is_draining = true;
    if (now)
        edge_cut(edge);
}

static size_t edge_clients(void *self)
{
    return ((edge_t *)self)->nvisits;
}

static uint32_t no_link_modules(const void *options, const char **why_not)
{
    (void)options;
    *why_not = "each message is a request, or an event, of its own";
    return 0;
}

const weir_accept_t sse_accept = {
    .options = edge_options,
    .options_size = sizeof(edge_options_t),
    .create = edge_create,
    .destroy = edge_destroy,
    .open = edge_open,
    .drain = edge_drain,
    .clients = edge_clients,
    .fail = reply_fail,
    .adopt = edge_adopt,
    .link_modules = no_link_modules,
};
