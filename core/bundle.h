/* bundle.h: a JSON-RPC batch of a client (revision 2025-03-26): an array of messages that comes, and is answered, as one.
 *
 * Each of its messages is an exchange of its own: routed, carried, logged and counted like any other. The exchange that brought
 * them goes to no server; it is the way back for all of them, and ends with the last.
 *
 *   what comes of a message                what the client gets
 *   an answer, a failure                   gathered: one array when all are there
 *   a message before an answer             over HTTP an event stream, on which answers follow as they come; on a stream, the message
 *   answers beyond buffer_limit            those that were gathered, as an array, and then on
 *   nothing was asked                      202; on a stream, nothing
 *   no message, `initialize`, an array     an error of its own, as JSON-RPC 2.0 has it
 *   the session is gone                    that, before anything else was said
 *
 * An empty batch, one of more than max_batch messages, and any batch of another revision are refused as a whole.
 *
 * Owned by the exchange that brought it; gone with it.
 */
#ifndef BUNDLE_H
#define BUNDLE_H

#include "exchange.h"

/* Start an exchange, of whatever kind its message is. */
void exchange_submit(weir_exchange_t *pub);

/* The client does not wait for this one of them any more. False: there is none with that id. */
bool bundle_cancel(exchange_t *ex, weir_slice_t id);

#endif
