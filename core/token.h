/* token.h: a legacy session's id as the client sees it: sealed, so that any worker of any generation, and any machine with the
 * same keys, can open it and nobody else can make one (AES-256-GCM by OpenSSL; base64url text).
 *
 * Keys: the first seals, all open. They are made from the secrets in `session_keys` (one per line), or from the master's seed.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/error.h>
#include <weir/slice.h>

#define TOKEN_SESSION_MAX 512
#define TOKEN_TEXT_MAX 1024

typedef struct token {
    uint64_t upstream;  /* hash of its name */
    uint32_t server;    /* hash of the server's name; 0 when the session is kept */
    uint32_t issued_s;  /* Unix time */
    uint64_t principal; /* digest of the client's; see principal.h; 0: nobody in particular */
    bool is_kept;       /* the session lives in a keeper */
    uint8_t keeper;     /* which */
    uint8_t version;    /* negotiated; see token_version() */
    uint16_t session_n;
    char session[TOKEN_SESSION_MAX]; /* the server's own session id, or the keeper's */
} token_t;

typedef struct token_keys token_keys_t;

/* Keys from a file, or from a seed when `file` is NULL. A line of the file is a secret of at least 32 characters; empty lines and
 * lines that begin with # do not count. */
token_keys_t *token_keys_new(const char *file, const uint8_t *seed, size_t seed_size, weir_error_t *err);
void token_keys_free(token_keys_t *keys);

/* Returns the length of the text, 0 when it could not be sealed. */
size_t token_seal(token_keys_t *keys, const token_t *token, char text[TOKEN_TEXT_MAX]);
/* Whether the text is a token of one of the keys. */
bool token_open(token_keys_t *keys, weir_slice_t text, token_t *token);

/* Legacy protocol revisions as small numbers, 0: unknown. */
uint8_t token_version(weir_slice_t revision);
weir_slice_t token_revision(uint8_t version);

#endif
