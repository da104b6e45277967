/* edge.c: the accept side: a listener's connections, each a client whose messages the host turns into exchanges.
 *
 * A visit_t is its listener's from edge_open() to visit_close(); while calls of the host are on the stack (`depth`) its memory stays.
 *
 *   state      event                          next      what happens
 *   OPEN       a message                      OPEN      client_message
 *   OPEN       too long, end, broken          CLOSED    client_gone
 *   OPEN       the host is flooded            PAUSED    nothing is read, what was read waits in the buffer
 *   PAUSED     it is not any more             OPEN      what waits is handed in at the end of the turn
 *   any        the host ends it, drained      CLOSED    what is queued is still written
 */
#include <stdlib.h>

#include "tcp.h"

typedef struct edge_options {
    int framing;
    uint64_t max_message, buffer_limit, send_timeout_ms;
} edge_options_t;

typedef struct edge {
    const weir_host_t *host;
    weir_listener_t *listener;
    const edge_options_t *options;
    weir_list_t visits;
    size_t nvisits;
} edge_t;

typedef struct visit {
    edge_t *edge;
    weir_list_t node;
    weir_stream_t *stream; /* NULL: closed */
    weir_client_t *client;
    framer_t framer;
    weir_timer_t go_on;
    uint16_t depth;
    bool is_paused;
} visit_t;

static void visit_release(visit_t *v)
{
    if (v->depth == 0 && v->stream == NULL)
        free(v);
}

static void visit_forget(visit_t *v)
{
    v->stream = NULL;
    v->edge->host->timer_stop(&v->go_on);
    framer_free(&v->framer);
    weir_list_remove(&v->node);
    v->edge->nvisits--;
    v->depth++;
    v->edge->host->client_gone(v->client);
    v->depth--;
    visit_release(v);
}

static void visit_close(visit_t *v)
{
    if (v->stream == NULL)
        return;
    v->edge->host->stream_close(v->stream);
    visit_forget(v);
}

static void visit_finish(visit_t *v)
{
    if (v->stream == NULL)
        return;
    v->edge->host->stream_finish(v->stream);
    visit_forget(v);
}

static void visit_too_long(visit_t *v)
{
    static const char answer[] =
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"the message is larger "
        "than max_message\",\"data\":{\"reason\":\"too_large\"}}}";
    weir_chunk_t chunk = {.bytes = WEIR_LIT(answer)};
    v->edge->host->log(WEIR_LOG_INFO, "tcp: skipped a client's message that is larger than max_message (%llu bytes)",
                       (unsigned long long)v->edge->options->max_message);
    (void)framer_write(&v->framer, v->stream, &chunk, 1);
}

/* Hand in what has been read, until it is used up or too much is in flight. */
static void visit_hand_in(visit_t *v)
{
    weir_chunk_t message;
    framer_found_t found = FRAMER_MORE;
    while (v->stream != NULL && !v->is_paused && (found = framer_next(&v->framer, &message)) != FRAMER_MORE) {
        if (found == FRAMER_TOO_LONG)
            visit_too_long(v);
        else
            v->edge->host->client_message(v->client, &message);
    }
}

static void on_readable(void *owner)
{
    visit_t *v = owner;
    v->depth++;
    long n = framer_fill(&v->framer, v->stream);
    if (n > 0)
        visit_hand_in(v);
    else if (n != WEIR_EAGAIN)
        visit_close(v);
    v->depth--;
    visit_release(v);
}

static void on_drained(void *owner)
{
    visit_t *v = owner;
    v->edge->host->client_drained(v->client);
}

static void on_broken(void *owner, const char *why)
{
    visit_t *v = owner;
    v->edge->host->log(WEIR_LOG_DEBUG, "tcp: a client's connection: %s", why);
    visit_close(v);
}

