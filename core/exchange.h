/* exchange.h: an exchange is one client request and all that answers it.
 *
 * Made by the accept side with exchange_new(), ended exactly once in exchange_end(), freed at the end of that turn of the loop,
 * so that whoever is still on the stack may look at its magic.
 *
 *   state     event                        next      what happens
 *   NEW       start: no route, bad token   ENDED     fail: 404
 *   NEW       start                        CHAIN     the chain's modules are asked in order
 *   CHAIN     a module passes              CHAIN     the next one
 *   CHAIN     the last one passes          SENT      the request goes to the link, or to the keeper
 *   CHAIN     a module holds               HELD      its timer runs
 *   CHAIN     a module answers or fails    ENDED
 *   HELD      resume                       CHAIN     after the module that held
 *   HELD      timer                        ENDED     fail: timeout (504)
 *   SENT      reply head, first message    REPLYING  the request's buffers go back
 *   SENT      timer                        ENDED     fail: timeout (504)
 *   SENT      link gone, nothing sent      CHAIN     the links' owner is asked for another
 *   REPLYING  bytes, messages              REPLYING  passed on in this turn, timer set again
 *   REPLYING  reply end, final message     ENDED     answered
 *   any       link down, module fails      ENDED     fail: the accept side tells the client what is still possible
 *   any       client gone                  ENDED     the link is told to abandon it; nobody is answered
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "link.h"
#include "listener.h"

typedef enum exchange_state {
    EXCHANGE_NEW,
    EXCHANGE_CHAIN,
    EXCHANGE_HELD,
    EXCHANGE_SENT,
    EXCHANGE_REPLYING,
    EXCHANGE_ENDED,
} exchange_state_t;

#define EXCHANGE_NOTE_MAX 64
#define EXCHANGE_STATE_MAX 192
#define EXCHANGE_ID_INLINE 24

/* What the access log wants to say after the request's own bytes have gone. */
typedef struct exchange_note {
    uint8_t method_n, name_n, trace_n;
    char method[EXCHANGE_NOTE_MAX], name[EXCHANGE_NOTE_MAX], trace[EXCHANGE_NOTE_MAX];
} exchange_note_t;

typedef struct exchange {
    weir_exchange_t pub;
    exchange_state_t state;
    const weir_accept_t *accept;
    upstream_t *upstream;
    link_t *link;
    server_t *server;    /* its session is bound to, or NULL */
    weir_list_t node;    /* in the process's list of exchanges */
    weir_list_t on_link; /* link.exchanges, or the channel's list */
    arena_t *arena;      /* made when first asked for, kept for the next exchange */
    uint32_t chain_at;   /* the module that is asked, or held */
    uint32_t entered;    /* how many modules have seen the request, and will see the end */
    weir_timer_t timer;
    uint64_t start_us;
    uint64_t leased_us;      /* 0: at once, at start_us */
    uint64_t retry_after_ms; /* 0: nobody has said */
    uint64_t bytes_in, bytes_out;
    uint16_t status;         /* that the client got */
    bool is_own_link;        /* begins a legacy session on a stream transport */
    bool is_paused;          /* the client is full */
    bool is_stream;          /* the reply is an event stream */
    bool is_counted;         /* stats_begin() was called for it */
    bool is_leased;          /* it has, or had, a link */
    bool has_fallen_back;    /* to the upstream that stands in for the one that was routed to */
    bool is_alien;           /* see weir_outcome_t */
    struct channel *channel; /* worker: the keeper that serves it */
    uint32_t channel_id;
    struct call *call;             /* keeper: its request on a stream link */
    struct session *session;       /* keeper: the legacy session it belongs to */
    struct bundle *bundle;         /* it brought a batch, which others carry */
    const struct carrier *carrier; /* NULL: its upstream's */
    uint8_t session_id[16];        /* kept session, from the token or of a new one */
    bool has_session;
    bool is_mirrored;        /* its client repeats parameters of the tool it calls in fields of its head */
    weir_slice_t fields;     /* keeper: these fields; see param.h */
    bool is_answered;        /* the client has its answer; what still comes is read over */
    uint8_t keeper;          /* that holds the session */
    char *id;                /* the raw id, once the request's buffers have gone */
    struct cut *cut;         /* cuts the reply into messages */
    struct decoder *decoder; /* takes a content coding off the reply's body */
    bool is_decoded;         /* for the client too */
    weir_list_t of_client;   /* in the list of a client on a stream transport */
    weir_slice_t version;    /* negotiated in the session */
    void *state_base;
    /* From here on nothing is zeroed when an exchange begins: see exchange_new(). */
    exchange_note_t note;
    char id_room[EXCHANGE_ID_INLINE];             /* where `id` points to when it fits */
    _Alignas(16) char states[EXCHANGE_STATE_MAX]; /* per-exchange states of the chain's modules, when they fit */
} exchange_t;

static inline exchange_t *exchange_of(const weir_exchange_t *pub)
{
    return WEIR_CONTAINER(pub, exchange_t, pub);
}

/* The accept side's way in; see weir_host_t. */
weir_exchange_t *exchange_new(weir_listener_t *listener, void *client);
void exchange_start(weir_exchange_t *pub);
void exchange_refuse(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void exchange_abandon(weir_exchange_t *pub);
void exchange_drained(weir_exchange_t *pub);
void exchange_sent(weir_exchange_t *pub, uint64_t bytes);
void *exchange_alloc(weir_exchange_t *pub, size_t n);

/* For modules. */
int exchange_hold(weir_exchange_t *pub, uint64_t timeout_ms);
int exchange_resume(weir_exchange_t *pub);
void exchange_fail(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, but when no server of its upstream may be used (WEIR_REASON_BREAKER_OPEN), it goes to the upstream that stands in for
 * it, if there is one. */
void exchange_fail_over(weir_exchange_t *pub, weir_reason_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void exchange_answer(weir_exchange_t *pub, uint16_t status, weir_slice_t message);
void exchange_retry_after(weir_exchange_t *pub, uint64_t ms);
bool exchange_wants_own_link(const weir_exchange_t *pub);
weir_server_t *exchange_server(const weir_exchange_t *pub);

/* The way back. Bytes from a link of exchanges; messages from calls, sessions and channels. reply_accepted answers what needs no
 * answer (202). reply_stream opens an event stream before there is an event. */
int reply_head(weir_exchange_t *pub, const weir_head_t *head);
int reply_bytes(weir_exchange_t *pub, const weir_chunk_t *chunks, size_t n);
void reply_end(weir_exchange_t *pub);
int reply_message(exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final);
void reply_accepted(exchange_t *ex, uint16_t status);
void reply_stream(exchange_t *ex);

/* For links: its link has gone before the server saw anything of it. */
void exchange_again(exchange_t *ex);

/* For core: start an exchange whose upstream is known already (keepers), or go on with it after the era was found out. */
void exchange_enter(exchange_t *ex, upstream_t *up);
/* Find its upstream, and what its session token says. False when that failed it. */
bool exchange_route(exchange_t *ex);
void exchange_dispatch(exchange_t *ex);

/* End the streams that are left when the time to drain has run out, the way the protocol allows. */
void exchanges_cut(void);
size_t exchanges_count(void);
/* Free the exchanges that ended in this turn. */
void exchanges_sweep(void);

#endif
