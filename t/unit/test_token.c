/* test_token.c: session tokens: what was sealed opens, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "token.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement ---- */

static const char *const secrets[] = {
    "first-secret-of-32-characters-or-more",
    "second-secret-of-32-characters-or-more",
    "third-secret-of-32-characters-or-more",
};

static token_keys_t *keys_of_seed(uint8_t fill)
{
    uint8_t seed[32];
    memset(seed, fill, sizeof(seed));
    token_keys_t *keys = token_keys_new(NULL, seed, sizeof(seed), NULL);
    assert_non_null(keys);
    return keys;
}

/* Keys from a file with this text; NULL with a story. */
static token_keys_t *keys_of_text(const char *text, weir_error_t *err)
{
    char path[] = "/tmp/weir-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    token_keys_t *keys = token_keys_new(path, NULL, 0, err);
    unlink(path);
    return keys;
}

static token_keys_t *keys_of(const char *text)
{
    weir_error_t err = {""};
    token_keys_t *keys = keys_of_text(text, &err);
    if (keys == NULL)
        fail_msg("%s", err.text);
    return keys;
}

static token_t token_with(const char *session)
{
    token_t token = {.upstream = 0x1122334455667788,
                     .server = 0x99aabbcc,
                     .issued_s = 1700000000,
                     .principal = 0xdeadbeefcafef00d,
                     .version = 3};
    token.session_n = (uint16_t)strlen(session);
    memcpy(token.session, session, token.session_n);
    return token;
}

static weir_slice_t sealed(token_keys_t *keys, const token_t *token)
{
    static char text[TOKEN_TEXT_MAX];
    size_t n = token_seal(keys, token, text);
    assert_true(n > 0 && n <= sizeof(text));
    return weir_slice(text, n);
}

static bool opens(token_keys_t *keys, weir_slice_t text)
{
    token_t token;
    return token_open(keys, text, &token);
}

static void assert_same(const token_t *a, const token_t *b)
{
    assert_true(a->upstream == b->upstream && a->server == b->server && a->issued_s == b->issued_s &&
                a->principal == b->principal);
    assert_true(a->is_kept == b->is_kept && a->keeper == b->keeper && a->version == b->version);
    assert_int_equal(a->session_n, b->session_n);
    assert_memory_equal(a->session, b->session, a->session_n);
}

/* ---- seal and open ---- */

static void what_was_sealed_opens_as_it_was(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    token_t plain = token_with("0f8fad5b-d9cb-469f-a165-70867728950e"), kept = token_with(""), opened;
    assert_true(token_open(keys, sealed(keys, &plain), &opened));
    assert_same(&opened, &plain);
    kept.is_kept = true;
    kept.keeper = 255;
    kept.version = 255;
    assert_true(token_open(keys, sealed(keys, &kept), &opened));
    assert_same(&opened, &kept);
    token_keys_free(keys);
}

static void a_token_is_visible_ascii_and_short(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    token_t token = token_with("0f8fad5b-d9cb-469f-a165-70867728950e");
    weir_slice_t text = sealed(keys, &token);
    assert_in_range(text.n, 32, 128);
    size_t n = text.n;
    token.principal = 0;
    assert_int_equal(sealed(keys, &token).n, n); /* whoever it is for, and however long its name */
    for (size_t i = 0; i < text.n; i++)
        assert_in_range(text.p[i], 0x21, 0x7e);
    token_keys_free(keys);
}

static void a_token_is_another_text_each_time(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    token_t token = token_with("s");
    char first[TOKEN_TEXT_MAX], second[TOKEN_TEXT_MAX];
    size_t n = token_seal(keys, &token, first);
    assert_int_equal(token_seal(keys, &token, second), n);
    assert_memory_not_equal(first, second, n);
    token_keys_free(keys);
}

static void a_server_session_of_any_length_up_to_the_bound_fits(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    token_t token = token_with(""), opened;
    for (size_t n = 0; n <= TOKEN_SESSION_MAX; n++) {
        token.session_n = (uint16_t)n;
        if (n > 0)
            token.session[n - 1] = (char)n;
        weir_slice_t text = sealed(keys, &token);
        char *exact = malloc(text.n);
        memcpy(exact, text.p, text.n);
        assert_true(token_open(keys, weir_slice(exact, text.n), &opened));
        assert_same(&opened, &token);
        free(exact);
    }
    char text[TOKEN_TEXT_MAX];
    token.session_n = TOKEN_SESSION_MAX + 1;
    assert_int_equal(token_seal(keys, &token, text), 0);
    token_keys_free(keys);
}

