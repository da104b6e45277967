/* edge.h: the accept side of sse: one edge per listener, one visit per connection; a visit that has become an event stream is a
 * client of the host's. Shared by edge.c, visit.c, request.c, stream.c and reply.c, and by nobody else.
 */
#ifndef WEIR_SSE_EDGE_H
#define WEIR_SSE_EDGE_H

#include <weir/module.h>

typedef struct edge_options {
    weir_guard_t guard;
    uint64_t max_head, max_message, buffer_limit;
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, send_timeout_ms, heartbeat_ms;
    int64_t max_streams;
} edge_options_t;

/* What all connections of a listener share. Owned by the listener from create to destroy. */
typedef struct edge {
    const weir_host_t *host;
    weir_listener_t *listener;
    const edge_options_t *options;
    weir_list_t visits;
    size_t nvisits, nstreams;
    weir_timeouts_t *header_timeouts, *body_timeouts, *idle_timeouts, *heartbeats;
    weir_head_t head; /* of the request at hand, while its head is looked at */
    bool is_draining;
} edge_t;

typedef enum visit_state {
    VISIT_IDLE,
    VISIT_HEAD,
    VISIT_BODY,
    VISIT_WAIT,
    VISIT_STREAM,
    VISIT_GONE,
} visit_state_t;

/* A message of a client that waits until fewer of its requests are in flight. */
typedef struct letter {
    weir_list_t node;
    size_t n;
    char bytes[];
} letter_t;

/* One connection; the table is in visit.c. `in` holds from `from` to `to` what has been read and not used. */
typedef struct visit {
    weir_list_t node; /* in edge.visits */
    edge_t *edge;
    weir_stream_t *stream; /* NULL: gone */
    weir_timer_t timer;
    weir_buf_t *in;
    uint32_t from, to, seen;
    uint8_t state; /* visit_state_t; changed by visit_move() alone */
    uint8_t minor; /* HTTP/1.minor of the request at hand */
    uint16_t depth;
    bool is_keep;   /* the connection may carry another request */
    bool is_paused; /* not reading */

    /* a POST */
    weir_buf_t *body; /* where the message stands: `in`, or one of its own when it did not come whole with its head */
    weir_chunk_t message;
    int64_t length; /* -1: chunked */
    weir_chunked_t chunked;
    char address[WEIR_POSTBOX_ADDRESS];
    uint8_t address_n; /* 0: what stands there is none */
    char *authorization, *origin;
    weir_post_t post;

    /* an event stream */
    weir_client_t *client;
    weir_postbox_t *box;
    weir_timer_t go_on;
    weir_list_t letters;
    size_t waiting; /* bytes of letters */
    bool is_flooded;
} visit_t;

/* The part of an endpoint's query that says whose it is. */
#define ENDPOINT_NAME "sse_session"

/* visit.c */
void visit_open(edge_t *edge, weir_stream_t *stream);
/* Take a stream over whose head, and what was read behind it, are `bytes`. */
void visit_adopt(edge_t *edge, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n);
/* visit_state.c: the one place where a visit changes its state. */
void visit_move(visit_t *v, visit_state_t state);
void visit_release(visit_t *v); /* after whatever may have ended it */
void visit_close(visit_t *v);   /* at once; what is queued is lost */
/* Close when what is queued has been written. Harmless on one that has gone. */
void visit_finish(visit_t *v);
/* Its stream is its own no more. */
void visit_forget(visit_t *v);
/* The request at hand has been answered. */
void visit_answered(visit_t *v);
/* What was kept of a request goes back. */
void request_forget(visit_t *v);

/* request.c */
typedef enum ask {
    ASK_NOTHING, /* it is not for this transport */
    ASK_STREAM,  /* a GET */
    ASK_POST,
    ASK_PREFLIGHT,
} ask_t;

ask_t request_ask(const edge_t *edge, const weir_head_t *head);
/* WEIR_REASON_NONE, or why a request is refused. */
weir_reason_t request_check(const edge_t *edge, const weir_head_t *head, ask_t ask, weir_error_t *err);
/* Note what is needed of a head after it has gone. False: no memory. */
bool request_note(visit_t *v, const weir_head_t *head);
/* Refuse as an exchange, so that it is logged and answered like any other. `head` NULL: it has gone. */
__attribute__((format(printf, 4, 5))) void request_refuse(visit_t *v, const weir_head_t *head, weir_reason_t reason,
                                                          const char *format, ...);
/* The message of a POST is there: post it. */
void request_post(visit_t *v);

/* stream.c */
void stream_begin(visit_t *v, const weir_head_t *head);
void stream_heartbeat(visit_t *v);
void stream_drained(visit_t *v);
/* Its client may be given messages again. */
void stream_go_on(visit_t *v);

/* reply.c */
#define REPLY_PARTS 24 /* of a message in one write; more are joined first */
void reply_accepted(visit_t *v);
void reply_continue(visit_t *v);
void reply_preflight(visit_t *v, const weir_head_t *head);
void reply_fail(weir_exchange_t *ex, const weir_failure_t *failure);
/* The head of an event stream and its first event, which names the endpoint. */
void reply_stream(visit_t *v, const weir_head_t *head, weir_slice_t path, weir_slice_t address);
int reply_event(visit_t *v, const weir_chunk_t *parts, size_t n);
void reply_comment(visit_t *v);

/* edge.c */
extern const weir_accept_t sse_accept;

#endif
