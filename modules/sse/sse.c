/* sse.c: the transport `sse`: HTTP with server-sent events as in MCP's revision 2024-11-05. A client opens an event stream (GET), whose
 * first event names the endpoint that it sends its messages to (POST); all that is for it comes as events.
 *
 *   accept side    edge.c     a listener's instance and options
 *                  visit.c    a connection, its states and its buffer
 *                  request.c  what a request must be; where its message goes
 *                  stream.c   a connection that has become an event stream: a client of the host's
 *                  reply.c    what is written
 *   connect side   server.c   a server's options and URL
 *                  link.c     its event stream: a session, its states
 *                  post.c     the way to it: which message leaves when, and the connections
 *                  reader.c   a reply, as its bytes come
 */
#include "edge.h"
#include "link.h"

static const weir_transport_t transport = {.accept = &sse_accept, .connect = &sse_connect};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "sse",
    .doc = "HTTP with server-sent events: the two endpoints of MCP's revision 2024-11-05",
    .transport = &transport,
};
