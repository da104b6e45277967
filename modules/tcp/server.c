/* server.c: what the links of all framings know of a server, and what may be said of it in the configuration. */
#include <stdlib.h>

#include "tcp.h"

/* "host:port", "[::1]:port" or "unix:/path". */
static int address_split(const char *address, weir_slice_t *host, uint16_t *port, weir_error_t *err)
{
    *port = 0;
    const char *colon = strrchr(address, ':');
    bool is_unix = strncmp(address, "unix:/", 6) == 0;
    size_t n = is_unix || colon == NULL ? strlen(address) : (size_t)(colon - address);
    char *end = NULL;
    unsigned long number = is_unix || colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    if (!is_unix && (colon == NULL || colon[1] == '\0' || *end != '\0' || number == 0 || number > 65535))
        return weir_error(err, "address: expected host:port or unix:/path, not \"%s\"", address);
    bool is_bracketed = n >= 2 && address[0] == '[' && address[n - 1] == ']';
    *host = is_bracketed ? weir_slice(address + 1, n - 2) : weir_slice(address, n);
    if (host->n == 0)
        return weir_error(err, "address: \"%s\" has no host", address);
    *port = (uint16_t)number;
    return WEIR_OK;
}

int tcp_server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    const tcp_server_options_t *o = server->options;
    weir_slice_t name;
    uint16_t port;
    if (address_split(o->address, &name, &port, err) != WEIR_OK)
        return WEIR_EFAIL;
    server->name = o->address;
    server->carrier = (void *)host;
    return host->server_address(server, name, port, o->is_tls, &o->reach, err);
}

uint32_t tcp_link_modules(const void *options, const char **why_not)
{
    return framing_link_modules(((const tcp_upstream_options_t *)options)->framing, why_not);
}

#define UP(member) offsetof(tcp_upstream_options_t, member)
#define SRV(member) offsetof(tcp_server_options_t, member)

const weir_option_t tcp_upstream_options[] = {
    {.name = "framing",
     .type = WEIR_TYPE_ENUM,
     .offset = UP(framing),
     .fallback = "ndjson",
     .names = framing_names,
     .doc = "how messages are told apart: ndjson, one a line; length, frames of one or more, which may be gathered and "
            "packed; mux, between two weirs: frames that carry the exchanges of many clients"},
    {.name = "send_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = UP(send_timeout_ms),
     .fallback = "60s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a server may take no byte of what waits for it"},
    {.name = "window",
     .type = WEIR_TYPE_SIZE,
     .offset = UP(window),
     .fallback = "128KiB",
     .min = 16384,
     .max = 1 << 30,
     .doc =
         "of framing mux: bytes of one reply that may be on their way before the client has taken any; a client that "
         "does not read stops its own reply there, and no other"},
    {.name = "ping_interval",
     .type = WEIR_TYPE_DURATION,
     .offset = UP(ping_interval_ms),
     .fallback = "30s",
     .min = 10,
     .max = 86400000,
     .doc = "of framing mux: how long a link is silent before the other weir is asked whether it is there; without an "
            "answer for as long again the link is down"},
    {.name = NULL},
};

const weir_option_t tcp_server_options[] = {
    {.name = "address",
     .type = WEIR_TYPE_STRING,
     .offset = SRV(address),
     .is_required = true,
     .doc = "host:port, or unix:/path of a socket"},
    {.name = "tls",
     .type = WEIR_TYPE_BOOL,
     .offset = SRV(is_tls),
     .fallback = "false",
     .doc = "TLS over the connection"},
    WEIR_REACH_OPTIONS(SRV(reach)),
    {.name = NULL},
};
