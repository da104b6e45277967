/* mirrored.h: how a value of a message stands in the field that mirrors it (Mcp-Name, Mcp-Param-*): as it is, or, where it holds
 * what no field can, as Base64 between =?base64? and ?= (2026-07-28, Streamable HTTP, "Value Encoding").
 */
#ifndef MIRRORED_H
#define MIRRORED_H

#include <weir/exchange.h>

/* What a field's value says becomes `value`. WEIR_EFAIL when it says nothing: characters that no field may hold, or Base64 that is
 * none. What has to be made lives in the exchange's arena. */
int mirrored_decode(weir_exchange_t *ex, weir_slice_t *value);

/* The other way: `text` becomes the field's value. WEIR_EFAIL when there is no memory. */
int mirrored_encode(weir_exchange_t *ex, weir_slice_t *text);

#endif
