/* exchanges.h: all exchanges of a process, and the steps in which exchange.c, forward.c, reply.c and reply_body.c share an exchange. */
#ifndef EXCHANGES_H
#define EXCHANGES_H

#include "exchange.h"

typedef struct exchanges {
    weir_list_t live, ended, spare;
    size_t nlive, nspare;
    weir_list_t spare_calls; /* call.c's */
    size_t nspare_calls;
    weir_timer_t sweep; /* at the end of a turn in which one ended */
} exchanges_t;

exchanges_t *exchanges_new(void);
void exchanges_free(exchanges_t *all);

/* Weir stops: what no client waits for any more, such as the end of a session, is not waited for either. */
void exchanges_stop(void);

/* The one place where an exchange ends. Nothing is sent to the client here. */
void exchange_end(exchange_t *ex, weir_reason_t reason);

/* What the access log will want to say of its request. */
void exchange_take_note(exchange_t *ex);

/* How it has gone so far. */
weir_outcome_t exchange_outcome(const exchange_t *ex, weir_reason_t reason);

/* Its time-out stops; if it was held, it waits no more. The caller moves it on. */
void exchange_unhold(exchange_t *ex);

/* Its client is full, so what brings the reply waits; or it is not any more. */
void exchange_pause(exchange_t *ex, bool is_paused);

/* Give the request's buffers back; the id is kept, an error may still have to name it. */
void exchange_release_request(exchange_t *ex);

#endif
