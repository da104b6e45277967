/* stdio.c: the transport for servers that speak MCP over their stdin and stdout, newline-delimited. Its connect side runs them
 * as children of a keeper (link.c); its accept side is such a server itself, for the client that has started weir (edge.c).
 */
#include "stdio.h"

static const weir_transport_t stdio_transport = {.accept = &stdio_accept, .connect = &stdio_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "stdio",
    .doc = "transport: MCP over the stdin and stdout of a command that weir runs, or of weir itself",
    .transport = &stdio_transport,
};
