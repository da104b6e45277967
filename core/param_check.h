/* param_check.h: whether the Mcp-Param-* fields of a call say what its arguments say (2026-07-28, Streamable HTTP, "Server Behavior for
 * Custom Headers").
 */
#ifndef PARAM_CHECK_H
#define PARAM_CHECK_H

#include <weir/error.h>
#include <weir/exchange.h>

#include "param_table.h"

/* Check the fields of a call of `tool`: lines of "name:value\n", the prefix left off. `arguments` as they stand in the message, empty:
 * none. WEIR_EFAIL with a sentence that names the field. */
int param_check(weir_exchange_t *ex, const param_tool_t *tool, weir_slice_t arguments, weir_slice_t fields,
                weir_error_t *err);

#endif