static void on_go_on(void *arg)
{
    visit_t *v = arg;
    v->depth++;
    visit_hand_in(v);
    if (v->stream != NULL && !v->is_paused)
        v->edge->host->stream_pause(v->stream, false);
    v->depth--;
    visit_release(v);
}

/* ---- what the host wants ---- */

static int visit_write(void *owner, const weir_chunk_t *parts, size_t n)
{
    visit_t *v = owner;
    return v->stream == NULL ? WEIR_ECLOSED : framer_write(&v->framer, v->stream, parts, n);
}

static void visit_pause(void *owner, bool is_paused)
{
    visit_t *v = owner;
    if (v->stream == NULL)
        return;
    v->is_paused = is_paused;
    if (is_paused)
        v->edge->host->stream_pause(v->stream, true);
    else
        v->edge->host->timer_at_turn_end(&v->go_on);
}

static void visit_end(void *owner, const char *why)
{
    visit_t *v = owner;
    v->edge->host->log(WEIR_LOG_INFO, "tcp: a client's connection is closed: %s", why);
    visit_finish(v);
}

/* ---- the listener ---- */

static const weir_stream_events_t stream_events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};
static const weir_client_events_t client_events = {.write = visit_write, .pause = visit_pause, .end = visit_end};

static void edge_open(void *self, weir_stream_t *stream)
{
    edge_t *edge = self;
    const weir_host_t *host = edge->host;
    visit_t *v = calloc(1, sizeof(*v));
    weir_client_intro_t intro = {.peer = host->stream_peer(stream), .is_tls = host->stream_is_tls(stream)};
    if (v == NULL || (v->client = host->client_new(edge->listener, &intro, &client_events, v)) == NULL) {
        host->log(WEIR_LOG_ERROR, "tcp: no memory for a client; its connection is closed");
        host->stream_close(stream);
        free(v);
        return;
    }
    v->edge = edge;
    v->stream = stream;
    v->framer = (framer_t){.host = host, .framing = edge->options->framing, .max_message = edge->options->max_message};
    v->go_on = (weir_timer_t){.fire = on_go_on, .arg = v};
    weir_list_init(&v->go_on.node);
    weir_list_append(&edge->visits, &v->node);
    edge->nvisits++;
    host->stream_limit(stream, edge->options->buffer_limit, edge->options->send_timeout_ms);
    host->stream_own(stream, &stream_events, v);
}

static void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err)
{
    edge_t *edge = calloc(1, sizeof(*edge));
    if (edge == NULL) {
        (void)weir_error(err, "tcp: no memory for a listener");
        return NULL;
    }
    *edge = (edge_t){.host = host, .listener = listener, .options = options};
    weir_list_init(&edge->visits);
    return edge;
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

/* A connection is a session: it is left to its client as long as there is time. */
static void edge_drain(void *self, bool now)
{
    if (now)
        edge_cut(self);
}

static size_t edge_clients(void *self)
{
    return ((edge_t *)self)->nvisits;
}

#define OPT(member) offsetof(edge_options_t, member)

static const weir_option_t edge_options[] = {
    {.name = "framing",
     .type = WEIR_TYPE_ENUM,
     .offset = OPT(framing),
     .fallback = "ndjson",
     .names = framing_names,
     .doc = "how messages are told apart: ndjson, one a line"},
    {.name = "max_message",
     .type = WEIR_TYPE_SIZE,
     .offset = OPT(max_message),
     .fallback = "4MiB",
     .min = 1024,
     .max = 1 << 30,
     .doc = "largest message of a client; a larger one is skipped and answered with an error"},
    {.name = "buffer_limit",
     .type = WEIR_TYPE_SIZE,
     .offset = OPT(buffer_limit),
     .fallback = "256KiB",
     .min = 16384,
     .max = 1 << 30,
     .doc = "bytes queued for a client that does not read; at 80% its servers are not read any more"},
    {.name = "send_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = OPT(send_timeout_ms),
     .fallback = "60s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a client may take no byte of what waits for it"},
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
};
