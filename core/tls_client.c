/* tls_client.c: the TLS of targets. A tls_client belongs to its target and remembers the last session; it is counted, because streams
 * that are open outlive the target. Clients with the same authorities share one SSL_CTX (reading the system's authorities costs
 * milliseconds and megabytes), kept in proc->tls.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "tls_inside.h"

#define CLIENT_MAGIC 0x544c5343u
#define PIN_SIZE 32u /* SHA-256 */

/* A context of targets, by what it trusts. */
struct shared_context {
    struct shared_context *next;
    SSL_CTX *ctx;
    char *ca; /* NULL: the system's */
    bool verify;
};

struct tls {
    struct shared_context *contexts;
};

struct tls_client {
    uint32_t magic;
    uint32_t refs;
    SSL_CTX *ctx;
    char *host;
    bool is_number; /* an address: no SNI, and the certificate has to have it as an address */
    bool is_named;  /* neither: a Unix socket has no name that a certificate could have */
    bool verify;
    bool has_pin;
    unsigned char pin[PIN_SIZE];
    SSL_SESSION *session; /* the last one, NULL: none */
    SSL_CTX *shown;       /* holds the certificate that is shown, its chain and its key; NULL: none */
};

/* ---- what targets share ---- */

/* A target gets a session (TLS 1.3: some time after the handshake). The last one is the one to use. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *client = SSL_get_app_data(ssl);
    if (client == NULL)
        return 0;
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static int trust(SSL_CTX *ctx, const char *ca, weir_error_t *err)
{
    ERR_clear_error();
    if (ca == NULL && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return weir_error(err, "cannot use the system's authorities: %s", tls_newest_reason());
    if (ca != NULL && SSL_CTX_load_verify_file(ctx, ca) != 1)
        return weir_error(err, "cannot read the authorities in %s: %s", ca, tls_first_reason());
    return WEIR_OK;
}

static struct shared_context *new_shared(const char *ca, bool verify, weir_error_t *err)
{
    struct shared_context *shared = calloc(1, sizeof(*shared));
    if (shared == NULL || (ca != NULL && (shared->ca = strdup(ca)) == NULL) ||
        (shared->ctx = tls_context_new(TLS_client_method(), TLS1_2_VERSION)) == NULL) {
        weir_error(err, "cannot set up TLS: out of memory");
    } else if (!verify || trust(shared->ctx, ca, err) == WEIR_OK) {
        SSL_CTX_set_verify(shared->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_session_cache_mode(shared->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(shared->ctx, on_new_session);
        shared->verify = verify;
        return shared;
    }
    if (shared != NULL) {
        SSL_CTX_free(shared->ctx);
        free(shared->ca);
        free(shared);
    }
    return NULL;
}

static bool is_same_ca(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The context that trusts these authorities; made when it is the first. */
static SSL_CTX *get_shared(const char *ca, bool verify, weir_error_t *err)
{
    if (proc->tls == NULL && (proc->tls = calloc(1, sizeof(*proc->tls))) == NULL) {
        weir_error(err, "out of memory");
        return NULL;
    }
    for (struct shared_context *c = proc->tls->contexts; c != NULL; c = c->next)
        if (c->verify == verify && is_same_ca(c->ca, ca))
            return c->ctx;
    struct shared_context *shared = new_shared(ca, verify, err);
    if (shared == NULL)
        return NULL;
    shared->next = proc->tls->contexts;
    proc->tls->contexts = shared;
    return shared->ctx;
}

void tls_free(struct tls *tls)
{
    while (tls != NULL && tls->contexts != NULL) {
        struct shared_context *c = tls->contexts;
        tls->contexts = c->next;
        SSL_CTX_free(c->ctx);
        free(c->ca);
        free(c);
    }
    free(tls);
}

/* ---- of one target ---- */

/* base64 of 32 bytes: 44 characters, one of them padding. */
static int parse_pin(struct tls_client *client, const char *pin, weir_error_t *err)
{
    const char *base64 = strncmp(pin, "sha256/", 7) == 0 ? pin + 7 : pin;
    unsigned char bytes[PIN_SIZE + 1];
    if (strlen(base64) != 44 || base64[43] != '=' || base64[42] == '=' ||
        EVP_DecodeBlock(bytes, (const unsigned char *)base64, 44) != sizeof(bytes)) {
        ERR_clear_error();
        return weir_error(err, "pin \"%s\": expected base64 of the SHA-256 of the server's public key (44 characters)",
                          pin);
    }
    memcpy(client->pin, bytes, PIN_SIZE);
    client->has_pin = true;
    return WEIR_OK;
}

