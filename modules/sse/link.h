/* link.h: the connect side of sse: a link is an event stream (a GET) and the POSTs that carry what is for its server. Shared by server.c,
 * link.c, post.c and reader.c, and by nobody else.
 */
#ifndef WEIR_SSE_LINK_H
#define WEIR_SSE_LINK_H

#include <weir/module.h>

typedef struct upstream_options {
    uint64_t send_timeout_ms, idle_timeout_ms, max_head;
    int64_t max_posts;
} upstream_options_t;

typedef struct server_options {
    const char *url;
    weir_reach_t reach;
} server_options_t;

/* What is known of one server, shared by all links to it. Owned by the host's server. */
typedef struct target {
    const weir_host_t *host;
    const upstream_options_t *options;
    weir_url_t url; /* points into the option's text */
    weir_timeouts_t *connect_timeouts, *idle_timeouts;
    weir_timeouts_t *reply_timeouts; /* NULL: none */
    weir_head_t head;                /* of the reply at hand */
} target_t;

/* ---- reader.c: a reply, as its bytes come ---- */

typedef enum reader_state {
    READER_HEAD,
    READER_LENGTH,
    READER_CHUNKED,
    READER_CLOSE, /* the end of the connection is the end of the body */
    READER_ENDED,
} reader_state_t;

typedef struct reader {
    target_t *target;
    weir_buf_t *buf; /* NULL: nothing is left to look at */
    uint32_t from, to, seen;
    uint64_t left;
    weir_chunked_t chunked;
    uint8_t state; /* reader_state_t */
    bool is_keep;  /* the connection may carry another request */
} reader_t;

typedef enum reading {
    READING_MORE,   /* fill again */
    READING_HEAD,   /* target->head, until the next call */
    READING_BYTES,  /* of the body, until the next call */
    READING_END,    /* the reply is whole */
    READING_BROKEN, /* it is none: `why` says so */
} reading_t;

void reader_begin(reader_t *r, target_t *target);
/* Read once: the number of bytes, 0 at the end, WEIR_EAGAIN or WEIR_EFAIL. Only after READING_MORE. */
long reader_fill(reader_t *r, weir_stream_t *stream);
reading_t reader_next(reader_t *r, weir_slice_t *bytes, const char **why);
/* The connection has ended: whether the reply is whole by that. */
bool reader_is_whole_at_end(const reader_t *r);
/* Bytes stand behind the reply that nobody has asked for. */
bool reader_has_more(const reader_t *r);
void reader_free(reader_t *r);

/* ---- post.c: the way to the server ---- */

#define ENDPOINT_MAX 2048

typedef struct posts {
    target_t *target;
    weir_link_t *link;           /* NULL: it is over */
    char *endpoint;              /* the target of all POSTs */
    weir_list_t waiting;         /* letters, oldest first */
    weir_list_t carriers, gone;  /* connections */
    size_t bytes;                /* of letters that wait or are on their way */
    uint32_t requests;           /* on their way */
    bool has_notice, has_answer; /* one is on its way */
    uint16_t depth;
} posts_t;

/* NULL: no memory. */
posts_t *posts_new(target_t *target, weir_link_t *link, weir_slice_t endpoint);
/* One message. WEIR_OK, WEIR_EFULL, or WEIR_ECLOSED when there is no memory, or the link has gone by it. */
int posts_write(posts_t *p, const weir_chunk_t *parts, size_t n);
/* Drop everything; NULL is fine. */
void posts_end(posts_t *p);

/* ---- server.c and link.c ---- */

int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err);
void server_close(weir_server_t *server);

extern const weir_option_t upstream_option_table[];
extern const weir_option_t server_option_table[];
extern const weir_connect_t sse_connect;

#endif
