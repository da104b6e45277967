/* call.h: a call is one request on a stream link that waits for its answer: which exchange it answers, under which number it went
 * out, and what the client called it.
 *
 * Owned by its link. Ends with the server's answer, with the link, or when nobody waits for it any more.
 *
 *   event                               what happens
 *   answer                              id put back, delivered as the final message, the call ends
 *   progress, subscription event        token or id put back, delivered
 *   client gone, nothing streamed yet   notifications/cancelled to the server, the call ends
 *   client gone from a resumable stream the call waits resume_timeout for it; what comes is kept in the session's log
 *   link down                           the exchange fails, the call ends
 */
#ifndef CALL_H
#define CALL_H

#include "exchange.h"
#include "ids.h"

#define CALL_TEXT_INLINE 64

typedef struct call {
    weir_list_t node; /* in calls.list, or exchanges.spare_calls */
    link_t *link;
    exchange_t *ex; /* whom it answers; NULL: nobody at the moment, or weir itself asked */
    struct session *session;
    uint32_t id;     /* on the link */
    uint32_t stream; /* of the session */
    weir_slice_t raw_id, raw_token;
    char *text;          /* where these two live: `room`, or memory of its own */
    uint64_t held_bytes; /* delivered while the client was full */
    weir_timer_t linger;
    bool has_events;  /* something of its stream has an event id */
    bool is_discover; /* its answer may tell the server's era */
    bool is_tools;    /* its answer is a page of the server's list of tools */
    bool is_own;      /* it is weir's own question, known to be right: any answer tells */
    bool is_initialize;
    char room[CALL_TEXT_INLINE];
} call_t;

typedef struct calls {
    weir_list_t list;
    ids_t ids;
} calls_t;

/* Send an exchange that has a stream link, or a legacy session's own way to be served (listen, end). */
void call_send(exchange_t *ex);

/* The exchange of a call has ended without the call's answer. */
void call_forget(exchange_t *ex, weir_reason_t reason);

/* The exchange's client is full, or takes bytes again. */
void call_pause(exchange_t *ex, bool is_paused);

/* Give a call whose client has gone a new one, or none. */
void call_attach(call_t *call, exchange_t *ex);

/* A message from the server. */
int calls_message(link_t *link, weir_slice_t bytes);

/* The answer to a request was too long to be read. */
void calls_lost(link_t *link, weir_slice_t id);

/* The link has died: every call ends. */
void calls_fail(link_t *link, weir_reason_t reason, const char *why);

/* Free the calls that were kept to be used again. */
void calls_free_spare(void);

/* Write one message to the link. */
int call_write(link_t *link, const weir_slice_t *parts, size_t n);

#endif
