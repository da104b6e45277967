/* token.c: see token.h. The text is base64url of
 *
 *   1 byte   which key, a digest of its secret
 *   12 bytes nonce, random
 *   n bytes  the token, packed, encrypted
 *   16 bytes tag
 */
#include "token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16
#define KEY_SIZE 32
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define PACKED_FIXED (8 + 4 + 4 + 8 + 1 + 1 + 1)
#define SEALED_MAX (1 + NONCE_SIZE + PACKED_FIXED + TOKEN_SESSION_MAX + TAG_SIZE)
#define SECRET_MIN 32

typedef struct token_key {
    uint8_t name; /* tells keys apart in a token, no secret */
    uint8_t key[KEY_SIZE];
} token_key_t;

struct token_keys {
    token_key_t key[KEYS_MAX];
    size_t count;
    EVP_CIPHER_CTX *cipher; /* used again and again: making one costs more than a token */
};

static const char *const revisions[] = {NULL, "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"};

uint8_t token_version(weir_slice_t revision)
{
    for (uint8_t i = 1; i < sizeof(revisions) / sizeof(revisions[0]); i++)
        if (weir_slice_eq(revision, weir_slice_str(revisions[i])))
            return i;
    return 0;
}

weir_slice_t token_revision(uint8_t version)
{
    return version < sizeof(revisions) / sizeof(revisions[0]) ? weir_slice_str(revisions[version])
                                                              : (weir_slice_t){NULL, 0};
}

/* A key and its name from a secret (HKDF, RFC 5869). */
static int key_derive(token_key_t *key, const uint8_t *secret, size_t n, weir_error_t *err)
{
    static const unsigned char info[] = "weir session token 1";
    uint8_t out[KEY_SIZE + 1];
    size_t size = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool is_fine = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) > 0 &&
                   EVP_PKEY_CTX_set1_hkdf_key(ctx, secret, (int)n) > 0 &&
                   EVP_PKEY_CTX_add1_hkdf_info(ctx, info, sizeof(info) - 1) > 0 && EVP_PKEY_derive(ctx, out, &size) > 0;
    EVP_PKEY_CTX_free(ctx);
    if (!is_fine)
        return weir_error(err, "session keys: OpenSSL cannot derive a key");
    memcpy(key->key, out, KEY_SIZE);
    key->name = out[KEY_SIZE];
    return WEIR_OK;
}

static int keys_add(token_keys_t *keys, const uint8_t *secret, size_t n, weir_error_t *err)
{
    if (keys->count == KEYS_MAX)
        return weir_error(err, "session keys: more than %d keys; remove old ones", KEYS_MAX);
    return key_derive(&keys->key[keys->count++], secret, n, err);
}

static int keys_add_line(token_keys_t *keys, char *line, const char *file, int number, weir_error_t *err)
{
    size_t n = strcspn(line, "\r\n");
    line[n] = '\0';
    if (n == 0 || line[0] == '#')
        return WEIR_OK;
    if (n < SECRET_MIN)
        return weir_error(err,
                          "%s:%d: a session key needs at least %d characters; make one with: openssl rand -base64 48",
                          file, number, SECRET_MIN);
    return keys_add(keys, (const uint8_t *)line, n, err);
}

static int keys_read(token_keys_t *keys, const char *file, weir_error_t *err)
{
    FILE *f = fopen(file, "re");
    if (f == NULL)
        return weir_error(err, "session_keys: cannot read %s: %s", file, strerror(errno));
    char line[1024];
    int result = WEIR_OK;
    for (int number = 1; result == WEIR_OK && fgets(line, sizeof(line), f) != NULL; number++)
        result = keys_add_line(keys, line, file, number, err);
    fclose(f);
    if (result == WEIR_OK && keys->count == 0)
        return weir_error(err, "session_keys: %s has no key; make one with: openssl rand -base64 48", file);
    return result;
}

token_keys_t *token_keys_new(const char *file, const uint8_t *seed, size_t seed_size, weir_error_t *err)
{
    token_keys_t *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        weir_error(err, "session keys: no memory");
        return NULL;
    }
    keys->cipher = EVP_CIPHER_CTX_new();
    int result = keys->cipher == NULL ? weir_error(err, "session keys: no memory")
                 : file != NULL       ? keys_read(keys, file, err)
                                      : keys_add(keys, seed, seed_size, err);
    if (result == WEIR_OK)
        return keys;
    token_keys_free(keys);
    return NULL;
}

void token_keys_free(token_keys_t *keys)
{
    if (keys == NULL)
        return;
    EVP_CIPHER_CTX_free(keys->cipher);
    OPENSSL_cleanse(keys, sizeof(*keys));
    free(keys);
}

