/* url.h: the URLs and authorities that HTTP's configuration and fields are made of. */
#ifndef URL_H
#define URL_H

#include <weir/error.h>
#include <weir/http.h>

/* http, https, ws and wss: the latter are the former by another name (RFC 6455, 3). */
int url_parse(const char *text, weir_url_t *url, weir_error_t *err);

/* Take apart a request's target that is a whole URL; false when it is none. A URL that ends with its authority has the path "/". */
bool target_split(weir_slice_t target, weir_slice_t *authority, weir_slice_t *path);

/* What a reference (RFC 3986 5.2) means, seen from a URL: the target of a request to the same origin, written to `room`. WEIR_EFAIL when
 * it leads elsewhere, cannot be sent, or does not fit. */
int url_resolve(const weir_url_t *base, weir_slice_t reference, char *room, size_t size, weir_slice_t *target,
                weir_error_t *err);

/* The host of an authority, brackets kept, port and its colon left out: "[::1]:80" gives "[::1]". */
weir_slice_t authority_host(weir_slice_t authority);

/* localhost, a name below it, 127.0.0.0/8 or [::1]; never a name that only looks like one of them. */
bool host_is_loopback(weir_slice_t host);

/* The authority of an Origin ("https://app.example:8443"), or an empty slice when it has none ("null"). */
weir_slice_t origin_authority(weir_slice_t origin);

#endif
