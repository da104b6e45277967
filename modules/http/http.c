/* http.c: the transport `http`: Streamable HTTP in all its revisions, over HTTP/1.1 and 1.0, towards clients and servers.
 *
 *   accept side    edge.c     a listener's instance and options
 *                  client.c   a client's connection, its states and its buffer
 *                  request.c  what a request must be; from its head and body to an exchange
 *                  mirror.c   the fields that repeat parts of a modern message
 *                  reply.c    what the client gets: bytes, messages, failures
 *                  coding.c   which bodies are packed, and how a request's is unpacked
 *   connect side   server.c   a server's options and URL
 *                  link.c     a connection to it, its states
 *                  send.c     the head of a request
 *   both           head.c     building heads, and which fields pass
 */
#include "edge.h"
#include "server.h"

/* A request is a message and a reply is its answer: there is nothing to gather; but their bodies can be packed. */
static uint32_t bodies_alone(const void *options, const char **why_not)
{
    (void)options;
    *why_not =
        "each message is a request or a reply of its own; JSON-RPC batches are of revision 2025-03-26 alone, and no "
        "configuration says that all who come speak it";
    return WEIR_LINK_ENCODES;
}

static const weir_accept_t accept_side = {
    .options = edge_option_table,
    .options_size = sizeof(edge_options_t),
    .create = edge_create,
    .destroy = edge_destroy,
    .open = edge_open,
    .drain = edge_drain,
    .clients = edge_clients,
    .reply_head = edge_reply_head,
    .reply_bytes = edge_reply_bytes,
    .reply_message = edge_reply_message,
    .reply_end = edge_reply_end,
    .fail = edge_fail,
    .adopt = edge_adopt,
    .link_modules = bodies_alone,
};

static const weir_connect_t connect_side = {
    .flags = WEIR_CONNECT_EXCHANGES,
    .upstream_options = upstream_option_table,
    .upstream_options_size = sizeof(upstream_options_t),
    .server_options = server_option_table,
    .server_options_size = sizeof(server_options_t),
    .server_open = server_open,
    .server_close = server_close,
    .open = conn_open,
    .close = conn_close,
    .send = conn_send,
    .abandon = conn_abandon,
    .pause = conn_pause,
    .link_modules = bodies_alone,
};

static const weir_transport_t transport = {.accept = &accept_side, .connect = &connect_side};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "http",
    .doc = "MCP's Streamable HTTP, towards clients and towards servers",
    .transport = &transport,
};
