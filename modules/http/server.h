/* server.h: the connect side of http: what is known of one server, shared by all links to it. Shared by server.c, send.c and
 * link.c, and by nobody else.
 */
#ifndef WEIR_HTTP_SERVER_H
#define WEIR_HTTP_SERVER_H

#include "head.h"

typedef enum forwarded {
    FORWARDED_OFF,
    FORWARDED_X,
    FORWARDED_RFC, /* RFC 7239 */
    FORWARDED_BOTH,
} forwarded_t;

typedef struct upstream_options {
    uint64_t send_timeout_ms, idle_timeout_ms, max_head;
    bool preserve_host;
    int forwarded; /* forwarded_t */
} upstream_options_t;

typedef struct server_options {
    const char *url;
    weir_reach_t reach;
} server_options_t;

extern const weir_option_t upstream_option_table[];
extern const weir_option_t server_option_table[];

/* Owned by the host's server from server_open() to server_close(). `head` and `out` are used within one callback only. */
typedef struct target {
    const weir_host_t *host;
    const upstream_options_t *options;
    weir_timeouts_t *idle_timeouts;
    weir_url_t url;                /* points into the option's text */
    char *name;                    /* "10.0.0.11:3000" */
    head_out_t out;                /* the head of a request, while it is built */
    const weir_codings_t *codings; /* for the bodies of requests; NULL: they go as they are */
    weir_head_t head;              /* of a reply, while the host is told of it */
} target_t;

/* server.c */
int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err);
void server_close(weir_server_t *server);

/* send.c: build the head of the request into target.out, and find its body: packed where that is configured and pays. The body's
 * buffer is the caller's to give back. WEIR_EFAIL when the head does not fit. */
int send_prepare(target_t *target, weir_exchange_t *ex, weir_chunk_t *body);

/* link.c */
int conn_open(weir_link_t *link, weir_error_t *err);
void conn_close(weir_link_t *link);
int conn_send(weir_link_t *link, weir_exchange_t *ex);
void conn_abandon(weir_link_t *link, weir_exchange_t *ex);
void conn_pause(weir_link_t *link, bool is_paused);

#endif
