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

struct target;

/* host                a number, a name, or "unix:/path"
 * ca                  a file of certificates to trust instead of the system's; NULL: the system's
 * pin                 base64 of the SHA-256 of the server's public key (SubjectPublicKeyInfo), with or without "sha256/"
 *                     before it; NULL: none. With verify off the pin alone decides.
 * verify              the chain and the name must fit
 * connect_timeout_ms  for resolving, and again for connecting and the TLS handshake together
 *
 * Nothing is resolved or connected yet; files are read. NULL with `err` on failure. */
struct target *target_new(const char *host, uint16_t port, bool is_tls, const char *ca, const char *pin, bool verify,
                          uint64_t connect_timeout_ms, weir_error_t *err);
void target_free(struct target *target); /* NULL is fine */
const char *target_name(const struct target *target); /* "host:port", "unix:/path" */

#endif
