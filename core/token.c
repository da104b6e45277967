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
#define PACKED_MAX (PACKED_FIXED + TOKEN_SESSION_MAX)
#define SEALED_MAX (1 + NONCE_SIZE + PACKED_MAX + TAG_SIZE)
#define SECRET_MIN 32
/* Longer tokens, of servers whose session ids have more than 88 bytes, are opened each time. */
#define OPENED_BITS 9
#define OPENED_TEXT_MAX 192
#define OPENED_PACKED_MAX (OPENED_TEXT_MAX / 4 * 3 - 1 - NONCE_SIZE - TAG_SIZE)
#define NO_DIGIT 0x40 /* a bit that no digit of base64url has */

/* The contexts keep the key's schedule: to set that up costs more than a token, for which only the nonce is set. */
typedef struct token_key {
    uint8_t name; /* tells keys apart in a token, no secret */
    EVP_CIPHER_CTX *seal, *open;
} token_key_t;

/* A token that was opened lately: a client sends its own with every request. */
typedef struct opened {
    uint8_t text_n, packed_n; /* 0: none yet */
    char text[OPENED_TEXT_MAX];
    uint8_t packed[OPENED_PACKED_MAX];
} opened_t;

struct token_keys {
    token_key_t key[KEYS_MAX];
    size_t count;
    opened_t opened[1 << OPENED_BITS];
    uint8_t digits[256]; /* of base64url */
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

/* ---- base64url (RFC 4648 5) ---- */

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

/* The value of every byte as a digit; kept with the keys, so that it is made once. */
static void base64url_learn(uint8_t digits[256])
{
    memset(digits, NO_DIGIT, 256);
    for (uint8_t i = 0; i < 64; i++)
        digits[(unsigned char)alphabet[i]] = i;
}

/* Four digits, the last two of which may be missing: three bytes. False when one of them is no digit. */
static inline bool base64url_four(const uint8_t digits[256], const char *p, size_t n, uint8_t *out)
{
    uint32_t a = digits[(unsigned char)p[0]], b = digits[(unsigned char)p[1]];
    uint32_t c = n > 2 ? digits[(unsigned char)p[2]] : 0, d = n > 3 ? digits[(unsigned char)p[3]] : 0;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    out[1] = (uint8_t)(b << 4 | c >> 2);
    out[2] = (uint8_t)(c << 6 | d);
    return ((a | b | c | d) & NO_DIGIT) == 0;
}

/* Returns the number of bytes, 0 when the text is no base64url or too long; up to two more are written. */
static size_t base64url_read(const uint8_t digits[256], weir_slice_t text, uint8_t *out, size_t size)
{
    size_t whole = text.n / 4, rest = text.n % 4;
    bool is_good = rest != 1 && whole * 3 + 3 <= size;
    for (size_t i = 0; i < whole && is_good; i++)
        is_good = base64url_four(digits, text.p + i * 4, 4, out + i * 3);
    /* What is left of the last digit belongs to no byte and has to be 0, so that a token has one text. */
    if (rest > 1 && is_good)
        is_good = base64url_four(digits, text.p + whole * 4, rest, out + whole * 3) && out[whole * 3 + rest - 1] == 0;
    return is_good ? whole * 3 + (rest > 0 ? rest - 1 : 0) : 0;
}

/* ---- keys ---- */

/* `out`: a key, and one byte for its name, from a secret (HKDF, RFC 5869). */
static bool key_derive(uint8_t out[KEY_SIZE + 1], const uint8_t *secret, size_t n)
{
    static const unsigned char info[] = "weir session token 1";
    size_t size = KEY_SIZE + 1;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool is_fine = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) > 0 &&
                   EVP_PKEY_CTX_set1_hkdf_key(ctx, secret, (int)n) > 0 &&
                   EVP_PKEY_CTX_add1_hkdf_info(ctx, info, sizeof(info) - 1) > 0 && EVP_PKEY_derive(ctx, out, &size) > 0;
    EVP_PKEY_CTX_free(ctx);
    return is_fine;
}

static bool key_make(token_key_t *key, const uint8_t *secret, size_t n)
{
    uint8_t derived[KEY_SIZE + 1];
    key->seal = EVP_CIPHER_CTX_new();
    key->open = EVP_CIPHER_CTX_new();
    bool is_made = key->seal != NULL && key->open != NULL && key_derive(derived, secret, n) &&
                   EVP_EncryptInit_ex(key->seal, EVP_aes_256_gcm(), NULL, derived, NULL) == 1 &&
                   EVP_DecryptInit_ex(key->open, EVP_aes_256_gcm(), NULL, derived, NULL) == 1;
    key->name = derived[KEY_SIZE];
    OPENSSL_cleanse(derived, sizeof(derived));
    return is_made;
}

