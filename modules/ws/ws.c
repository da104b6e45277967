/* ws.c: the descriptor of the ws transport. */
#include "ws.h"

static const weir_transport_t ws_transport = {.accept = &ws_accept, .connect = &ws_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,         .name = "ws",          .doc = "WebSocket: one message a text message",
    .transport = &ws_transport, .figures = ws_figures,
};
