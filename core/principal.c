/* principal.c: see the table in principal.h. */
#include "principal.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define SHA256_SIZE 32

static bool is_printable(weir_slice_t name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] < ' ' || name.p[i] > '~')
            return false;
    return true;
}

static size_t write_digest(char *text, const char *kind, const uint8_t digest[SHA256_SIZE])
{
    size_t n = (size_t)snprintf(text, WEIR_PRINCIPAL_MAX + 1, "%s-sha256:", kind);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        n += (size_t)snprintf(text + n, 3, "%02x", digest[i]);
    return n;
}

/* A name as it stands, or its digest when it cannot. */
static size_t write_name(char *text, const char *kind, weir_slice_t name)
{
    uint8_t digest[SHA256_SIZE];
    size_t n = strlen(kind) + 1 + name.n;
    if (n <= WEIR_PRINCIPAL_MAX && is_printable(name)) {
        (void)snprintf(text, WEIR_PRINCIPAL_MAX + 1, "%s:%.*s", kind, WEIR_FMT(name));
        return n;
    }
    bool is_made = EVP_Digest(name.p, name.n, digest, NULL, EVP_sha256(), NULL) == 1;
    return is_made ? write_digest(text, kind, digest) : 0;
}

/* The first alternative name of a type, which holds IA5 text; empty: there is none. */
static weir_slice_t alternative_name(const GENERAL_NAMES *names, int type)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type && ASN1_STRING_length(name->d.ia5) > 0)
            return weir_slice((const char *)ASN1_STRING_get0_data(name->d.ia5),
                              (size_t)ASN1_STRING_length(name->d.ia5));
    }
    return weir_slice(NULL, 0);
}

/* Names of hosts are the same in capitals and small letters (RFC 4343). */
static size_t write_host(char *text, weir_slice_t name)
{
    size_t n = write_name(text, "dns", name);
    for (size_t i = 0; i < n; i++)
        text[i] = weir_lower(text[i]);
    return n;
}

static size_t write_alternative(char *text, const GENERAL_NAMES *names, bool *is_there)
{
    weir_slice_t uri = alternative_name(names, GEN_URI), host = alternative_name(names, GEN_DNS);
    *is_there = uri.n > 0 || host.n > 0;
    if (uri.n > 0)
        return write_name(text, "uri", uri);
    return host.n > 0 ? write_host(text, host) : 0;
}

static size_t write_subject(char *text, const X509_NAME *subject)
{
    char *name = NULL;
    size_t n = 0;
    BIO *memory = BIO_new(BIO_s_mem());
    if (memory != NULL && X509_NAME_print_ex(memory, subject, 0, XN_FLAG_RFC2253) >= 0) {
        long length = BIO_get_mem_data(memory, &name);
        n = length > 0 ? write_name(text, "subject", weir_slice(name, (size_t)length)) : 0;
    }
    BIO_free(memory);
    return n;
}

size_t principal_of(X509 *certificate, char text[WEIR_PRINCIPAL_MAX + 1])
{
    uint8_t digest[SHA256_SIZE];
    bool is_there = false;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t n = names == NULL ? 0 : write_alternative(text, names, &is_there);
    GENERAL_NAMES_free(names);
    if (is_there)
        return n;
    if (X509_NAME_entry_count(X509_get_subject_name(certificate)) > 0)
        return write_subject(text, X509_get_subject_name(certificate));
    return X509_digest(certificate, EVP_sha256(), digest, NULL) == 1 ? write_digest(text, "certificate", digest) : 0;
}

/* Asked for with each request of a session: OpenSSL looks the algorithm up once. */
bool principal_digest(weir_slice_t principal, uint64_t *digest)
{
    static EVP_MD *sha256;
    uint8_t bytes[SHA256_SIZE];
    *digest = 0;
    if (principal.n == 0)
        return true;
    if (sha256 == NULL && (sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) == NULL)
        return false;
    if (EVP_Digest(principal.p, principal.n, bytes, NULL, sha256, NULL) != 1)
        return false;
    memcpy(digest, bytes, sizeof(*digest));
    *digest = *digest == 0 ? 1 : *digest;
    return true;
}
