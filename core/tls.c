/* tls.c: TLS contexts by OpenSSL 3.
 *
 * A tls_server belongs to its listener: one SSL_CTX per certificate. A tls_client belongs to its target and remembers the last
 * session; it is counted, because streams that are open outlive the target. Clients with the same authorities share one
 * SSL_CTX (reading the system's authorities costs milliseconds and megabytes), kept in proc->tls.
 *
 * Resumption on the server side is by tickets alone: their keys come from a secret that all workers of all generations have,
 * so any worker resumes any session, and nothing is stored.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"

#define CLIENT_MAGIC 0x544c5343u
#define PIN_SIZE 32u /* SHA-256 */

struct tls_server {
    const char *listener; /* when its clients are verified */
    size_t count;
    SSL_CTX *contexts[];
};

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

/* The newest reason in OpenSSL's queue, and leave the queue empty: what is left there would be taken for the next failure. */
static const char *newest_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    ERR_clear_error();
    return reason != NULL ? reason : "unknown reason";
}

/* The first one, for files: what follows it only says that reading PEM failed. */
static const char *first_reason(void)
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

static SSL_CTX *new_context(const SSL_METHOD *method, int min_version)
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

/* ---- listeners */

static int load_certificate(SSL_CTX *ctx, const struct tls_certificate *cert, weir_error_t *err)
{
    const char *key = cert->key != NULL ? cert->key : cert->certificate;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert->certificate) != 1)
        return weir_error(err, "cannot read the certificate %s: %s", cert->certificate, first_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return WEIR_OK;
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
        (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH || ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH)) {
        ERR_clear_error();
        return weir_error(err, "the key %s does not match the certificate %s", key, cert->certificate);
    }
    return weir_error(err, "cannot read the key %s: %s", key, first_reason());
}

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
    SSL_CTX *ctx = new_context(TLS_server_method(), min_version);
    if (ctx == NULL || !set_resumption(ctx, ticket_secret)) {
        weir_error(err, "cannot set up TLS: %s", newest_reason());
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (load_certificate(ctx, cert, err) != WEIR_OK) {
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
            return weir_error(err, "cannot read the authorities of clients in %s: %s", client_ca, first_reason());
        }
        SSL_CTX_set_client_CA_list(ctx, names);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    server->listener = listener;
    if (bind_sessions(server, client_ca) != WEIR_OK)
        return weir_error(err, "cannot use the authorities of clients in %s: %s", client_ca, newest_reason());
    return WEIR_OK;
}

bool tls_is_verified(const SSL *ssl)
{
    return SSL_is_server(ssl) && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
}

/* ---- targets */

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
        return weir_error(err, "cannot use the system's authorities: %s", newest_reason());
    if (ca != NULL && SSL_CTX_load_verify_file(ctx, ca) != 1)
        return weir_error(err, "cannot read the authorities in %s: %s", ca, first_reason());
    return WEIR_OK;
}

static struct shared_context *new_shared(const char *ca, bool verify, weir_error_t *err)
{
    struct shared_context *shared = calloc(1, sizeof(*shared));
    if (shared == NULL || (ca != NULL && (shared->ca = strdup(ca)) == NULL) ||
        (shared->ctx = new_context(TLS_client_method(), TLS1_2_VERSION)) == NULL) {
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
    client->shown = new_context(TLS_client_method(), TLS1_2_VERSION);
    if (client->shown == NULL)
        return weir_error(err, "cannot set up TLS: %s", newest_reason());
    return load_certificate(client->shown, certificate, err);
}

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

/* ---- connections */

static SSL *new_ssl(SSL_CTX *ctx, int fd)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(ctx);
    if (ssl != NULL && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

SSL *tls_accept(struct tls_server *server, int fd)
{
    SSL *ssl = new_ssl(server->contexts[0], fd);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
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
    SSL *ssl = new_ssl(client->ctx, fd);
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
    const struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    bool is_missing =
        ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    if (is_missing)
        snprintf(text, n, "TLS: the client has shown no certificate (see `client_ca` of listener %s)",
                 server->listener);
    else if (verified != X509_V_OK)
        snprintf(text, n, "TLS: the client's certificate is not trusted: %s (see `client_ca` of listener %s)",
                 X509_verify_cert_error_string(verified), server->listener);
    return is_missing || verified != X509_V_OK;
}

void tls_reason(SSL *ssl, int ssl_error, char *text, size_t n)
{
    long verified = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_last_error();
    int system_error = errno;
    const struct tls_client *client = SSL_get_app_data(ssl);
    if (tls_is_verified(ssl) && client_reason(ssl, verified, code, text, n))
        ;
    else if (client != NULL && client->verify && verified != X509_V_OK)
        snprintf(text, n, "TLS: the certificate is not trusted: %s (see `ca`, `pin` and `verify`)",
                 X509_verify_cert_error_string(verified));
    else if (code != 0)
        snprintf(text, n, "TLS: %s%s", ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "failed",
                 remedy(code, client != NULL));
    else if (ssl_error == SSL_ERROR_SYSCALL && system_error != 0)
        snprintf(text, n, "TLS: %s", strerror(system_error));
    else
        snprintf(text, n, "TLS: the other end closed the connection");
    ERR_clear_error();
}
