/* tcp.c: the descriptor of the tcp transport. */
#include "tcp.h"

const char *const framing_names[] = {[FRAMING_NDJSON] = "ndjson", NULL};

static const weir_transport_t tcp_transport = {.accept = &tcp_accept, .connect = &tcp_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "tcp",
    .doc = "messages over TCP and Unix sockets, one a line; TLS over either",
    .transport = &tcp_transport,
};