static int keys_add(token_keys_t *keys, const uint8_t *secret, size_t n, weir_error_t *err)
{
    if (keys->count == KEYS_MAX)
        return weir_error(err, "session keys: more than %d keys; remove old ones", KEYS_MAX);
    if (!key_make(&keys->key[keys->count++], secret, n))
        return weir_error(err, "session keys: OpenSSL cannot make a key");
    return WEIR_OK;
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

/* Read to the end of what can be read; memory that held secrets is wiped. */
static int keys_read_lines(token_keys_t *keys, FILE *f, const char *file, weir_error_t *err)
{
    char *line = NULL;
    size_t size = 0;
    int result = WEIR_OK;
    for (int number = 1; result == WEIR_OK && getline(&line, &size, f) >= 0; number++)
        result = keys_add_line(keys, line, file, number, err);
    if (result == WEIR_OK && ferror(f))
        result = weir_error(err, "session_keys: cannot read %s: %s", file, strerror(errno));
    if (line != NULL)
        OPENSSL_cleanse(line, size);
    free(line);
    return result;
}

static int keys_read(token_keys_t *keys, const char *file, weir_error_t *err)
{
    FILE *f = fopen(file, "re");
    if (f == NULL)
        return weir_error(err, "session_keys: cannot read %s: %s", file, strerror(errno));
    int result = keys_read_lines(keys, f, file, err);
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
    base64url_learn(keys->digits);
    int result = file != NULL ? keys_read(keys, file, err) : keys_add(keys, seed, seed_size, err);
    if (result == WEIR_OK)
        return keys;
    token_keys_free(keys);
    return NULL;
}

void token_keys_free(token_keys_t *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        EVP_CIPHER_CTX_free(keys->key[i].seal);
        EVP_CIPHER_CTX_free(keys->key[i].open);
    }
    free(keys);
}

/* ---- tokens ---- */

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

size_t token_seal(token_keys_t *keys, const token_t *token, char text[TOKEN_TEXT_MAX])
{
    uint8_t packed[PACKED_MAX], sealed[SEALED_MAX];
    if (token->session_n > TOKEN_SESSION_MAX)
        return 0;
    size_t n = token_pack(token, packed);
    uint8_t *nonce = sealed + 1, *body = nonce + NONCE_SIZE, *tag = body + n;
    EVP_CIPHER_CTX *cipher = keys->key[0].seal;
    int len = 0, rest = 0;
    sealed[0] = keys->key[0].name;
    if (RAND_bytes(nonce, NONCE_SIZE) != 1 || EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, nonce) != 1 ||
        EVP_EncryptUpdate(cipher, NULL, &len, sealed, 1) != 1 ||
        EVP_EncryptUpdate(cipher, body, &len, packed, (int)n) != 1 ||
        EVP_EncryptFinal_ex(cipher, body + len, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) != 1)
        return 0;
    return base64url_write(sealed, 1 + NONCE_SIZE + n + TAG_SIZE, text);
}

/* Returns the length of the packed token, 0 when the key is another one or the bytes are not what was sealed. */
static size_t token_decrypt(EVP_CIPHER_CTX *cipher, uint8_t *sealed, size_t n, uint8_t *packed)
{
    uint8_t *nonce = sealed + 1, *body = nonce + NONCE_SIZE;
    size_t body_n = n - 1 - NONCE_SIZE - TAG_SIZE;
    int len = 0, rest = 0;
    if (body_n > PACKED_MAX || EVP_DecryptInit_ex(cipher, NULL, NULL, NULL, nonce) != 1 ||
        EVP_DecryptUpdate(cipher, NULL, &len, sealed, 1) != 1 ||
        EVP_DecryptUpdate(cipher, packed, &len, body, (int)body_n) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, body + body_n) != 1 ||
        EVP_DecryptFinal_ex(cipher, packed + len, &rest) != 1)
        return 0;
    return body_n;
}

static size_t token_decrypt_text(token_keys_t *keys, weir_slice_t text, uint8_t *packed)
{
    uint8_t sealed[SEALED_MAX + 2];
    size_t n = base64url_read(keys->digits, text, sealed, sizeof(sealed)), packed_n = 0;
    if (n < 1 + NONCE_SIZE + PACKED_FIXED + TAG_SIZE)
        return 0;
    for (size_t i = 0; i < keys->count && packed_n == 0; i++)
        if (keys->key[i].name == sealed[0])
            packed_n = token_decrypt(keys->key[i].open, sealed, n, packed);
    return packed_n;
}

/* Where a token is remembered: the last characters are of the tag, as good as random. NULL: it is too long, or no token at all. */
static opened_t *opened_place(token_keys_t *keys, weir_slice_t text)
{
    uint32_t tail;
    if (text.n < PACKED_FIXED || text.n > OPENED_TEXT_MAX)
        return NULL;
    memcpy(&tail, text.p + text.n - 1 - sizeof(tail), sizeof(tail));
    return &keys->opened[(tail * UINT32_C(2654435761)) >> (32 - OPENED_BITS)];
}

static uint64_t difference(const char *a, const char *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

/* In constant time: how long it takes must not tell how much of somebody else's token was guessed. */
static bool opened_is(const opened_t *place, weir_slice_t text)
{
    if (place->text_n != text.n)
        return false;
    uint64_t all = difference(place->text + text.n - 8, text.p + text.n - 8);
    for (size_t i = 0; i + 8 < text.n; i += 8)
        all |= difference(place->text + i, text.p + i);
    return all == 0;
}

static void opened_put(opened_t *place, weir_slice_t text, const uint8_t *packed, size_t n)
{
    memcpy(place->text, text.p, text.n);
    memcpy(place->packed, packed, n);
    place->text_n = (uint8_t)text.n;
    place->packed_n = (uint8_t)n;
}

bool token_open(token_keys_t *keys, weir_slice_t text, token_t *token)
{
    uint8_t packed[PACKED_MAX];
    opened_t *place = opened_place(keys, text);
    if (place != NULL && opened_is(place, text))
        return token_unpack(place->packed, place->packed_n, token);
    size_t n = token_decrypt_text(keys, text, packed);
    if (n == 0 || !token_unpack(packed, n, token))
        return false;
    if (place != NULL)
        opened_put(place, text, packed, n);
    return true;
}
