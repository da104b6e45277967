/* session_streams.h: what is sent on the streams of a session: the one that its client opens by GET, and the replies to its requests.
 *
 *   what                              where it goes
 *   an answer of the server           the stream of its call (call.c)
 *   its notification                  the GET stream, once the client has opened one; else as a question
 *   its question                      the stream of the newest call whose client is there; else the GET stream
 *   a GET without Last-Event-ID       opens the GET stream anew: what its client has not had yet is sent, one before it ends
 *   a GET with one                    the stream that it names goes on behind that event
 */
#ifndef SESSION_STREAMS_H
#define SESSION_STREAMS_H

#include "session.h"

/* Serve a GET: open the session's stream, or resume the one that last_event_id names. */
void session_listen(session_t *session, exchange_t *ex);
/* The GET stream's client has gone. */
void session_unlisten(session_t *session, exchange_t *ex);

/* A message of the server that answers nothing: find the stream it belongs on. */
void session_route(session_t *session, const weir_message_t *message);

#endif
