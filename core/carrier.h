/* carrier.h: what carries the exchanges of an upstream to its servers and brings their answers back: links of whole exchanges
 * (link.c), links of messages (calls.c), or the channel to a keeper (channel.c). Chosen when the upstream is made; to the exchange
 * it is this table and nothing else.
 */
#ifndef CARRIER_H
#define CARRIER_H

#include <weir/module.h>

struct exchange;
struct link;

typedef struct carrier {
    /* The chain has let it go: take it on its way. What goes wrong fails it. */
    void (*send)(struct exchange *ex);
    /* It has ended, sent or not: whatever is held for it is let go; nobody waits for an answer any more. */
    void (*forget)(struct exchange *ex, weir_reason_t reason);
    /* Its client is full, or takes bytes again. */
    void (*pause)(struct exchange *ex, bool is_paused);
    /* A link has died and its exchanges with it: what else lives on it ends too. NULL: nothing does. */
    void (*link_died)(struct link *link, weir_reason_t reason, const char *why);
} carrier_t;

#endif
