/* tcp.h: what the files of the tcp transport share.
 *
 * A connection carries messages both ways, over TCP or a Unix socket, plain or over TLS. On the accept side it is a client's, on the
 * connect side a link. Both cut the stream by the same framing.
 */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include <weir/module.h>

typedef enum framing {
    FRAMING_NDJSON, /* one message a line (2026-07-28, "Custom Transports") */
    FRAMING_LENGTH, /* a length, then a payload of messages, plain or packed */
} framing_t;

extern const char *const framing_names[];

const weir_framing_t *framing_of(const weir_host_t *host, int framing);

/* Which link modules go with a framing, and why not more. */
uint32_t framing_link_modules(int framing, const char **why_not);

/* length.c */
extern const weir_framing_t length_framing;

extern const weir_accept_t tcp_accept;
extern const weir_connect_t tcp_connect;

#endif
