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
    FRAMING_MUX,    /* likewise, of records of many exchanges: between two weirs (mux.h) */
} framing_t;

extern const char *const framing_names[];

typedef struct tcp_upstream_options {
    int framing;
    uint64_t send_timeout_ms, window, ping_interval_ms;
} tcp_upstream_options_t;

typedef struct tcp_server_options {
    const char *address;
    bool is_tls;
    weir_reach_t reach;
} tcp_server_options_t;

/* framing.c. Of all but mux, which cuts its streams itself. */
const weir_framing_t *framing_of(const weir_host_t *host, int framing);

/* Which link modules go with a framing, and why not more. */
uint32_t framing_link_modules(int framing, const char **why_not);

/* length.c */
extern const weir_framing_t length_framing;

extern const weir_accept_t tcp_accept;
extern const weir_connect_t tcp_connect;
extern const weir_connect_t mux_connect; /* of framing mux */

/* server.c */
extern const weir_option_t tcp_upstream_options[], tcp_server_options[];
int tcp_server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err);
uint32_t tcp_link_modules(const void *upstream_options, const char **why_not);

#endif
