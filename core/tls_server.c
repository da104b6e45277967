/* tls_server.c: the TLS of listeners. A tls_server belongs to its listener: one SSL_CTX per certificate.
 *
 * Resumption is by tickets alone: their keys come from a secret that all workers of all generations have, so any worker
 * resumes any session, and nothing is stored.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_inside.h"

struct tls_server {
    const char *listener; /* when its clients are verified */
    size_t count;
    SSL_CTX *contexts[];
};

/* Does the certificate of this context have the name? X509_check_host() knows wildcards. */
static bool has_name(SSL_CTX *ctx, const char *name)
{
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    return cert != NULL && X509_check_host(cert, name, 0, 0, NULL) == 1;
}

static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct tls_server *server = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    for (size_t i = 0; name != NULL && i < server->count; i++) {
        if (has_name(server->contexts[i], name)) {
            if (i > 0)
                SSL_set_SSL_CTX(ssl, server->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* A client that offers protocols and not this one goes on without: weir may be the last to know what it speaks. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    (void)ssl, (void)arg;
    static const unsigned char http[] = "\x08http/1.1";
    int chosen = SSL_select_next_proto((unsigned char **)out, out_len, http, sizeof(http) - 1, in, in_len);
    return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int set_resumption(SSL_CTX *ctx, const unsigned char *ticket_secret)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (ticket_secret == NULL) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ctx, 0);
    }
    unsigned char keys[TLS_TICKET_SECRET];
    memcpy(keys, ticket_secret, sizeof(keys));
    static const unsigned char id[] = "weir";
    SSL_CTX_set_timeout(ctx, 3600);
    return SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) == 1;
}

static SSL_CTX *new_server_context(struct tls_server *server, const struct tls_certificate *cert, int min_version,
                                   const unsigned char *ticket_secret, weir_error_t *err)
{
    SSL_CTX *ctx = tls_context_new(TLS_server_method(), min_version);
    if (ctx == NULL || !set_resumption(ctx, ticket_secret)) {
        weir_error(err, "cannot set up TLS: %s", tls_newest_reason());
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (tls_load_certificate(ctx, cert, err) != WEIR_OK) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(ctx, server);
    SSL_CTX_set_app_data(ctx, server);
    return ctx;
}

struct tls_server *tls_server_new(const struct tls_certificate *certificates, size_t n, int min_version,
                                  const unsigned char *ticket_secret, weir_error_t *err)
{
    struct tls_server *server = n == 0 ? NULL : calloc(1, sizeof(*server) + n * sizeof(SSL_CTX *));
    if (server == NULL) {
        weir_error(err, n == 0 ? "TLS needs a certificate" : "out of memory");
        return NULL;
    }
    for (; server->count < n; server->count++) {
        SSL_CTX *ctx = new_server_context(server, &certificates[server->count], min_version, ticket_secret, err);
        if (ctx == NULL) {
            tls_server_free(server);
            return NULL;
        }
        server->contexts[server->count] = ctx;
    }
    return server;
}

void tls_server_free(struct tls_server *server)
{
    for (size_t i = 0; server != NULL && i < server->count; i++)
        SSL_CTX_free(server->contexts[i]);
    free(server);
}

/* A session that was begun where clients are not verified, or by other authorities, must not be resumed here. */
static int bind_sessions(struct tls_server *server, const char *client_ca)
{
    unsigned char bytes[4096], digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    FILE *file = fopen(client_ca, "r");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool is_good = file != NULL && md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (size_t got; is_good && (got = fread(bytes, 1, sizeof(bytes), file)) > 0;)
        is_good = EVP_DigestUpdate(md, bytes, got) == 1;
    is_good = is_good && ferror(file) == 0 && EVP_DigestFinal_ex(md, digest, &n) == 1;
    for (size_t i = 0; is_good && i < server->count; i++)
        is_good = SSL_CTX_set_session_id_context(server->contexts[i], digest, n) == 1;
    EVP_MD_CTX_free(md);
    if (file != NULL)
        fclose(file);
    return is_good ? WEIR_OK : WEIR_EFAIL;
}

int tls_server_verify(struct tls_server *server, const char *listener, const char *client_ca, weir_error_t *err)
{
    ERR_clear_error();
    for (size_t i = 0; i < server->count; i++) {
        SSL_CTX *ctx = server->contexts[i];
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
        if (names == NULL || SSL_CTX_load_verify_file(ctx, client_ca) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return weir_error(err, "cannot read the authorities of clients in %s: %s", client_ca, tls_first_reason());
        }
        SSL_CTX_set_client_CA_list(ctx, names);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    server->listener = listener;
    if (bind_sessions(server, client_ca) != WEIR_OK)
        return weir_error(err, "cannot use the authorities of clients in %s: %s", client_ca, tls_newest_reason());
    return WEIR_OK;
}

bool tls_is_verified(const SSL *ssl)
{
    return SSL_is_server(ssl) && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
}

const char *tls_listener_of(const SSL *ssl)
{
    const struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return server->listener;
}

SSL *tls_accept(struct tls_server *server, int fd)
{
    SSL *ssl = tls_ssl_new(server->contexts[0], fd);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}
