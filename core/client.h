/* client.h: a client on a stream transport (WebSocket, TCP, standard input): its messages become exchanges, what answers them becomes
 * messages again. The transport only frames: it hands in whole messages and writes whole messages.
 *
 * The connection is the session: weir keeps the token that `initialize` was granted, listens for what the server says unasked, and
 * ends the session with the connection. A modern client needs none of this; its requests carry everything.
 *
 *   event                                     what happens
 *   a request                                 an exchange; its replies are written as they come
 *   a notification, an answer                 an exchange that is taken and not answered
 *   notifications/cancelled                   passed on where the server's era has it, and its exchange ends
 *   initialize answered, with a session       the token is kept
 *   notifications/initialized taken           an exchange that listens; opened again when the server ends it
 *   the server has forgotten the session      it is begun again with the client's own `initialize`; what was refused is sent again, and the
 *                                             transport reads on. Where that fails its requests are told; the next tries again
 *   max_exchanges in flight                   the transport stops reading until one ends
 *   0.8 of max_in_flight in their bytes       the transport stops reading until less than 0.3 is left
 *   the client has gone                       its exchanges end, its session ends, then its memory goes
 *
 * Owned by the transport from client_new() to client_gone(), by itself until the session has been ended.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <weir/module.h>

weir_client_t *client_new(weir_listener_t *listener, const weir_client_intro_t *intro,
                          const weir_client_events_t *events, void *owner);
/* Who it is, when that was not known as it came: before its first message. WEIR_EFAIL: no memory. */
int client_introduce(weir_client_t *client, weir_slice_t principal);
void client_message(weir_client_t *client, const weir_chunk_t *message);
void client_drained(weir_client_t *client);
/* No more messages will come: when all that was asked is answered, `end` is called. */
void client_finish(weir_client_t *client);
void client_gone(weir_client_t *client);

#endif
