/* stdio.c: the transport for servers that speak MCP over their stdin and stdout, newline-delimited. Its connect side runs them
 * as children of a keeper (link.c). It has no accept side yet.
 */
#include "stdio.h"

static const weir_transport_t stdio_transport = {.connect = &stdio_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "stdio",
    .doc = "transport: MCP over the stdin and stdout of a command that weir runs",
    .transport = &stdio_transport,
};