static void set_host(struct tls_client *client)
{
    unsigned char number[16];
    client->is_number = inet_pton(AF_INET, client->host, number) == 1 || inet_pton(AF_INET6, client->host, number) == 1;
    client->is_named = !client->is_number && strncmp(client->host, "unix:", 5) != 0;
}

struct tls_client *tls_client_new(const char *host, const char *ca, const char *pin, bool verify, weir_error_t *err)
{
    struct tls_client *client = calloc(1, sizeof(*client));
    if (client == NULL || (client->host = strdup(host)) == NULL) {
        free(client);
        weir_error(err, "out of memory");
        return NULL;
    }
    client->magic = CLIENT_MAGIC;
    client->refs = 1;
    client->verify = verify;
    set_host(client);
    if ((pin != NULL && parse_pin(client, pin, err) != WEIR_OK) ||
        (client->ctx = get_shared(ca, verify, err)) == NULL) {
        tls_client_free(client);
        return NULL;
    }
    SSL_CTX_up_ref(client->ctx);
    return client;
}

int tls_client_show(struct tls_client *client, const struct tls_certificate *certificate, weir_error_t *err)
{
    client->shown = tls_context_new(TLS_client_method(), TLS1_2_VERSION);
    if (client->shown == NULL)
        return weir_error(err, "cannot set up TLS: %s", tls_newest_reason());
    return tls_load_certificate(client->shown, certificate, err);
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    assert(client->magic == CLIENT_MAGIC);
    if (--client->refs > 0)
        return;
    client->magic = 0;
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->shown);
    SSL_CTX_free(client->ctx);
    free(client->host);
    free(client);
}

/* ---- its connections ---- */

/* The context itself is shared with targets that show something else, or nothing. */
static bool show_certificate(SSL *ssl, const struct tls_client *client)
{
    STACK_OF(X509) *chain = NULL;
    if (client->shown == NULL)
        return true;
    return SSL_CTX_get0_chain_certs(client->shown, &chain) == 1 &&
           SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(client->shown), SSL_CTX_get0_privatekey(client->shown),
                                chain, 1) == 1;
}

/* Who is asked for, and who has to answer. */
static bool set_peer(SSL *ssl, const struct tls_client *client)
{
    if (client->is_named && SSL_set_tlsext_host_name(ssl, client->host) != 1)
        return false;
    if (!client->verify)
        return true;
    if (client->is_number)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), client->host) == 1;
    return !client->is_named || SSL_set1_host(ssl, client->host) == 1;
}

SSL *tls_connect(struct tls_client *client, int fd)
{
    assert(client->magic == CLIENT_MAGIC);
    static const unsigned char http[] = "\x08http/1.1";
    SSL *ssl = tls_ssl_new(client->ctx, fd);
    if (ssl == NULL)
        return NULL;
    if (!set_peer(ssl, client) || !show_certificate(ssl, client) ||
        SSL_set_alpn_protos(ssl, http, sizeof(http) - 1) != 0) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    /* A session that OpenSSL does not want any more only costs a full handshake. */
    if (client->session != NULL && SSL_set_session(ssl, client->session) != 1)
        ERR_clear_error();
    client->refs++;
    SSL_set_app_data(ssl, client);
    return ssl;
}

static bool fits_pin(const struct tls_client *client, X509 *cert)
{
    unsigned char *spki = NULL;
    unsigned char digest[PIN_SIZE];
    int n = cert == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    bool fits = n > 0 && EVP_Digest(spki, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1 &&
                memcmp(digest, client->pin, PIN_SIZE) == 0;
    OPENSSL_free(spki);
    return fits;
}

int tls_check_pin(SSL *ssl, weir_error_t *err)
{
    struct tls_client *client = SSL_get_app_data(ssl);
    if (client == NULL || !client->has_pin || fits_pin(client, SSL_get0_peer_certificate(ssl)))
        return WEIR_OK;
    /* The session must not bring the wrong peer back. */
    SSL_SESSION_free(client->session);
    client->session = NULL;
    return weir_error(err, "TLS: the server's public key is not the one of `pin`");
}

bool tls_verifies(const SSL *ssl)
{
    const struct tls_client *client = SSL_get_app_data(ssl);
    return client != NULL && client->verify;
}
