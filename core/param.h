/* param.h: parameters of tools that an HTTP client repeats in Mcp-Param-* fields, and that weir checks for servers that never see a
 * head: it is their HTTP server (2026-07-28, Streamable HTTP, "Server Validation"). Which parameters these are stands in the
 * server's list of tools.
 *
 * A worker collects the fields of a call (params_fields), a keeper knows the tools and checks (params_allow). Owned by its upstream
 * from the first such call on.
 *
 *   state    event                                  next     what happens
 *   UNKNOWN  a call of a tool                       ASKED    tools/list is sent to the server; the call waits
 *   ASKED    another call                           ASKED    it waits as well
 *   ASKED    a page that names another              ASKED    that one is asked for
 *   ASKED    the last page                          KNOWN    those that wait are checked
 *   ASKED    an error, no answer in time            KNOWN    what is known by now is checked, the rest passes; logged
 *   ASKED    link down                              UNKNOWN  those that wait ask anew; at the third time as for an error
 *   KNOWN    a call                                 KNOWN    checked
 *   KNOWN    a page that a client has asked for     KNOWN    learned
 *   KNOWN    notifications/tools/list_changed       UNKNOWN  all is forgotten
 *   ASKED    notifications/tools/list_changed       ASKED    the same, and the answer serves only those that wait for it
 */
#ifndef PARAM_H
#define PARAM_H

#include "exchange.h"

/* The Mcp-Param-* fields of a head, as param_check() wants them; in the exchange's arena. */
weir_slice_t params_fields(exchange_t *ex);

/* Whether this request has fields to be checked: a modern call of a tool whose client speaks HTTP. */
bool params_concern(const exchange_t *ex);

/* Send a modern request whose fields agree with its message: now, or when the tools are known. Any other fails. */
void params_send(exchange_t *ex);

/* A page of the list of tools has come, or an error in its place; `is_own`: weir itself had asked. */
void params_answered(upstream_t *up, link_t *link, const weir_envelope_t *answer, bool is_own);

/* The link on which weir had asked died before the answer. */
void params_lost(upstream_t *up);

/* The list has changed. */
void params_forget(upstream_t *up);

void params_free(upstream_t *up);

#endif
