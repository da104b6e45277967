/* edge.c: the accept side: options, and who is told what. The clients themselves are the host's (weir_stream_clients_t). */
#include <stdlib.h>

#include "mux_accept.h"
#include "tcp.h"

typedef struct edge_options {
    int framing;
    uint64_t max_message, buffer_limit, send_timeout_ms, idle_timeout_ms;
    int64_t max_channels;
    weir_strings_t edges;
} edge_options_t;

typedef struct edge {
    const weir_host_t *host;
    weir_stream_clients_t clients;
    mux_house_t *mux; /* of framing mux: clients are links of other weirs */
} edge_t;

/* A name without its kind would never be anybody's. */
static int edges_check(const edge_options_t *o, weir_error_t *err)
{
    if (o->framing != FRAMING_MUX && o->edges.count > 0)
        return weir_error(err, "tcp: edges: only links of framing: mux carry the clients of others");
    for (size_t i = 0; i < o->edges.count; i++)
        if (strcmp(o->edges.items[i], "any") != 0 && strchr(o->edges.items[i], ':') == NULL)
            return weir_error(err, "tcp: edges: %s is no principal; one has its kind before it, as in dns:%s, or any",
                              o->edges.items[i], o->edges.items[i]);
    return WEIR_OK;
}

static int edge_mux(edge_t *edge, const edge_options_t *o, weir_error_t *err)
{
    mux_bounds_t bounds = {
        .max_message = o->max_message,
        .buffer_limit = o->buffer_limit,
        .send_timeout_ms = o->send_timeout_ms,
        .idle_timeout_ms = o->idle_timeout_ms,
        .max_channels = o->max_channels,
        .edges = o->edges,
    };
    edge->mux = mux_house_new(edge->host, edge->clients.listener, &bounds, err);
    return edge->mux == NULL ? WEIR_EFAIL : WEIR_OK;
}

static void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err)
{
    const edge_options_t *o = options;
    if (edges_check(o, err) != WEIR_OK)
        return NULL;
    edge_t *edge = calloc(1, sizeof(*edge));
    if (edge == NULL) {
        (void)weir_error(err, "tcp: no memory for a listener");
        return NULL;
    }
    edge->host = host;
    edge->clients = (weir_stream_clients_t){
        .listener = listener,
        .framing = framing_of(host, o->framing),
        .max_message = o->max_message,
        .buffer_limit = o->buffer_limit,
        .send_timeout_ms = o->send_timeout_ms,
    };
    if (o->framing != FRAMING_MUX || edge_mux(edge, o, err) == WEIR_OK)
        return edge;
    free(edge);
    return NULL;
}

static void edge_destroy(void *self)
{
    edge_t *edge = self;
    edge->host->stream_clients_close(&edge->clients);
    mux_house_free(edge->mux);
    free(edge);
}

static void edge_open(void *self, weir_stream_t *stream)
{
    edge_t *edge = self;
    if (edge->mux != NULL)
        mux_house_open(edge->mux, stream);
    else
        edge->host->stream_client_open(&edge->clients, stream);
}

/* A connection is a session: it is left to its client as long as there is time. */
static void edge_drain(void *self, bool now)
{
    edge_t *edge = self;
    if (edge->mux != NULL)
        mux_house_drain(edge->mux, now);
    if (now)
        edge->host->stream_clients_close(&edge->clients);
}

static size_t edge_clients(void *self)
{
    const edge_t *edge = self;
    return edge->mux == NULL ? edge->clients.count : mux_house_links(edge->mux);
}

static void edge_status(void *self, weir_status_t *status)
{
    const edge_t *edge = self;
    if (edge->mux != NULL)
        mux_house_status(edge->mux, status);
}

static uint32_t edge_link_modules(const void *options, const char **why_not)
{
    return framing_link_modules(((const edge_options_t *)options)->framing, why_not);
}

#define OPT(member) offsetof(edge_options_t, member)

static const weir_option_t edge_options[] = {
    {"framing", WEIR_TYPE_ENUM, OPT(framing), "ndjson", 0, 0, framing_names, false,
     "how messages are told apart: ndjson, one a line; length, frames of one or more, which may be gathered and "
     "packed; mux, between two weirs: frames that carry the exchanges of many clients"},
    {"max_message", WEIR_TYPE_SIZE, OPT(max_message), "4MiB", 1024, 1 << 30, NULL, false,
     "largest message of a client; a larger one is skipped and answered with an error"},
    {"buffer_limit", WEIR_TYPE_SIZE, OPT(buffer_limit), "256KiB", 16384, 1 << 30, NULL, false,
     "bytes queued for a client that does not read; at 80% its servers are not read any more"},
    {"send_timeout", WEIR_TYPE_DURATION, OPT(send_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a client may take no byte of what waits for it"},
    {"max_channels", WEIR_TYPE_INT, OPT(max_channels), "1024", 1, 65535, NULL, false,
     "of framing mux: exchanges that one link carries at a time; more wait at the other weir"},
    {"idle_timeout", WEIR_TYPE_DURATION, OPT(idle_timeout_ms), "90s", 10, 86400000, NULL, false,
     "of framing mux: how long the other weir may say nothing, and send no PING either (its ping_interval)"},
    {"edges", WEIR_TYPE_STRINGS, OPT(edges), NULL, 0, 0, NULL, false,
     "of framing mux: the other weirs whose word is taken for who their clients are, by what their certificates say "
     "(\"dns:edge.example\"; see principals), or any: whoever has a certificate of `client_ca`. Without it, and for "
     "all "
     "others, a client is nobody in particular here"},
    {.name = NULL},
};

const weir_accept_t tcp_accept = {
    .options = edge_options,
    .options_size = sizeof(edge_options_t),
    .create = edge_create,
    .destroy = edge_destroy,
    .open = edge_open,
    .drain = edge_drain,
    .clients = edge_clients,
    .link_modules = edge_link_modules,
    .reply_head = mux_reply_head, /* the clients of the other framings are the host's, which answers them itself */
    .reply_bytes = mux_reply_bytes,
    .reply_message = mux_reply_message,
    .reply_end = mux_reply_end,
    .fail = mux_fail,
    .status = edge_status,
};
