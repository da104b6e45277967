/* json.h: a scanner of JSON text (RFC 8259). It checks and finds, and builds nothing: what it hands out are slices of the text.
 *
 * A cursor walks the text once. Every function returns false when the text is no JSON (the cursor then stands where it stopped).
 * No recursion, no allocation; nesting is bounded by JSON_DEPTH.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/message.h>

#define JSON_DEPTH WEIR_SCAN_DEPTH

typedef struct json {
    const char *p, *end;
    bool has_newline; /* a raw LF or CR stood between tokens so far */
    bool is_too_deep; /* why the text was refused */
} json_t;

/* A string without its quotes; escapes are checked, not resolved. */
typedef struct json_text {
    weir_slice_t text;
    bool is_escaped;
} json_text_t;

json_t json_over(weir_slice_t text);

/* Skip white space. */
void json_space(json_t *j);
/* The first byte of the value at hand (after white space), 0 at the end: one of { [ " t f n - 0-9, or no JSON. */
char json_peek(json_t *j);

/* Check a whole value of any kind and step over it; `raw` (may be NULL) becomes its text. */
bool json_value(json_t *j, weir_slice_t *raw);
bool json_string(json_t *j, json_text_t *out);
/* Nothing but white space is left. */
bool json_at_end(json_t *j);

/* Members of an object, one after another:
 *
 *     for (bool is_first = true; json_member(j, &is_first, &key, &is_over) && !is_over;)
 *         … read the value …
 *
 * The cursor stands before the object at first, and behind its key's colon when a member was found. */
bool json_member(json_t *j, bool *is_first, json_text_t *key, bool *is_over);

/* Resolve escapes into a buffer of at least text.n bytes; returns the length. Surrogates without a partner become U+FFFD. */
size_t json_unescape(weir_slice_t text, char *out);
/* Append text with what JSON asks to be escaped; bytes that are no UTF-8 become U+FFFD. Returns the new length, or `size` + 1 when
 * it does not fit. */
size_t json_escape(char *out, size_t used, size_t size, weir_slice_t text);

#endif
