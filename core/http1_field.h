/* http1_field.h: the fields that the codec itself has to understand; shared by http1.c and http1_field.c alone. */
#ifndef HTTP1_FIELD_H
#define HTTP1_FIELD_H

#include <weir/http.h>

weir_field_id_t http1_field_id(weir_slice_t name);

/* Note what a known field that was just read says of the message's framing. WEIR_PARSE_DONE, or WEIR_PARSE_BAD. */
weir_parse_t http1_field_means(weir_head_t *head, const weir_field_t *field);

/* Whether a Connection field names an option. */
bool http1_connection_has(const weir_head_t *head, weir_slice_t option);

#endif
