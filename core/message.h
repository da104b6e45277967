/* message.h: scanning, cutting and making JSON-RPC messages; the types are in include/weir/message.h. */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <weir/message.h>

/* Check the bytes and fill the envelope; see weir_envelope_t. On anything but WEIR_SCAN_OK the envelope is empty, except for the id
 * of a message that is JSON and has one. */
weir_scan_t message_scan(weir_slice_t bytes, weir_envelope_t *envelope);

/* An error that only servers of the modern era give. */
bool message_is_modern_error(const weir_envelope_t *envelope);

/* Newlines are legal white space between tokens, and the end of the message on a newline-delimited stream: make them spaces. The bytes
 * must be in memory of this process's own. */
void message_unfold(weir_message_t *message);

/* Cut a message around its edits, for writev: at most 2 × nedits + 1 slices, in order. Edits whose `at` is absent do nothing.
 * Returns how many; 0 when `max` is too small. */
size_t message_edit(const weir_message_t *message, const weir_edit_t *edits, size_t nedits, weir_slice_t *out,
                    size_t max);

/* Write an error reply. An absent id leaves the member out, an empty reason leaves `data` out. Returns the length, 0 when it does not
 * fit. */
size_t message_error(char *p, size_t n, weir_slice_t raw_id, int code, weir_slice_t text, weir_slice_t reason);

#endif
