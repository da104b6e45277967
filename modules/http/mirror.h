/* mirror.h: the fields in which a modern client repeats parts of its message, so that others may route by them unread. Whoever
 * acts on them has to check that they say the same as the message (2026-07-28, Streamable HTTP, "Server Validation").
 */
#ifndef WEIR_HTTP_MIRROR_H
#define WEIR_HTTP_MIRROR_H

#include "head.h"

/* Whether a revision is 2026-07-28 or later. Revisions are dates: they compare as text. */
bool mirror_is_modern(weir_slice_t version);

/* Check ex->head against ex->message. WEIR_OK, or WEIR_EFAIL with a sentence that names the field. */
int mirror_check(const weir_host_t *host, weir_exchange_t *ex, weir_error_t *err);

/* Write Mcp-Name for a message whose client had no head. */
void mirror_out_name(const weir_host_t *host, weir_exchange_t *ex, head_out_t *out);

#endif
