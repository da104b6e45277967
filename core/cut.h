/* cut.h: a reply that comes as bytes (a head, then a body) cut into the messages that are in it, for clients who know nothing of HTTP.
 *
 *   body                         what comes out
 *   application/json             one message, the answer
 *   text/event-stream            a message for each event; the answer is the one that carries the request's id
 *   none (202, 204)              nothing: what was sent is taken
 *   of any other status          its JSON-RPC error when it has one, else a failure that says the status
 *
 * Where only modules of the chain look at messages (is_watched), the bytes go on as they came, and what cannot be cut is passed over.
 *
 * Owned by its exchange; made by cut_begin(), gone with the exchange. A message is bounded by max_message of the upstream.
 */
#ifndef CUT_H
#define CUT_H

#include "exchange.h"

/* The head of a reply has come: WEIR_OK, or WEIR_ECLOSED when that ended the exchange. */
int cut_begin(exchange_t *ex, const weir_head_t *head);
/* Some of its body: WEIR_OK, WEIR_EFULL as reply_bytes() says, WEIR_ECLOSED when the exchange has ended. */
int cut_bytes(exchange_t *ex, const weir_chunk_t *chunks, size_t n);
/* All of it has come. Ends the exchange of a client that wants messages. */
void cut_end(exchange_t *ex);
void cut_free(struct cut *cut);

#endif
