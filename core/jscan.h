/* jscan.h: a scanner of JSON text (RFC 8259). It checks and finds, and builds nothing: what it hands out are slices of the text.
 *
 * A cursor walks the text once. Every function returns false when the text is no JSON (the cursor then stands where it stopped).
 * No recursion, no allocation; nesting is bounded by JSCAN_DEPTH. The prefix json_ is jansson's, which is linked into the same program.
 */
#ifndef JSCAN_H
#define JSCAN_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/message.h>

#define JSCAN_DEPTH WEIR_SCAN_DEPTH

typedef struct jscan {
    const char *p, *end;
    unsigned depth;   /* objects that jscan_member() is inside of */
    bool has_newline; /* a raw LF or CR stood between tokens so far */
    bool is_too_deep; /* why the text was refused */
} jscan_t;

/* A string without its quotes; escapes are checked, not resolved. */
typedef struct jscan_text {
    weir_slice_t text;
    bool is_escaped;
} jscan_text_t;

jscan_t jscan_over(weir_slice_t text);

/* Skip white space. */
void jscan_space(jscan_t *j);
/* The first byte of the value at hand (after white space), 0 at the end: one of { [ " t f n - 0-9, or no JSON. */
static inline char jscan_peek(jscan_t *j)
{
    if (j->p == j->end || *j->p <= ' ')
        jscan_space(j);
    return j->p < j->end ? *j->p : 0;
}

/* Check a whole value of any kind and step over it; `raw` (may be NULL) becomes its text. */
bool jscan_value(jscan_t *j, weir_slice_t *raw);
bool jscan_string(jscan_t *j, jscan_text_t *out);
/* Nothing but white space is left. */
bool jscan_at_end(jscan_t *j);

/* Members of an object, one after another:
 *
 *     for (bool is_first = true; jscan_member(j, &is_first, &key, &is_over) && !is_over;)
 *         … read the value …
 *
 * The cursor stands before the object at first, and behind its key's colon when a member was found. */
bool jscan_member(jscan_t *j, bool *is_first, jscan_text_t *key, bool *is_over);

/* Step over bytes that mean themselves in a JSON string: ASCII, but no quote, backslash or control. Returns the first other one. */
const char *jscan_plain(const char *p, const char *end);

/* The length of what is no plain byte: an escape from its backslash on, a UTF-8 sequence; 0: it is neither. */
size_t jscan_character(const char *p, const char *end);

/* The values of some members of an object, as they stand; of a name that stands twice the last one, p == NULL for one that is not
 * there. False when the text is no object. */
bool jscan_get(weir_slice_t object, const weir_slice_t *names, weir_slice_t *values, size_t n);

/* Whether a string says `plain`, however it is written. */
bool jscan_is(jscan_text_t text, weir_slice_t plain);

/* Resolve escapes into a buffer of at least text.n bytes; returns the length. Surrogates without a partner become U+FFFD. */
size_t jscan_unescape(weir_slice_t text, char *out);
/* Append text with what JSON asks to be escaped; bytes that are no UTF-8 become U+FFFD. Returns the new length, or `size` + 1 when
 * it does not fit. */
size_t jscan_escape(char *out, size_t used, size_t size, weir_slice_t text);

#endif
