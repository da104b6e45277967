/* session.h: a legacy session on a stream transport: a link of its own, the streams it sends on, and their log.
 *
 * Owned by its upstream's table, in a keeper.
 *
 *   state    event                         next     what happens
 *   OPENING  `initialize` answered         OPEN     the worker is told the id and seals it into a token
 *   OPENING  error answer, client gone     ENDED    the link closes
 *   OPEN     DELETE, idle_timeout          ENDED    the link closes
 *   any      link down                     ENDED    its streams end; whoever comes with its id gets 404
 */
#ifndef SESSION_H
#define SESSION_H

#include "events.h"
#include "exchange.h"

#define SESSION_ID_SIZE 16

typedef enum session_state { SESSION_OPENING, SESSION_OPEN, SESSION_ENDED } session_state_t;

typedef struct session {
    weir_list_t node; /* in its bucket */
    uint8_t id[SESSION_ID_SIZE];
    session_state_t state;
    upstream_t *upstream;
    link_t *link;
    exchange_t *listen;   /* the client's GET stream, or NULL */
    uint32_t streams;     /* numbers given so far */
    uint32_t listen_sent; /* newest event of stream 0 that a client had */
    uint32_t calls;       /* in flight */
    events_t events;
    weir_timer_t idle;
    bool is_loss_logged;
    bool has_listened; /* the client has opened the session's own stream at least once */
} session_t;

typedef struct session_table session_table_t;

session_table_t *sessions_new(upstream_t *up);
void sessions_free(upstream_t *up);
size_t sessions_count(const upstream_t *up);

/* Begin a session on a link; NULL when there is no memory. */
session_t *session_begin(upstream_t *up, link_t *link);
session_t *session_find(upstream_t *up, const uint8_t id[SESSION_ID_SIZE]);
void session_opened(session_t *session);
void session_end(session_t *session);
/* Its link is going down. */
void session_lost(session_t *session, const char *why);

/* A request begins or ends: the session is not idle meanwhile. The number of the stream that its reply gets. */
uint32_t session_call_begun(session_t *session);
void session_call_ended(session_t *session);
/* Its client has begun to listen, or does so no more. */
void session_mind_idleness(session_t *session);

/* Log an event of a stream and write its id. */
weir_slice_t session_log(session_t *session, uint32_t stream, const weir_slice_t *parts, size_t n, bool is_final,
                         char id[EVENT_ID_MAX]);

#endif
