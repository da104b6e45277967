/* certificates.h: certificates made at test time, written as PEM files into a folder of the test. */
#ifndef T_CERTIFICATES_H
#define T_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* A self-signed certificate, its own authority, for names like "DNS:a.test,IP:127.0.0.1". Writes FOLDER/NAME.pem and
 * FOLDER/NAME.key; `pin` gets the base64 of its key's hash (45 bytes), NULL: nobody asks. */
static inline int certificate_make(const char *folder, const char *name, const char *names, char *pin)
{
    char path[256];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *alternative = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    X509_add_ext(cert, alternative, -1);
    X509_EXTENSION_free(alternative);
    int ok = X509_sign(cert, key, EVP_sha256()) > 0;
    snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
    FILE *file = fopen(path, "w");
    ok = ok && file != NULL && PEM_write_X509(file, cert) == 1 && fclose(file) == 0;
    snprintf(path, sizeof(path), "%s/%s.key", folder, name);
    file = fopen(path, "w");
    ok = ok && file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0;
    if (pin != NULL) {
        unsigned char *der = NULL, digest[32];
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL);
        EVP_EncodeBlock((unsigned char *)pin, digest, sizeof(digest));
        OPENSSL_free(der);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : -1;
}

#endif
