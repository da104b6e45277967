/* target.h: where connections to one server go: its addresses (by number, by name, or a Unix socket) and TLS over them.
 *
 * A target is made once per server, at start and before privileges are dropped, and freed at the end. It keeps what is worth
 * keeping between connections: the addresses of its name with their age, the address that answered last, and the TLS session.
 * Streams that are connecting keep it alive.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <weir/error.h>
#include <weir/list.h>
#include <weir/reach.h>

#include "resolve.h"

struct target;
struct tls_client;

/* `host` is a number, a name, or "unix:/path". Nothing is resolved or connected yet; files are read. NULL with `err` on failure. */
struct target *target_new(const char *host, uint16_t port, bool is_tls, const weir_reach_t *reach, weir_error_t *err);
void target_free(struct target *target);              /* NULL is fine */
const char *target_name(const struct target *target); /* "host:port", "unix:/path" */

/* What follows is for dial.c. A dial takes a reference for as long as it lasts. */
struct target *target_ref(struct target *target);
void target_unref(struct target *target);
struct tls_client *target_tls(const struct target *target); /* NULL: plain */
uint64_t target_connect_timeout(const struct target *target);

/* Somebody who waits for the addresses. `ready` comes from the loop; `why` is NULL when they are there. */
struct target_wait {
    weir_list_t node;
    void (*ready)(void *arg, const char *why);
    void *arg;
};

/* WEIR_OK: there are addresses now (when they have grown old, new ones are asked for behind the scenes). WEIR_EAGAIN: `ready`
 * follows. WEIR_EFAIL: with `err`. target_give_up: it need not follow any more. */
int target_want(struct target *target, struct target_wait *wait, weir_error_t *err);
void target_give_up(struct target_wait *wait);

/* The addresses; count may be 0 only before target_want() has said yes. The nth to try: first the one that answered last. */
uint32_t target_count(const struct target *target);
const struct sockaddr *target_address(const struct target *target, uint32_t nth, socklen_t *len);
void target_answered(struct target *target, const struct sockaddr *sa, socklen_t len);

#endif
