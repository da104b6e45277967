/* message_edit.c: messages that weir changes on their way, or makes itself; see message.h. What is kept of a message is never copied: an
 * edited one is slices of it, with others between them.
 */
#include "message.h"

#include <stdio.h>

#include "jscan.h"

/* The edit that is next in the text, or NULL. What begins inside of an edit that is done already is not looked at. */
static const weir_edit_t *edit_next(const weir_edit_t *edits, size_t nedits, unsigned done, const char *from)
{
    const weir_edit_t *first = NULL;
    for (size_t i = 0; i < nedits; i++)
        if (!(done >> i & 1) && edits[i].at.p != NULL && edits[i].at.p >= from &&
            (first == NULL || edits[i].at.p < first->at.p))
            first = &edits[i];
    return first;
}

size_t message_edit(const weir_message_t *message, const weir_edit_t *edits, size_t nedits, weir_slice_t *out,
                    size_t max)
{
    const char *from = message->bytes.p, *end = message->bytes.p + message->bytes.n;
    size_t n = 0;
    unsigned done = 0; /* one bit for each edit */
    const weir_edit_t *edit;
    while ((edit = edit_next(edits, nedits, done, from)) != NULL) {
        if (n + 2 > max)
            return 0;
        out[n++] = weir_slice(from, (size_t)(edit->at.p - from));
        out[n++] = edit->with;
        from = edit->at.p + edit->at.n;
        done |= 1u << (edit - edits);
    }
    if (n + 1 > max)
        return 0;
    out[n++] = weir_slice(from, (size_t)(end - from));
    return n;
}

static size_t put(char *p, size_t used, size_t size, weir_slice_t text)
{
    if (used > size || text.n > size - used)
        return size + 1;
    if (text.n > 0)
        memcpy(p + used, text.p, text.n);
    return used + text.n;
}

size_t message_error(char *p, size_t n, weir_slice_t raw_id, int code, weir_slice_t text, weir_slice_t reason)
{
    char number[16];
    int digits = snprintf(number, sizeof(number), "%d", code);
    size_t used = put(p, 0, n, WEIR_LIT("{\"jsonrpc\":\"2.0\""));
    if (raw_id.p != NULL) {
        used = put(p, used, n, WEIR_LIT(",\"id\":"));
        used = put(p, used, n, raw_id);
    }
    used = put(p, used, n, WEIR_LIT(",\"error\":{\"code\":"));
    used = put(p, used, n, weir_slice(number, digits < 0 ? 0 : (size_t)digits));
    used = put(p, used, n, WEIR_LIT(",\"message\":\""));
    used = jscan_escape(p, used, n, text);
    used = put(p, used, n, WEIR_LIT("\""));
    if (reason.n > 0) {
        used = put(p, used, n, WEIR_LIT(",\"data\":{\"reason\":\""));
        used = jscan_escape(p, used, n, reason);
        used = put(p, used, n, WEIR_LIT("\"}"));
    }
    used = put(p, used, n, WEIR_LIT("}}"));
    return used > n ? 0 : used;
}

void message_unfold(weir_message_t *message)
{
    char *p = (char *)message->bytes.p;
    if (!message->envelope.has_newline)
        return;
    for (size_t i = 0; i < message->bytes.n; i++)
        if (p[i] == '\n' || p[i] == '\r')
            p[i] = ' ';
}
