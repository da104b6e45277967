/* tls.c: how an SSL ends, whichever side it was made by, and what people are told when one has failed. */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls_inside.h"

void tls_end(SSL *ssl)
{
    if (ssl == NULL)
        return;
    struct tls_client *client = SSL_get_app_data(ssl);
    /* Without this OpenSSL takes the session for broken and never resumes it. */
    if (SSL_is_init_finished(ssl))
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_set_app_data(ssl, NULL);
    SSL_free(ssl);
    tls_client_free(client);
}

/* What the operator can turn, for the failures that have a common cause. */
static const char *remedy(unsigned long code, bool is_client)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return "";
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
        return " (does the other end speak TLS there?)";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return " (the two ends have no TLS version in common)";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return is_client ? " (the server may ask for a certificate that it knows: see `certificate` and `key`)" : "";
    default:
        return "";
    }
}

bool tls_is_refused(const SSL *ssl)
{
    unsigned long code = ERR_peek_last_error();
    return !SSL_is_server(ssl) && ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
}

/* Why a client is refused, when it is for what it has shown. */
static bool client_reason(SSL *ssl, long verified, unsigned long code, char *text, size_t n)
{
    const char *listener = tls_listener_of(ssl);
    bool is_missing =
        ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    if (is_missing)
        snprintf(text, n, "TLS: the client has shown no certificate (see `client_ca` of listener %s)", listener);
    else if (verified != X509_V_OK)
        snprintf(text, n, "TLS: the client's certificate is not trusted: %s (see `client_ca` of listener %s)",
                 X509_verify_cert_error_string(verified), listener);
    return is_missing || verified != X509_V_OK;
}

void tls_reason(SSL *ssl, int ssl_error, char *text, size_t n)
{
    long verified = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_last_error();
    int system_error = errno;
    if (tls_is_verified(ssl) && client_reason(ssl, verified, code, text, n))
        ;
    else if (tls_verifies(ssl) && verified != X509_V_OK)
        snprintf(text, n, "TLS: the certificate is not trusted: %s (see `ca`, `pin` and `verify`)",
                 X509_verify_cert_error_string(verified));
    else if (code != 0)
        snprintf(text, n, "TLS: %s%s", ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "failed",
                 remedy(code, !SSL_is_server(ssl)));
    else if (ssl_error == SSL_ERROR_SYSCALL && system_error != 0)
        snprintf(text, n, "TLS: %s", strerror(system_error));
    else
        snprintf(text, n, "TLS: the other end closed the connection");
    ERR_clear_error();
}