/* Tokens that were opened are remembered, some at the same place: each is still itself, however often and in whatever order. */
static void a_token_opens_as_it_was_however_many_were_opened_before(void **state)
{
    (void)state;
    enum { TOKENS = 3000 };
    token_keys_t *keys = keys_of_seed(1);
    char(*texts)[TOKEN_TEXT_MAX] = calloc(TOKENS, sizeof(*texts));
    token_t opened;
    assert_non_null(texts);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TOKENS; i++) {
            char session[128];
            snprintf(session, sizeof(session), "%0*d", 1 + i % 100, i);
            token_t token = token_with(session);
            if (round == 0)
                texts[i][token_seal(keys, &token, texts[i])] = '\0';
            for (int again = 0; again < 2; again++) {
                assert_true(token_open(keys, weir_slice_str(texts[i]), &opened));
                assert_same(&opened, &token);
            }
        }
    }
    free(texts);
    token_keys_free(keys);
}

/* ---- what was not sealed ---- */

/* Sessions of three lengths in a row end in a whole group of text, in one that is a byte short, and in one that is two. */
static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    static const char *const sessions[] = {"", "a", "ab", "abc"};
    for (size_t i = 0; i < 2 * COUNT(sessions); i++) {
        token_t token = token_with(sessions[i / 2]);
        weir_slice_t text = sealed(keys, &token);
        char broken[TOKEN_TEXT_MAX];
        memcpy(broken, text.p, text.n);
        assert_true(opens(keys, text)); /* and is remembered */
        for (size_t at = 0; at < text.n; at++) {
            for (int bit = 0; bit < 8; bit++) {
                broken[at] ^= (char)(1 << bit);
                if (opens(keys, weir_slice(broken, text.n)))
                    fail_msg("bit %d of character %zu of %zu makes no difference", bit, at, text.n);
                broken[at] ^= (char)(1 << bit);
            }
        }
        assert_true(opens(keys, weir_slice(broken, text.n)));
    }
    token_keys_free(keys);
}

static void a_token_that_was_cut_or_made_longer_is_refused(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    token_t token = token_with("some-session");
    weir_slice_t text = sealed(keys, &token);
    for (size_t n = 0; n < text.n; n++) {
        char *exact = malloc(n);
        if (n > 0)
            memcpy(exact, text.p, n);
        assert_false(opens(keys, weir_slice(exact, n)));
        free(exact);
        assert_false(opens(keys, weir_slice(text.p + n + 1, text.n - n - 1)));
    }
    char longer[TOKEN_TEXT_MAX + 8];
    static const char *const tails[] = {"A", "AA", "AAA", "AAAA", "=", "==", " ", "\n"};
    for (size_t i = 0; i < COUNT(tails); i++) {
        memcpy(longer, text.p, text.n);
        memcpy(longer + text.n, tails[i], strlen(tails[i]));
        assert_false(opens(keys, weir_slice(longer, text.n + strlen(tails[i]))));
    }
    token_keys_free(keys);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    token_keys_t *keys = keys_of_seed(1);
    char text[4096];
    for (size_t n = 0; n < sizeof(text); n += n < 80 ? 1 : 97) {
        memset(text, 'A', n);
        assert_false(opens(keys, weir_slice(text, n)));
    }
    assert_false(opens(keys, WEIR_LIT("0f8fad5b-d9cb-469f-a165-70867728950e")));
    assert_false(
        opens(keys, WEIR_LIT("not base64url: %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%")));
    assert_false(opens(keys, weir_slice(NULL, 0)));
    token_keys_free(keys);
}

/* ---- keys ---- */

static void a_token_of_another_key_is_refused(void **state)
{
    (void)state;
    token_keys_t *ours = keys_of_seed(1);
    token_t token = token_with("s");
    /* So many that some have the same one-byte name as ours. */
    for (int i = 0; i < 700; i++) {
        uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
        token_keys_t *theirs = token_keys_new(NULL, seed, sizeof(seed), NULL);
        assert_false(opens(ours, sealed(theirs, &token)));
        token_keys_free(theirs);
    }
    token_keys_free(ours);
}

static void the_same_secret_makes_the_same_key_everywhere(void **state)
{
    (void)state;
    token_keys_t *here = keys_of_seed(9), *there = keys_of_seed(9);
    token_t token = token_with("s");
    assert_true(opens(there, sealed(here, &token)));
    token_keys_free(here);
    token_keys_free(there);
}

