/* tls.h: TLS by OpenSSL: contexts of listeners and of targets. A stream asks for an SSL of one of them and drives it.
 *
 * Contexts read files (certificates, keys, authorities) when they are made: make them before privileges are dropped.
 */
#ifndef TLS_H
#define TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/error.h>

#define TLS_TICKET_SECRET 80 /* bytes */

struct tls; /* what the targets of a process share: a context per set of authorities; in proc->tls, made on first use */
struct tls_server;
struct tls_client;

void tls_free(struct tls *tls);

struct tls_certificate {
    const char *certificate; /* PEM file: the certificate, then the chain */
    const char *key;         /* PEM file; NULL: in `certificate` too */
};

/* The TLS of a listener. Certificates are chosen by the name that the client asks for (their subject alternative names); the
 * first is given to everybody else. `min_version` is TLS1_2_VERSION or TLS1_3_VERSION. `ticket_secret` makes sessions resume
 * in every process that has the same one; NULL: sessions never resume. Errors name the file and the reason. */
struct tls_server *tls_server_new(const struct tls_certificate *certificates, size_t n, int min_version,
                                  const unsigned char *ticket_secret, weir_error_t *err);
void tls_server_free(struct tls_server *server);
/* Clients must show a certificate that one of those in the PEM file `client_ca` has signed. `listener` is for the story. */
int tls_server_verify(struct tls_server *server, const char *listener, const char *client_ca, weir_error_t *err);
/* Whether the peer of `ssl` is a client that has to show one. */
bool tls_is_verified(const SSL *ssl);

/* The TLS of a target; see target.h for ca, pin and verify. `host` is what is asked for (SNI) and verified. */
struct tls_client *tls_client_new(const char *host, const char *ca, const char *pin, bool verify, weir_error_t *err);
void tls_client_free(struct tls_client *client);
/* What is shown to a server that asks for it. */
int tls_client_show(struct tls_client *client, const struct tls_certificate *certificate, weir_error_t *err);

/* An SSL on a connected fd, for streams, to be ended by tls_end(). NULL when there is no memory. */
SSL *tls_accept(struct tls_server *server, int fd);
SSL *tls_connect(struct tls_client *client, int fd);
void tls_end(SSL *ssl); /* NULL is fine; says nothing to the peer */

/* After the handshake of tls_connect(): does the key fit the pin? */
int tls_check_pin(SSL *ssl, weir_error_t *err);

/* Whether the last operation failed by an alert of the server. */
bool tls_is_refused(const SSL *ssl);

/* Why the last operation on `ssl` failed, for people, from OpenSSL's error queue (which is emptied). */
void tls_reason(SSL *ssl, int ssl_error, char *text, size_t n);

#endif
