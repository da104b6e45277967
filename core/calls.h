/* calls.h: the steps that call.c shares with era.c. */
#ifndef CALLS_H
#define CALLS_H

#include "call.h"

call_t *call_new(link_t *link, weir_slice_t id, weir_slice_t token);

/* Send an exchange's request under a number of the link's own. */
int call_request(exchange_t *ex);

#endif
