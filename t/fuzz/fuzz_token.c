/* fuzz_token.c: session tokens. What nobody sealed does not open; what was sealed opens as it was, and not when anything of its text is
 * changed. The input is a text that somebody sends, and what is sealed and how it is changed.
 */
#include "fuzz.h"

#include "token.h"

static token_keys_t *keys_one(void)
{
    static token_keys_t *keys;
    static const uint8_t seed[32] = "one of the seeds";
    if (keys == NULL)
        keys = token_keys_new(NULL, seed, sizeof(seed), NULL);
    FUZZ_CHECK(keys != NULL);
    return keys;
}

static size_t take(const char **p, size_t *n, void *to, size_t size)
{
    size_t have = *n < size ? *n : size;
    if (have > 0)
        memcpy(to, *p, have);
    *p += have;
    *n -= have;
    return have;
}

static void check_change(token_keys_t *keys, const char *text, size_t text_n, const char *p, size_t n)
{
    char changed[TOKEN_TEXT_MAX];
    token_t opened;
    uint16_t at = 0;
    uint8_t with = 0;
    memcpy(changed, text, text_n);
    while (n > 0) {
        take(&p, &n, &at, sizeof(at));
        take(&p, &n, &with, sizeof(with));
        changed[at % text_n] = (char)with;
    }
    bool is_changed = memcmp(changed, text, text_n) != 0;
    FUZZ_CHECK(token_open(keys, weir_slice(changed, text_n), &opened) == !is_changed);
}

/* A token has one text: nothing else may stand in its last place. */
static void check_last(token_keys_t *keys, char *text, size_t n)
{
    char was = text[n - 1];
    for (int c = 0; c < 256; c++) {
        token_t opened;
        text[n - 1] = (char)c;
        FUZZ_CHECK(token_open(keys, weir_slice(text, n), &opened) == (text[n - 1] == was));
    }
    text[n - 1] = was;
}

static void check_sealed(token_keys_t *keys, const char *p, size_t n)
{
    token_t token, opened;
    uint8_t session_n = 0, flags = 0;
    char text[TOKEN_TEXT_MAX];
    memset(&token, 0, sizeof(token));
    take(&p, &n, &session_n, 1);
    take(&p, &n, &flags, 1);
    take(&p, &n, &token.upstream, 8);
    take(&p, &n, &token.server, 4);
    token.is_kept = flags & 1;
    token.session_n = (uint16_t)take(&p, &n, token.session, 2u * session_n + (flags >> 7));
    size_t text_n = token_seal(keys, &token, text);
    FUZZ_CHECK(text_n > 0 && text_n <= sizeof(text));
    FUZZ_CHECK(token_open(keys, weir_slice(text, text_n), &opened));
    FUZZ_CHECK(opened.upstream == token.upstream && opened.server == token.server && opened.is_kept == token.is_kept);
    FUZZ_CHECK(opened.session_n == token.session_n && memcmp(opened.session, token.session, token.session_n) == 0);
    check_last(keys, text, text_n);
    check_change(keys, text, text_n, p, n);
}

static void fuzz_one(const char *p, size_t n)
{
    token_keys_t *keys = keys_one();
    token_t opened;
    char *copy = fuzz_copy(p, n);
    FUZZ_CHECK(!token_open(keys, weir_slice(copy, n), &opened));
    fuzz_free(copy, n);
    check_sealed(keys, p, n);
}
