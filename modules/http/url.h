/* url.h: the URLs and authorities that HTTP's configuration and fields are made of. */
#ifndef WEIR_HTTP_URL_H
#define WEIR_HTTP_URL_H

#include <weir/error.h>
#include <weir/slice.h>

#include <stdint.h>

/* The parts of `http://host:port/path?query`; all slices point into the text. */
typedef struct url {
    bool is_tls;
    weir_slice_t host;      /* without brackets; "unix:/path" for a Unix socket: http://unix:/path:/target */
    weir_slice_t authority; /* as Host wants it: brackets and port as they stand; "localhost" for a Unix socket */
    weir_slice_t target;    /* path and query; "/" when the URL ends before it */
    uint16_t port;
} url_t;

int url_parse(const char *text, url_t *url, weir_error_t *err);

/* The host of an authority, brackets kept, port and its colon left out: "[::1]:80" gives "[::1]". */
weir_slice_t authority_host(weir_slice_t authority);

/* localhost, a name below it, 127.0.0.0/8 or [::1]; never a name that only looks like one of them. */
bool host_is_loopback(weir_slice_t host);

/* The authority of an Origin ("https://app.example:8443"), or an empty slice when it has none ("null"). */
weir_slice_t origin_authority(weir_slice_t origin);

#endif
