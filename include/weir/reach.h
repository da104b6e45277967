/* reach.h: how a server is reached over the network: what its certificate is held against, what it is shown, how long a connection may
 * take. The same words of the configuration for every transport.
 *
 * A connect side puts a weir_reach_t into its server's options, WEIR_REACH_OPTIONS() into their table, and hands it to the host's
 * server_address(). The texts belong to the configuration.
 */
#ifndef WEIR_REACH_H
#define WEIR_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "option.h"

typedef struct weir_reach {
    const char *ca;              /* a PEM file of certificates to trust instead of the system's; NULL: the system's */
    const char *pin;             /* base64 of the SHA-256 of the server's public key (RFC 7469 2.4); NULL: none */
    const char *certificate;     /* a PEM file, shown to a server that asks for one; NULL: none */
    const char *key;             /* its key, PEM; NULL: in the certificate's file too */
    uint64_t connect_timeout_ms; /* for resolving, and again for connecting and the TLS handshake together; 0: none */
    bool verify;                 /* the chain and the name have to fit; when not, the pin alone decides */
} weir_reach_t;

#define WEIR_REACH_OPTION(at, word, member, kind, ...)                                                                 \
    {                                                                                                                  \
        .name = word, .type = kind, .offset = (at) + offsetof(weir_reach_t, member), __VA_ARGS__                       \
    }

/* Entries of an option table, for the weir_reach_t at `at` bytes of the options. */
#define WEIR_REACH_OPTIONS(at)                                                                                         \
    WEIR_REACH_OPTION(at, "ca", ca, WEIR_TYPE_PATH,                                                                    \
                      .doc = "certificates that the server's is checked against; the system's when absent"),           \
        WEIR_REACH_OPTION(at, "certificate", certificate, WEIR_TYPE_PATH,                                              \
                          .doc = "the certificate, then its chain (PEM), shown to a server that asks for one"),        \
        WEIR_REACH_OPTION(at, "key", key, WEIR_TYPE_PATH,                                                              \
                          .doc = "key of `certificate` (PEM); absent: in the certificate's file"),                     \
        WEIR_REACH_OPTION(at, "pin", pin, WEIR_TYPE_STRING, .doc = "SHA-256 of the server's public key"),              \
        WEIR_REACH_OPTION(at, "verify", verify, WEIR_TYPE_BOOL, .fallback = "true",                                    \
                          .doc = "check the server's certificate and its name"),                                       \
        WEIR_REACH_OPTION(at, "connect_timeout", connect_timeout_ms, WEIR_TYPE_DURATION, .fallback = "5s", .min = 1,   \
                          .max = 86400000, .doc = "time for a connection to be there, TLS and a handshake included")

#endif
