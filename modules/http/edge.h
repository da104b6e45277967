/* edge.h: the accept side of http: one edge per listener, one client per connection. Shared by edge.c, client.c,
 * client_state.c, request.c, reply.c and coding.c, and by nobody else.
 */
#ifndef WEIR_HTTP_EDGE_H
#define WEIR_HTTP_EDGE_H

#include "head.h"

typedef struct edge_options {
    uint64_t max_head, max_message, buffer_limit;
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, send_timeout_ms;
    int64_t keepalive_requests;
    weir_guard_t guard;
} edge_options_t;

extern const weir_option_t edge_option_table[];

struct client;

/* What all clients of a listener share. Owned by the listener from create to destroy. */
typedef struct edge {
    const weir_host_t *host;
    weir_listener_t *listener;
    const edge_options_t *options;
    weir_list_t clients;
    size_t nclients;
    weir_timeouts_t *header_timeouts, *body_timeouts, *idle_timeouts;
    const weir_codings_t *codings; /* offered to clients; NULL: none */
    /* A reply's head waits here until the call that brings its body, so that both leave in one write; `out_of` is its client.
     * One place serves all: a head waits only within a turn of the loop, and whoever needs the place first sends it on. */
    head_out_t out;
    struct client *out_of;
    bool is_shared; /* other transports use the port too */
    bool is_draining;
} edge_t;

typedef enum client_state {
    CLIENT_IDLE,
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WAIT,
    CLIENT_FLUSH,
    CLIENT_GONE,
} client_state_t;

typedef enum client_framing {
    FRAMING_NONE,    /* no body */
    FRAMING_LENGTH,  /* Content-Length */
    FRAMING_CHUNKED, /* chunked coding */
    FRAMING_CLOSE,   /* the end of the connection is the end of the body: HTTP/1.0 */
} client_framing_t;

/* One client connection; the table is in client.c. `buf` holds the request at hand from `begin` on (head, then body, the
 * chunked coding taken off in place), then from `next` to `filled` what came after it. The parsed head stands in the tail of
 * the same buffer, so that both are borrowed and given back together. */
typedef struct client {
    weir_list_t node; /* in edge.clients */
    weir_timer_t timer;
    edge_t *edge;
    weir_stream_t *stream;
    weir_exchange_t *ex;     /* under way, or NULL */
    weir_encoder_t *encoder; /* of the reply's body, NULL: it goes as it is */
    weir_buf_t *buf;
    weir_head_t *head; /* of the request at hand, once it is whole; NULL when its buffer has gone back */
    uint32_t begin, head_n, body_n, next, filled;
    uint32_t seen; /* bytes of an unfinished head that the parser has looked at */
    uint32_t requests;
    uint8_t state;   /* client_state_t; changed by client_move() alone */
    uint8_t framing; /* client_framing_t, of the reply */
    uint8_t minor;   /* HTTP/1.minor of the request at hand */
    weir_chunked_t chunked;
    bool is_keep : 1;    /* the connection may carry another request */
    bool is_origin : 1;  /* the request came from an allowed Origin: its reply says so */
    bool is_begun : 1;   /* the reply's head has been written */
    bool is_events : 1;  /* the reply is an event stream */
    bool is_full : 1;    /* the write queue is above its high-water mark */
    bool is_paused : 1;  /* not reading: what came after the request at hand fills its buffer */
    bool is_running : 1; /* client_run() is on the stack */
    bool is_cut : 1;     /* the reply's body could not be encoded to its end */
} client_t;

static inline weir_slice_t client_request_body(const client_t *c)
{
    return weir_slice(c->buf->data + c->begin + c->head_n, c->body_n);
}

/* client.c */
void client_open(edge_t *edge, weir_stream_t *stream);
/* Take a stream over with what was read from it. */
void client_adopt(edge_t *edge, weir_stream_t *stream, weir_slice_t bytes);
/* client_state.c: the one place where a client changes its state. */
void client_move(client_t *c, client_state_t state);
void client_close(client_t *c); /* at once; what is queued is lost */
/* When everything that is queued has been written, and in such a way that bytes of the client that are still on their way do not
 * take it from it again. */
void client_finish(client_t *c);
/* The end of every client, whose stream is its own no more. The memory stays until client_run() is off the stack. */
void client_forget(client_t *c);
void client_pause(client_t *c, bool is_paused);
void client_drop_buffer(client_t *c);
/* Nothing has come behind the last request: what an idle connection does not need goes back. */
void client_rest(client_t *c);
/* The exchange has been told its end. `is_whole`: the client can see where the reply ends; otherwise it must see a cut. */
void client_exchange_ended(client_t *c, bool is_whole);
/* The reply has begun: the request's bytes are not needed any more. */
void client_release_request(client_t *c);

/* request.c: what is checked as soon as the head is there, and what when the message is. WEIR_REASON_NONE, or why not. */
weir_reason_t request_check_head(client_t *c, weir_error_t *err);
bool request_is_preflight(const client_t *c);
void request_start(client_t *c);
__attribute__((format(printf, 3, 4))) void request_refuse(client_t *c, weir_reason_t reason, const char *format, ...);

/* reply.c */
#define EDGE_CHUNKS 24 /* pieces in one write; more go in several */
int edge_reply_head(weir_exchange_t *ex, const weir_reply_t *reply);
int edge_reply_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n);
int edge_reply_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final);
void edge_reply_end(weir_exchange_t *ex);
void edge_fail(weir_exchange_t *ex, const weir_failure_t *failure);
void reply_continue(client_t *c);
void reply_preflight(client_t *c);

/* coding.c. What becomes of a reply's body: the coding it gets (empty: none), and whether the next client may get another. */
typedef struct coded {
    weir_slice_t name;
    bool varies;
} coded_t;

coded_t coding_of_own(client_t *c, weir_slice_t type, int64_t length, bool has_body);
coded_t coding_of_server(client_t *c, const weir_reply_t *reply);
void out_coding(head_out_t *out, const coded_t *coded);
void out_weak_etag(head_out_t *out, const weir_head_t *head);
void coding_end(client_t *c);
/* Of a request: whether its coding can be taken off, and then what its body says, in a buffer that the caller gives back (NULL: it
 * is as it came). WEIR_REASON_NONE, or why not. */
weir_reason_t coding_check(client_t *c, weir_error_t *err);
weir_reason_t coding_take_off(client_t *c, weir_chunk_t *plain, weir_error_t *err);

/* edge.c */
void *edge_create(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err);
void edge_destroy(void *self);
void edge_open(void *self, weir_stream_t *stream);
bool edge_adopt(void *self, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n);
void edge_drain(void *self, bool now);
size_t edge_clients(void *self);

#endif
