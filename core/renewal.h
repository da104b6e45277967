/* renewal.h: what a session that its server has forgotten is begun again with: the client's `initialize`, and the requests that the server
 * refused because it did not know the session (404: it has not acted on them). On a stream transport the connection is the session, so
 * nobody could tell the client to initialize again but by hanging up.
 *
 * Owned by a client; see the table in client.h.
 */
#ifndef RENEWAL_H
#define RENEWAL_H

#include <weir/module.h>

typedef struct renewal {
    char *initialize; /* NULL: the client has begun no session */
    size_t initialize_n;
    weir_list_t refused; /* in the order in which they were */
} renewal_t;

void renewal_init(renewal_t *renewal);
void renewal_clear(renewal_t *renewal);

/* The newest `initialize`. WEIR_EFAIL: no memory; none is kept. */
int renewal_note(renewal_t *renewal, weir_slice_t initialize);

/* Keep a request for the session to come. WEIR_EFAIL: no memory. */
int renewal_keep(renewal_t *renewal, const weir_chunk_t *request);

/* The next of them, false: there is none. The caller owns a reference to its buffer. */
bool renewal_next(renewal_t *renewal, weir_chunk_t *request);

#endif
