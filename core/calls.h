/* calls.h: links that carry messages both ways: how exchanges are sent on them, and what comes from their servers. */
#ifndef CALLS_H
#define CALLS_H

#include <weir/module.h>

extern const struct carrier calls_carrier;

/* A message from the server, the loss of one that was too long to be read, a request that it did not take; see weir_host_t's
 * link_message, link_lost and link_refused. */
int calls_message(weir_link_t *link, weir_slice_t bytes);
void calls_lost(weir_link_t *link, weir_slice_t id);
void calls_refused(weir_link_t *link, weir_slice_t id, weir_reason_t reason, const char *why);

#endif
