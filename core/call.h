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
#include "message.h"

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
    /* Weir itself waits for the answer: told once, `why` NULL: it has come. NULL: it does not. */
    void (*told)(void *arg, const char *why, weir_reason_t reason);
    void *told_arg;
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

/* Of a link, made when the first call comes; NULL when there is no memory. */
calls_t *calls_of(link_t *link);
void calls_free(link_t *link);

call_t *call_new(link_t *link, weir_slice_t id, weir_slice_t token);
void call_free(call_t *call);

/* Note what weir can learn from the answer to this method. */
void call_teaches(call_t *call, weir_slice_t method);

/* Send an exchange's request under a number of the link's own. */
int call_request(exchange_t *ex);

/* Write one message to the link, as it is or edited. */
int call_write(link_t *link, const weir_slice_t *parts, size_t n);
int call_write_edited(link_t *link, const weir_message_t *message, const weir_edit_t *edits, size_t nedits);

/* Hand a message of the server to whoever the call answers; the final one ends it. */
void call_deliver(call_t *call, const weir_slice_t *parts, size_t n, bool is_final);
void call_deliver_edited(call_t *call, const weir_message_t *message, const weir_edit_t *edits, size_t nedits,
                         bool is_final);

/* Nobody waits for the answer any more: the server is told why, the call ends. */
void call_cancel(call_t *call, const char *why);

/* The exchange of a call has ended without the call's answer. */
void call_forget(exchange_t *ex, weir_reason_t reason);

/* The exchange's client is full, or takes bytes again. */
void call_pause(exchange_t *ex, bool is_paused);

/* Free the calls that were kept to be used again. */
void calls_free_spare(void);

/* NULL: there is none of this number. */
call_t *calls_by_number(const link_t *link, weir_slice_t raw);
/* The one call of a client in flight on a shared link, to which a notification that names none can only belong; or NULL. */
call_t *calls_only_one(const link_t *link);

#endif
