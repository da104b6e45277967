/* client_inside.h: what a client on a stream transport is, for client.c and, below it, client_replies.c, client_session.c and
 * client_exchanges.c; nobody else includes it.
 */
#ifndef CLIENT_INSIDE_H
#define CLIENT_INSIDE_H

#include "client.h"
#include "exchange.h"
#include "renewal.h"
#include "timer.h"

#define REVISION_MAX 16
#define EVENT_ID_KEPT 128

struct weir_client {
    weir_listener_t *listener;
    const weir_client_events_t *events;
    const weir_accept_t *accept; /* the way back of its exchanges */
    void *owner;                 /* NULL: gone; only its session is still being ended */
    weir_list_t exchanges;
    uint32_t in_flight;
    uint64_t in_flight_bytes; /* of their requests */
    char *token;              /* of its session, NULL: none */
    char revision[REVISION_MAX];
    char event_id[EVENT_ID_KEPT]; /* of the newest event that was heard */
    exchange_t *listen;
    exchange_t *renewing; /* what the session is begun again with: its `initialize`, then `notifications/initialized` */
    renewal_t renewal;
    weir_timer_t again, burial;
    bool is_tls, is_paused, cannot_listen;
    bool is_heavy;     /* too much of its requests is in flight */
    bool is_finishing; /* it will ask nothing more */
    char *peer, *host, *target, *authorization, *principal;
};

/* client_exchanges.c */

/* As the log calls it: one on pipes, or on a Unix socket, has no address. */
const char *client_name(const weir_client_t *client);
exchange_t *client_exchange(weir_client_t *client, weir_verb_t verb);
void client_carry(weir_client_t *client, exchange_t *ex, const weir_message_t *message, weir_buf_t *buf);
/* The exchange will not call back any more. */
void client_forget(weir_client_t *client, exchange_t *ex);
/* After an exchange: a client that has gone leaves with its last one, one that will ask nothing more with its last answer. */
void client_settle(weir_client_t *client);
/* Read on, or not, by what is in flight now. */
void client_mind_flood(weir_client_t *client);
int client_write(weir_client_t *client, const weir_chunk_t *parts, size_t n);
void client_tell(weir_client_t *client, weir_slice_t id, const weir_failure_t *failure);

/* client_session.c */

void client_listen(void *client); /* the timer's too */
void client_listen_again(weir_client_t *client);
void client_note_event(weir_client_t *client, weir_slice_t id);
/* `initialize` was answered: the connection has a session when the server gave one. */
void client_begin_session(weir_client_t *client, const exchange_t *ex, weir_slice_t answer);
void client_end_session(weir_client_t *client);
void client_note_initialize(weir_client_t *client, weir_slice_t bytes);
/* `ex` was refused because the server does not know its session. False: it is not begun again. */
bool client_renew(weir_client_t *client, exchange_t *ex);
/* What it is begun again with was answered, taken, or has failed. */
void client_renew_on(weir_client_t *client, bool has_session);
void client_renewed(weir_client_t *client);
void client_cannot_renew(weir_client_t *client, const weir_failure_t *failure);

/* client_replies.c */

extern const weir_accept_t client_accept;

#endif
