/* link.h: a link is one live channel to a server. Owned by its server from link_open() to the end of the turn in which it died.
 *
 * Every change of state goes through link_move(), nowhere else.
 *
 *   state       event                     next     what happens
 *   CONNECTING  link_up                   IDLE     the chain's link owner is told UP
 *   CONNECTING  link_down                 DEAD     told DOWN
 *   IDLE        link_lease                BUSY     the exchange is counted on it
 *   BUSY        last exchange released    IDLE     told FREE (not while a session owns it, nor before the transport says
 *                                                  link_free_again() for a link of one exchange at a time)
 *   BUSY        link_down                 DEAD     its exchanges fail, its session ends, told DOWN
 *   BUSY        link_retire               LEAVING  told DOWN: nobody gets it any more
 *   LEAVING     last exchange released    DEAD
 *   LEAVING     link_down                 DEAD     its exchanges fail
 *   IDLE        link_retire               DEAD     told DOWN
 *   any         link_close                DEAD     the same, at our own wish
 */
#ifndef LINK_H
#define LINK_H

#include "ledger.h"
#include "upstream.h"

struct exchange;
struct session;
struct calls;

typedef struct link {
    weir_link_t pub;
    weir_list_t in_server;
    weir_list_t exchanges;   /* in flight on it (exchange.on_link) */
    struct calls *calls;     /* stream links: requests awaiting an answer */
    struct session *session; /* that owns it */
    ledger_line_t *line;     /* what others may know of it */
    weir_timer_t burial;     /* frees it at the end of the turn in which it died */
} link_t;

static inline link_t *link_of(const weir_link_t *pub)
{
    return WEIR_CONTAINER(pub, link_t, pub);
}

static inline upstream_t *link_upstream(const link_t *link)
{
    return upstream_of(link->pub.server->upstream);
}

weir_link_t *link_open(weir_server_t *server, weir_error_t *err);
void link_up(weir_link_t *link);
void link_down(weir_link_t *link, weir_reason_t reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
void link_close(weir_link_t *link, weir_reason_t reason, const char *why);
void link_free_again(weir_link_t *link);
void link_retire(weir_link_t *link, const char *why);

/* Bind an exchange; WEIR_EFULL when the link cannot take one more. Release undoes it; is_whole says that its reply came to its
 * end, otherwise the transport is told to abandon it. */
int link_lease(weir_link_t *link, struct exchange *ex);
void link_release(link_t *link, struct exchange *ex, bool is_whole);

/* The module that owns the links has found one for an exchange; see weir_host_t. */
int exchange_lease(weir_exchange_t *pub, weir_link_t *link);

/* How whole exchanges are carried: one at a time on a link. */
extern const struct carrier link_carrier;

/* A session takes the link for itself, and gives it up (the link closes: what served one client serves no other). */
void link_own(link_t *link, struct session *session);
void link_disown(link_t *link);

#endif
