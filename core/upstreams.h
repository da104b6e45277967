/* upstreams.h: finding an upstream of this process, or a server of one, by what others call it. */
#ifndef UPSTREAMS_H
#define UPSTREAMS_H

#include "upstream.h"

/* FNV-1a, for names in tokens. */
uint64_t name_hash64(const char *name);

/* By the digest of its definition; NULL: none. */
upstream_t *upstream_by_digest(uint64_t digest);

/* The upstream that stands in for it; NULL: none. */
upstream_t *upstream_fallback(const upstream_t *up);

server_t *upstream_server_by_hash(upstream_t *up, uint32_t name_hash);

#endif
