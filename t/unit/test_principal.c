/* test_principal.c: what a certificate's names make of its owner: a principal of one kind, printable, and never too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "principal.h"

/* ---- arrangement ---- */

static GENERAL_NAMES *names;
static X509 *certificate;

static int begin(void **state)
{
    (void)state;
    names = GENERAL_NAMES_new();
    certificate = X509_new();
    return names == NULL || certificate == NULL;
}

static int end(void **state)
{
    (void)state;
    GENERAL_NAMES_free(names);
    X509_free(certificate);
    return 0;
}

static void subject(const char *type, const char *value)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0), 1);
}

static void alternative_bytes(int type, const void *bytes, size_t n)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    assert_int_equal(ASN1_STRING_set(text, bytes, (int)n), 1);
    GENERAL_NAME_set0_value(name, type, text);
    assert_int_not_equal(sk_GENERAL_NAME_push(names, name), 0);
}

static void alternative(int type, const char *name)
{
    alternative_bytes(type, name, strlen(name));
}

static const char *principal(void)
{
    static char text[WEIR_PRINCIPAL_MAX + 1];
    if (sk_GENERAL_NAME_num(names) > 0)
        assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE), 1);
    size_t n = principal_of(certificate, text);
    assert_in_range(n, 1, WEIR_PRINCIPAL_MAX);
    assert_int_equal(strlen(text), n);
    for (size_t i = 0; i < n; i++)
        assert_in_range(text[i], ' ', '~');
    return text;
}

/* ---- which name ---- */

static void a_uri_comes_before_everything_else(void **state)
{
    (void)state;
    subject("CN", "agent");
    alternative(GEN_DNS, "agent.example");
    alternative(GEN_EMAIL, "agent@example.org");
    alternative(GEN_URI, "spiffe://example.org/Agent");
    alternative(GEN_URI, "spiffe://example.org/other");
    assert_string_equal(principal(), "uri:spiffe://example.org/Agent");
}

static void a_dns_name_comes_before_the_subject_and_has_small_letters(void **state)
{
    (void)state;
    subject("CN", "agent");
    alternative(GEN_EMAIL, "agent@example.org");
    alternative(GEN_DNS, "");
    alternative(GEN_DNS, "Agent.EXAMPLE");
    alternative(GEN_DNS, "b.example");
    assert_string_equal(principal(), "dns:agent.example");
}

static void a_subject_stands_as_rfc_2253_text(void **state)
{
    (void)state;
    alternative(GEN_EMAIL, "agent@example.org");
    subject("C", "DE");
    subject("O", "Example, Inc.");
    subject("CN", "J\xc3\xb6rg\n\"x\"");
    assert_string_equal(principal(), "subject:CN=J\\C3\\B6rg\\0A\\\"x\\\",O=Example\\, Inc.,C=DE");
}

static void a_certificate_without_any_name_is_its_own_digest(void **state)
{
    (void)state;
    char first[WEIR_PRINCIPAL_MAX + 1];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(first, sizeof(first), "%s", principal());
    assert_int_equal(strncmp(first, "certificate-sha256:", 19), 0);
    assert_int_equal(strlen(first), 19 + 64);
    assert_string_equal(principal(), first);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 2);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    EVP_PKEY_free(key);
    assert_string_not_equal(principal(), first);
}

/* A name chosen to look like one of another kind still has its own kind before it. */
static void names_of_two_kinds_are_never_the_same(void **state)
{
    (void)state;
    subject("CN", "dns:agent.example");
    assert_string_equal(principal(), "subject:CN=dns:agent.example");
    alternative(GEN_DNS, "uri:spiffe://example.org/agent");
    assert_string_equal(principal(), "dns:uri:spiffe://example.org/agent");
}

/* ---- what cannot stand as it is ---- */

static void a_name_stands_as_it_is_up_to_the_bound_and_as_its_digest_beyond_it(void **state)
{
    (void)state;
    char name[WEIR_PRINCIPAL_MAX + 2], longest[WEIR_PRINCIPAL_MAX + 1];
    size_t room = WEIR_PRINCIPAL_MAX - strlen("uri:");
    memset(name, 'a', sizeof(name));
    alternative_bytes(GEN_URI, name, room);
    snprintf(longest, sizeof(longest), "%s", principal());
    assert_int_equal(strlen(longest), WEIR_PRINCIPAL_MAX);
    assert_int_equal(strncmp(longest, "uri:aaaa", 8), 0);
    GENERAL_NAME_free(sk_GENERAL_NAME_pop(names));
    alternative_bytes(GEN_URI, name, room + 1);
    /* openssl dgst -sha256 of 252 times `a` */
    assert_string_equal(principal(), "uri-sha256:03aaf5773717feae6f704bf2637ae0a9af8b1b26c3493ef29553818378773a04");
}

static void a_name_with_a_nul_or_a_line_end_stands_as_its_digest(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } odd[] = {{"good.example\0.evil.example", 26}, {"a\nb", 3}, {"\xff", 1}, {"\x7f", 1}};
    char seen[4][WEIR_PRINCIPAL_MAX + 1];
    for (size_t i = 0; i < 4; i++) {
        alternative_bytes(GEN_DNS, odd[i].bytes, odd[i].n);
        snprintf(seen[i], sizeof(seen[i]), "%s", principal());
        assert_int_equal(strncmp(seen[i], "dns-sha256:", 11), 0);
        assert_int_equal(strlen(seen[i]), 11 + 64);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
        GENERAL_NAME_free(sk_GENERAL_NAME_pop(names));
    }
}

static void a_long_subject_stands_as_its_digest(void **state)
{
    (void)state;
    char name[65] = "";
    memset(name, 'o', 64);
    for (int i = 0; i < 5; i++)
        subject("OU", name);
    assert_int_equal(strncmp(principal(), "subject-sha256:", 15), 0);
}

/* ---- what a token holds of it ---- */

static void a_digest_is_the_principals_own_and_that_of_nobody_is_nothing(void **state)
{
    (void)state;
    uint64_t a, again, b, nobody = 1;
    assert_true(principal_digest(WEIR_LIT("dns:a"), &a) && principal_digest(WEIR_LIT("dns:a"), &again));
    assert_true(principal_digest(WEIR_LIT("dns:b"), &b) && principal_digest(weir_slice(NULL, 0), &nobody));
    assert_true(a == again && a != b && a != 0 && b != 0 && nobody == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_uri_comes_before_everything_else, begin, end),
        cmocka_unit_test_setup_teardown(a_dns_name_comes_before_the_subject_and_has_small_letters, begin, end),
        cmocka_unit_test_setup_teardown(a_subject_stands_as_rfc_2253_text, begin, end),
        cmocka_unit_test_setup_teardown(a_certificate_without_any_name_is_its_own_digest, begin, end),
        cmocka_unit_test_setup_teardown(names_of_two_kinds_are_never_the_same, begin, end),
        cmocka_unit_test_setup_teardown(a_name_stands_as_it_is_up_to_the_bound_and_as_its_digest_beyond_it, begin, end),
        cmocka_unit_test_setup_teardown(a_name_with_a_nul_or_a_line_end_stands_as_its_digest, begin, end),
        cmocka_unit_test_setup_teardown(a_long_subject_stands_as_its_digest, begin, end),
        cmocka_unit_test(a_digest_is_the_principals_own_and_that_of_nobody_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
