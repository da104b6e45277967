/* http1.h: the HTTP/1.1 codec (RFC 9112): heads and chunked bodies. Types and results are in include/weir/http.h. Strict where two
 * readers could see two different messages: what is ambiguous is refused.
 */
#ifndef HTTP1_H
#define HTTP1_H

#include <weir/error.h>
#include <weir/http.h>

/* Parse a head that begins at `p`. `seen`: how many of the n bytes an earlier call has looked at (0 at first), so that a head that
 * comes byte by byte costs no more than one that comes at once. */
weir_parse_t http1_parse_request(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);
weir_parse_t http1_parse_reply(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);

/* Take the next piece of a chunked body. WEIR_OK: `used` bytes were read and `data` (maybe empty) is the piece among them; call
 * again for the rest until is_done. WEIR_EAGAIN: all was read, more has to come. WEIR_EFAIL: broken framing. */
int http1_chunked_decode(weir_chunked_t *c, const char *p, size_t n, size_t *used, weir_slice_t *data);

/* "Not Found"; "Unknown" for what has no phrase. */
const char *http1_reason(uint16_t status);

#endif
