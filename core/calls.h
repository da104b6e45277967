/* calls.h: the steps that call.c shares with era.c, param.c and ask.c. */
#ifndef CALLS_H
#define CALLS_H

#include "call.h"

call_t *call_new(link_t *link, weir_slice_t id, weir_slice_t token);

/* Note what weir can learn from the answer to this method. */
void call_teaches(call_t *call, weir_slice_t method);

/* The era of the server fits: on to what the exchange's head says of its arguments. */
void call_admitted(exchange_t *ex);

/* Send an exchange's request under a number of the link's own. */
int call_request(exchange_t *ex);

/* Nobody waits for the answer any more: the server is told why, the call ends. */
void call_cancel(call_t *call, const char *why);

#endif
