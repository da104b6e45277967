/* principal.h: who a client is, as the certificate that it has shown says.
 *
 *   the certificate has                          principal
 *   a URI among its alternative names            uri:spiffe://example.org/agent        the first one, as it stands (SPIFFE has one)
 *   none, but a DNS name                         dns:agent.example.org                 the first one, in small letters
 *   none of either, but a subject                subject:CN=agent,O=Example            as RFC 2253 text
 *   nothing of these                             certificate-sha256:<64 digits>        its own digest
 *
 * The kind stands before the name, so that a certificate of one kind never names what another one does. A name that would make
 * the principal longer than WEIR_PRINCIPAL_MAX, or that has anything but printable ASCII in it, stands as its digest, of a kind
 * of its own: `uri-sha256:<64 digits>`. Who issued it is no part of the name: those in `client_ca` are believed alike.
 */
#ifndef PRINCIPAL_H
#define PRINCIPAL_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <weir/exchange.h>

/* Returns the length of the text, which ends with a NUL; 0 when there is no memory. */
size_t principal_of(X509 *certificate, char text[WEIR_PRINCIPAL_MAX + 1]);

/* What stands for a principal in a session's token: the first 64 bits of its SHA-256, never 0; and 0 for nobody in particular.
 * False when OpenSSL cannot. */
bool principal_digest(weir_slice_t principal, uint64_t *digest);

#endif
