/* edge.c: a listener's instance of http: its options, and the list of its clients. */
#include "edge.h"

#include <stdlib.h>

/* Heads of replies: the largest head that a server may send (max_head of an upstream) and what weir adds. */
#define OUT_SIZE (80 * 1024)

#define OPT(member) offsetof(edge_options_t, member)

const weir_option_t edge_option_table[] = {
    {.name = "max_head",
     .type = WEIR_TYPE_SIZE,
     .offset = OPT(max_head),
     .fallback = "16KiB",
     .min = 1024,
     .max = 65536,
     .doc = "largest head of a request; a larger one is answered with 431"},
    {.name = "max_message",
     .type = WEIR_TYPE_SIZE,
     .offset = OPT(max_message),
     .fallback = "4MiB",
     .min = 1024,
     .max = 1 << 30,
     .doc = "largest message of a client; a larger one is answered with 413"},
    {.name = "buffer_limit",
     .type = WEIR_TYPE_SIZE,
     .offset = OPT(buffer_limit),
     .fallback = "256KiB",
     .min = 16384,
     .max = 1 << 30,
     .doc = "bytes queued for a client that does not read; at 80% its server is not read any more"},
    {.name = "header_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = OPT(header_timeout_ms),
     .fallback = "10s",
     .min = 1,
     .max = 86400000,
     .doc = "time for a request's head, from its first byte, or from connecting for the first one"},
    {.name = "body_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = OPT(body_timeout_ms),
     .fallback = "30s",
     .min = 1,
     .max = 86400000,
     .doc = "time between two reads of a request's body"},
    {.name = "idle_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = OPT(idle_timeout_ms),
     .fallback = "75s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a connection is kept between two requests"},
    {.name = "send_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = OPT(send_timeout_ms),
     .fallback = "60s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a client may take no byte of what waits for it"},
    {.name = "keepalive_requests",
     .type = WEIR_TYPE_INT,
     .offset = OPT(keepalive_requests),
     .fallback = "10000",
     .min = 1,
     .max = 4294967295.0,
     .doc = "requests on one connection before it is closed"},
    {.name = "allowed_origins",
     .type = WEIR_TYPE_STRINGS,
     .offset = OPT(guard.allowed_origins),
     .doc =
         "origins whose web pages may call (\"https://app.example\", or \"*\"); without it, those of this machine may "
         "call a listener of this machine"},
    {.name = "allowed_hosts",
     .type = WEIR_TYPE_STRINGS,
     .offset = OPT(guard.allowed_hosts),
     .doc = "what Host may say besides localhost, against DNS rebinding; with a port or for any"},
    {.name = NULL},
};

static bool edge_has_timeouts(edge_t *edge)
{
    const weir_host_t *host = edge->host;
    edge->header_timeouts = host->timeouts(edge->options->header_timeout_ms);
    edge->body_timeouts = host->timeouts(edge->options->body_timeout_ms);
    edge->idle_timeouts = host->timeouts(edge->options->idle_timeout_ms);
    return edge->header_timeouts != NULL && edge->body_timeouts != NULL && edge->idle_timeouts != NULL;
}

void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err)
{
    edge_t *edge = calloc(1, sizeof(*edge));
    char *out = malloc(OUT_SIZE);
    if (edge != NULL) {
        *edge = (edge_t){.host = host, .listener = listener, .options = options};
        edge->out = (head_out_t){.p = out, .size = OUT_SIZE};
        edge->is_shared = host->listener_is_shared(listener);
        edge->codings = host->listener_codings(listener);
        weir_list_init(&edge->clients);
    }
    if (edge == NULL || out == NULL || !edge_has_timeouts(edge)) {
        free(edge);
        free(out);
        (void)weir_error(err, "http: no memory for a listener");
        return NULL;
    }
    return edge;
}

/* Closing one may end others: an exchange that waited for its link goes on, and may fail. */
static void edge_cut(edge_t *edge)
{
    while (!weir_list_empty(&edge->clients))
        client_close(WEIR_CONTAINER(edge->clients.next, client_t, node));
}

void edge_destroy(void *self)
{
    edge_t *edge = self;
    edge_cut(edge);
    free(edge->out.p);
    free(edge);
}

void edge_open(void *self, weir_stream_t *stream)
{
    client_open(self, stream);
}

/* Whatever speaks HTTP and is none of the others'. */
bool edge_adopt(void *self, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n)
{
    (void)head, (void)head_n;
    client_adopt(self, stream, bytes);
    return true;
}

size_t edge_clients(void *self)
{
    return ((edge_t *)self)->nclients;
}

/* Idle clients are not closed: one may be sending its next request at this very moment. It is answered, and told to close. */
void edge_drain(void *self, bool now)
{
    edge_t *edge = self;
    edge->is_draining = true;
    if (now)
        edge_cut(edge);
}