/* Packing: fixed members first, then the session's bytes. One program reads what it wrote, on machines of one byte order. */
static size_t token_pack(const token_t *token, uint8_t *p)
{
    uint8_t flags = (uint8_t)(token->is_kept ? 1 : 0);
    memcpy(p, &token->upstream, 8);
    memcpy(p + 8, &token->server, 4);
    memcpy(p + 12, &token->issued_s, 4);
    memcpy(p + 16, &token->principal, 8);
    p[24] = flags;
    p[25] = token->keeper;
    p[26] = token->version;
    memcpy(p + PACKED_FIXED, token->session, token->session_n);
    return PACKED_FIXED + token->session_n;
}

static bool token_unpack(const uint8_t *p, size_t n, token_t *token)
{
    if (n < PACKED_FIXED || n - PACKED_FIXED > TOKEN_SESSION_MAX)
        return false;
    memcpy(&token->upstream, p, 8);
    memcpy(&token->server, p + 8, 4);
    memcpy(&token->issued_s, p + 12, 4);
    memcpy(&token->principal, p + 16, 8);
    token->is_kept = p[24] & 1;
    token->keeper = p[25];
    token->version = p[26];
    token->session_n = (uint16_t)(n - PACKED_FIXED);
    memcpy(token->session, p + PACKED_FIXED, token->session_n);
    return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t base64url_write(const uint8_t *p, size_t n, char *out)
{
    size_t at = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6)
            out[at++] = alphabet[bits >> (have - 6) & 63];
    }
    if (have > 0)
        out[at++] = alphabet[bits << (6 - have) & 63];
    return at;
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Returns the number of bytes, 0 when the text is no base64url or too long. */
static size_t base64url_read(weir_slice_t text, uint8_t *out, size_t size)
{
    size_t at = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < text.n; i++) {
        int value = base64url_value(text.p[i]);
        if (value < 0 || at == size)
            return 0;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[at++] = (uint8_t)(bits >> have);
        }
    }
    return at;
}

size_t token_seal(token_keys_t *keys, const token_t *token, char text[TOKEN_TEXT_MAX])
{
    uint8_t packed[PACKED_FIXED + TOKEN_SESSION_MAX], sealed[SEALED_MAX];
    size_t n = token_pack(token, packed);
    uint8_t *nonce = sealed + 1, *body = nonce + NONCE_SIZE, *tag = body + n;
    int len = 0, rest = 0;
    sealed[0] = keys->key[0].name;
    if (RAND_bytes(nonce, NONCE_SIZE) != 1 ||
        EVP_EncryptInit_ex(keys->cipher, EVP_aes_256_gcm(), NULL, keys->key[0].key, nonce) != 1 ||
        EVP_EncryptUpdate(keys->cipher, NULL, &len, sealed, 1) != 1 ||
        EVP_EncryptUpdate(keys->cipher, body, &len, packed, (int)n) != 1 ||
        EVP_EncryptFinal_ex(keys->cipher, body + len, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) != 1)
        return 0;
    return base64url_write(sealed, 1 + NONCE_SIZE + n + TAG_SIZE, text);
}

static bool token_open_with(token_keys_t *keys, const token_key_t *key, uint8_t *sealed, size_t n, token_t *token)
{
    uint8_t packed[PACKED_FIXED + TOKEN_SESSION_MAX];
    uint8_t *nonce = sealed + 1, *body = nonce + NONCE_SIZE;
    size_t body_n = n - 1 - NONCE_SIZE - TAG_SIZE;
    int len = 0, rest = 0;
    if (body_n > sizeof(packed) || EVP_DecryptInit_ex(keys->cipher, EVP_aes_256_gcm(), NULL, key->key, nonce) != 1 ||
        EVP_DecryptUpdate(keys->cipher, NULL, &len, sealed, 1) != 1 ||
        EVP_DecryptUpdate(keys->cipher, packed, &len, body, (int)body_n) != 1 ||
        EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, body + body_n) != 1 ||
        EVP_DecryptFinal_ex(keys->cipher, packed + len, &rest) != 1)
        return false;
    return token_unpack(packed, body_n, token);
}

bool token_open(token_keys_t *keys, weir_slice_t text, token_t *token)
{
    uint8_t sealed[SEALED_MAX];
    size_t n = base64url_read(text, sealed, sizeof(sealed));
    if (n < 1 + NONCE_SIZE + PACKED_FIXED + TAG_SIZE)
        return false;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->key[i].name == sealed[0] && token_open_with(keys, &keys->key[i], sealed, n, token))
            return true;
    return false;
}
