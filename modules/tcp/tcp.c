/* tcp.c: the descriptor of the tcp transport. */
#include "tcp.h"
#include "mux_figures.h"

static const weir_transport_t tcp_transport = {.accept = &tcp_accept, .connect = &tcp_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "tcp",
    .doc = "messages over TCP and Unix sockets, a line or a frame each, and the link between two weirs; TLS over all",
    .transport = &tcp_transport,
    .figures = mux_figures,
};
