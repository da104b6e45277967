/* tls_inside.h: what the files of tls ask of each other: tls_context.c lies below tls_server.c and tls_client.c, tls.c above them. Nobody
 * else includes it.
 */
#ifndef TLS_INSIDE_H
#define TLS_INSIDE_H

#include "tls.h"

/* tls_context.c */

/* The newest reason in OpenSSL's queue, and the first one, for files: what follows it only says that reading PEM failed. Both leave
 * the queue empty: what is left there would be taken for the next failure. */
const char *tls_newest_reason(void);
const char *tls_first_reason(void);

SSL_CTX *tls_context_new(const SSL_METHOD *method, int min_version);
int tls_load_certificate(SSL_CTX *ctx, const struct tls_certificate *cert, weir_error_t *err);
SSL *tls_ssl_new(SSL_CTX *ctx, int fd); /* NULL when there is no memory */

/* tls_server.c */

/* The listener that a connection came to, where its clients are verified. */
const char *tls_listener_of(const SSL *ssl);

/* tls_client.c */

/* Whether it is a connection to a target that has to be who it says. */
bool tls_verifies(const SSL *ssl);

#endif
