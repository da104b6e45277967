/* tls_context.c: what the TLS of listeners and that of targets have in common: how a context is made, its certificate read, an SSL of
 * it put on a connection, and a failure of OpenSSL named.
 */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "tls_inside.h"

const char *tls_newest_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    ERR_clear_error();
    return reason != NULL ? reason : "unknown reason";
}

const char *tls_first_reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    bool is_none = (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) ||
                   (ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER && ERR_GET_REASON(code) == ERR_R_UNSUPPORTED);
    if (code != 0 && is_none)
        reason = "no PEM block of that kind in it";
    ERR_clear_error();
    return reason != NULL ? reason : "unknown reason";
}

/* Never ask a terminal for a password. */
static int no_password(char *buf, int size, int for_writing, void *arg)
{
    (void)buf, (void)size, (void)for_writing, (void)arg;
    return -1;
}

SSL_CTX *tls_context_new(const SSL_METHOD *method, int min_version)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, min_version);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* The write queue of a stream moves and grows between two tries; an idle stream gives its buffers back. */
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's header and body in one read(2) */
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    return ctx;
}

int tls_load_certificate(SSL_CTX *ctx, const struct tls_certificate *cert, weir_error_t *err)
{
    const char *key = cert->key != NULL ? cert->key : cert->certificate;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert->certificate) != 1)
        return weir_error(err, "cannot read the certificate %s: %s", cert->certificate, tls_first_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return WEIR_OK;
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
        (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH || ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH)) {
        ERR_clear_error();
        return weir_error(err, "the key %s does not match the certificate %s", key, cert->certificate);
    }
    return weir_error(err, "cannot read the key %s: %s", key, tls_first_reason());
}

SSL *tls_ssl_new(SSL_CTX *ctx, int fd)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(ctx);
    if (ssl != NULL && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}
