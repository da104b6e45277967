/* upstreams.c: see upstreams.h. */
#include "upstreams.h"

#include "proc.h"

uint64_t name_hash64(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

upstream_t *upstream_by_digest(uint64_t digest)
{
    WEIR_LIST_EACH(&proc->upstreams, it) {
        upstream_t *up = WEIR_CONTAINER(it, upstream_t, node);
        if (up->digest == digest)
            return up;
    }
    return NULL;
}

upstream_t *upstream_fallback(const upstream_t *up)
{
    if (up->fallback == NULL)
        return NULL;
    WEIR_LIST_EACH(&proc->upstreams, it) {
        upstream_t *other = WEIR_CONTAINER(it, upstream_t, node);
        if (strcmp(other->pub.name, up->fallback) == 0)
            return other;
    }
    return NULL;
}

server_t *upstream_server_by_hash(upstream_t *up, uint32_t name_hash)
{
    for (uint32_t i = 0; i < up->pub.nservers; i++)
        if (up->servers[i].name_hash == name_hash)
            return &up->servers[i];
    return NULL;
}
