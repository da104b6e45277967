/* ask.h: questions that weir itself has for a server of the modern era. They carry the metadata that every request must, and no
 * client's: what a client may do is not weir's to say.
 */
#ifndef ASK_H
#define ASK_H

#include "call.h"

/* Send a question. `cursor` is a page's, as JSON text, or empty. The call has no exchange; call_answered() hands what it teaches to
 * whom it concerns. NULL when the link cannot take it. */
call_t *ask(link_t *link, weir_slice_t method, weir_slice_t cursor);

/* The one question that servers of the legacy era have. */
call_t *ask_ping(link_t *link);

#endif
