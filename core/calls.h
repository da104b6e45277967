/* calls.h: links that carry messages both ways: how exchanges are sent on them, and what comes from their servers. */
#ifndef CALLS_H
#define CALLS_H

#include <weir/module.h>

extern const struct carrier calls_carrier;

/* A message from the server, or the loss of one that was too long to be read; see weir_host_t's link_message and link_lost. */
int calls_message(weir_link_t *link, weir_slice_t bytes);
void calls_lost(weir_link_t *link, weir_slice_t id);

#endif
