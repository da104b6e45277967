/* chain.h: an exchange passes the modules of its upstream's chain. */
#ifndef CHAIN_H
#define CHAIN_H

#include "exchange.h"

/* Ask the modules from `ex->chain_at` on. True when all have passed it, and it is to be sent. */
bool chain_run(exchange_t *ex);

/* The exchange's link has gone before it carried anything: ask the module that owns the links for another. As chain_run(). */
bool chain_again(exchange_t *ex);

/* Tell every module that has seen the request how it ended, the last one first. */
void chain_end(exchange_t *ex, const weir_outcome_t *outcome);

/* Ask all modules of the server's upstream whether it may be used; see weir_host_t. */
bool chain_admits(weir_server_t *server, weir_exchange_t *pub);
/* Tell the modules that have seen the request what has become of it. */
void chain_leased(exchange_t *ex);
void chain_streaming(exchange_t *ex, uint16_t status);
/* Tell all modules that a link to the server could not be opened. */
void chain_connect_failed(weir_server_t *server, const char *why);

/* Show a message of the reply to the modules that look at them. */
void chain_reply(exchange_t *ex, const weir_message_t *message);

#endif
