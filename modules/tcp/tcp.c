/* tcp.c: the descriptor of the tcp transport. */
#include "tcp.h"

const char *const framing_names[] = {[FRAMING_NDJSON] = "ndjson", NULL};

const weir_framing_t *framing_of(const weir_host_t *host, int framing)
{
    (void)framing; /* there is one so far */
    return host->framing_lines;
}

static const weir_transport_t tcp_transport = {.accept = &tcp_accept, .connect = &tcp_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "tcp",
    .doc = "messages over TCP and Unix sockets, one a line; TLS over either",
    .transport = &tcp_transport,
};