/* A new key is put first; when all machines have it and the old tokens have gone, the old one is taken out. */
static void keys_rotate_the_first_seals_and_all_open(void **state)
{
    (void)state;
    char both[256];
    snprintf(both, sizeof(both), "%s\n%s\n", secrets[1], secrets[0]);
    token_keys_t *before = keys_of(secrets[0]), *during = keys_of(both), *after = keys_of(secrets[1]);
    token_t token = token_with("s");
    assert_true(opens(during, sealed(before, &token)));
    assert_true(opens(after, sealed(during, &token)));
    assert_false(opens(before, sealed(during, &token)));
    assert_false(opens(after, sealed(before, &token)));
    token_keys_free(before);
    token_keys_free(during);
    token_keys_free(after);
}

static void comments_empty_lines_and_line_ends_are_no_part_of_a_key(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof(text), "# first\n\n%s\r\n\r\n#%s\n%s", secrets[0], secrets[1], secrets[2]);
    token_keys_t *keys = keys_of(text), *first = keys_of(secrets[0]), *second = keys_of(secrets[1]),
                 *third = keys_of(secrets[2]);
    token_t token = token_with("s");
    assert_true(opens(first, sealed(keys, &token)));
    assert_true(opens(keys, sealed(third, &token)));
    assert_false(opens(keys, sealed(second, &token)));
    token_keys_free(keys);
    token_keys_free(first);
    token_keys_free(second);
    token_keys_free(third);
}

/* A line is one secret, however long: two machines must not read two keys out of one. */
static void a_long_line_is_one_key(void **state)
{
    (void)state;
    char text[5000], tail[5000];
    memset(text, 'k', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    snprintf(tail, sizeof(tail), "%s", text + 1023);
    token_keys_t *whole = keys_of(text), *rest = keys_of(tail);
    token_t token = token_with("s");
    assert_true(opens(whole, sealed(whole, &token)));
    assert_false(opens(whole, sealed(rest, &token)));
    token_keys_free(whole);
    token_keys_free(rest);
}

static void assert_refused(const char *text, const char *because)
{
    weir_error_t err = {""};
    assert_null(keys_of_text(text, &err));
    if (strstr(err.text, because) == NULL)
        fail_msg("refused with \"%s\", not because of \"%s\"", err.text, because);
}

static void a_file_that_is_no_list_of_keys_is_refused_with_its_line(void **state)
{
    (void)state;
    char text[1024] = "";
    assert_refused("", "has no key");
    assert_refused("# nothing\n\n", "has no key");
    snprintf(text, sizeof(text), "%s\n# old\ntoo short\n", secrets[0]);
    assert_refused(text, ":3: a session key needs at least 32 characters");
    assert_refused("1234567890123456789012345678901\n", ":1: ");
    text[0] = '\0';
    for (int i = 0; i < 17; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%02d345678901234567890123456789012\n", i);
    assert_refused(text, "more than 16 keys");
    weir_error_t err = {""};
    assert_null(token_keys_new("/nowhere/session.keys", NULL, 0, &err));
    assert_non_null(strstr(err.text, "/nowhere/session.keys: No such file"));
    assert_null(token_keys_new("/tmp", NULL, 0, &err));
    assert_non_null(strstr(err.text, "cannot read /tmp: Is a directory"));
    token_keys_free(NULL);
}

static void legacy_revisions_have_small_numbers(void **state)
{
    (void)state;
    static const char *const revisions[] = {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"};
    for (size_t i = 0; i < COUNT(revisions); i++) {
        uint8_t version = token_version(weir_slice_str(revisions[i]));
        assert_int_not_equal(version, 0);
        assert_true(weir_slice_eq(token_revision(version), weir_slice_str(revisions[i])));
    }
    assert_int_equal(token_version(WEIR_LIT("2026-07-28")), 0);
    assert_int_equal(token_version(WEIR_LIT("")), 0);
    assert_int_equal(token_revision(0).n, 0);
    assert_int_equal(token_revision(255).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_as_it_was),
        cmocka_unit_test(a_token_is_visible_ascii_and_short),
        cmocka_unit_test(a_token_is_another_text_each_time),
        cmocka_unit_test(a_token_opens_as_it_was_however_many_were_opened_before),
        cmocka_unit_test(a_server_session_of_any_length_up_to_the_bound_fits),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(a_token_that_was_cut_or_made_longer_is_refused),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(a_token_of_another_key_is_refused),
        cmocka_unit_test(the_same_secret_makes_the_same_key_everywhere),
        cmocka_unit_test(keys_rotate_the_first_seals_and_all_open),
        cmocka_unit_test(comments_empty_lines_and_line_ends_are_no_part_of_a_key),
        cmocka_unit_test(a_long_line_is_one_key),
        cmocka_unit_test(a_file_that_is_no_list_of_keys_is_refused_with_its_line),
        cmocka_unit_test(legacy_revisions_have_small_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
