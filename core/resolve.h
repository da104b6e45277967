/* resolve.h: names to addresses, without blocking the loop. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>
#include <weir/error.h>

#define RESOLVE_MAX 8 /* addresses of one name that are kept */

typedef struct resolved {
    uint32_t count;
    uint32_t ttl_s; /* bounded */
    struct {
        struct sockaddr_storage sa;
        socklen_t len;
    } items[RESOLVE_MAX];
} resolved_t;

struct resolver;
struct resolve_query;

/* The resolver of a process, in proc->resolver; made by the first query, freed at the end. */
void resolver_free(struct resolver *resolver);

/* Ask these nameservers, "10.0.0.1:53,10.0.0.2:53", and not those of /etc/resolv.conf. */
int resolver_use(const char *servers, weir_error_t *err);

/* Ask. `done` comes from the loop, never before this returns, with the addresses, or NULL and the reason (names the host and
 * the remedy). NULL with `err` when it cannot even be asked. */
struct resolve_query *resolve(const char *host, uint16_t port,
                              void (*done)(void *arg, const resolved_t *found, const char *why), void *arg,
                              weir_error_t *err);
void resolve_cancel(struct resolve_query *query); /* `done` will not come */

#endif
