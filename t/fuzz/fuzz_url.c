/* fuzz_url.c: URLs of configurations, references of servers, targets, hosts and origins of requests. What is taken apart is put together again as it was, and no
 * host is loopback that a reader of the rules (RFC 6761 6.3, RFC 1122 3.2.1.3) would not call so.
 */
#include "fuzz.h"

#include <arpa/inet.h>

#include "url.h"

static void check_url(const char *text, size_t n)
{
    weir_url_t url;
    weir_error_t err = {""};
    int result = url_parse(text, &url, &err);
    FUZZ_CHECK((result == WEIR_OK) == (err.text[0] == '\0'));
    if (result != WEIR_OK)
        return;
    FUZZ_CHECK(url.host.n > 0 && url.port > 0 && url.authority.n > 0 && url.target.n > 0 && url.target.p[0] == '/');
    FUZZ_CHECK(fuzz_is_inside(url.host, text, n));
    for (size_t i = 0; i < url.target.n; i++)
        FUZZ_CHECK(url.target.p[i] > ' ' && url.target.p[i] < 0x7f);
    for (size_t i = 0; i < url.authority.n; i++)
        FUZZ_CHECK(strchr("/?#@", url.authority.p[i]) == NULL);
}

static void check_target(weir_slice_t target)
{
    weir_slice_t authority, path;
    if (!target_split(target, &authority, &path))
        return;
    FUZZ_CHECK(fuzz_is_inside(authority, target.p, target.n) && fuzz_is_inside(path, target.p, target.n));
    FUZZ_CHECK(path.n > 0 && (path.p[0] == '/' || path.p[0] == '?'));
    FUZZ_CHECK(authority.p + authority.n == path.p || authority.p + authority.n == target.p + target.n);
}

static bool resolve(const weir_url_t *base, weir_slice_t reference, char *room, size_t size, weir_slice_t *target)
{
    weir_error_t err = {""};
    int result = url_resolve(base, reference, room, size, target, &err);
    FUZZ_CHECK((result == WEIR_OK) == (err.text[0] == '\0'));
    return result == WEIR_OK;
}

/* A reference that a server gives: a target that can be sent, without dots to climb by, and good for as long as one likes. */
static void check_reference(weir_slice_t reference)
{
    weir_url_t base;
    weir_slice_t target, again;
    char room[96], other[96];
    FUZZ_CHECK(url_parse("http://a:81/b/c/d?q", &base, NULL) == WEIR_OK);
    if (!resolve(&base, reference, room, sizeof(room), &target))
        return;
    FUZZ_CHECK(fuzz_is_inside(target, room, sizeof(room)) && target.n > 0 && target.p[0] == '/');
    for (size_t i = 0; i < target.n; i++)
        FUZZ_CHECK(target.p[i] > ' ' && target.p[i] < 0x7f && target.p[i] != '#');
    size_t path = 0;
    while (path < target.n && target.p[path] != '?')
        path++;
    for (size_t i = 0, end; i < path; i = end) {
        for (end = i + 1; end < path && target.p[end] != '/';)
            end++;
        weir_slice_t segment = weir_slice(target.p + i + 1, end - i - 1);
        FUZZ_CHECK(!weir_slice_eq(segment, WEIR_LIT(".")) && !weir_slice_eq(segment, WEIR_LIT("..")));
    }
    if (path > 1 && target.p[1] == '/')
        return; /* read again, it would be an authority */
    FUZZ_CHECK(resolve(&base, target, other, sizeof(other), &again) && weir_slice_eq(again, target));
}

/* Slowly and by the book: 127.0.0.0/8 in any form that inet_aton() reads, ::1, localhost and what is below it. */
static bool is_loopback_by_the_book(weir_slice_t host)
{
    char text[64];
    struct in_addr four;
    if (host.n >= sizeof(text))
        return host.n > 10 && weir_slice_ieq(weir_slice(host.p + host.n - 10, 10), WEIR_LIT(".localhost"));
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (strcmp(text, "[::1]") == 0 || strcasecmp(text, "localhost") == 0)
        return true;
    if (host.n > 10 && strcasecmp(text + host.n - 10, ".localhost") == 0)
        return true;
    return inet_aton(text, &four) != 0 && ntohl(four.s_addr) >> 24 == 127;
}

/* Digits and dots alone are no name: where they are no address either, nobody can have been sent there. */
static bool is_no_name(weir_slice_t host)
{
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9'))
            return false;
    return true;
}

static void check_host(weir_slice_t authority)
{
    weir_slice_t host = authority_host(authority);
    FUZZ_CHECK(fuzz_is_inside(host, authority.p, authority.n) && (host.n == 0 || host.p == authority.p));
    if (host_is_loopback(host))
        FUZZ_CHECK(is_loopback_by_the_book(host) || is_no_name(host));
}

static void fuzz_one(const char *p, size_t n)
{
    char *text = malloc(n + 1), *copy = fuzz_copy(p, n);
    weir_slice_t bytes = weir_slice(copy, n);
    FUZZ_CHECK(text != NULL);
    if (n > 0)
        memcpy(text, p, n);
    text[n] = '\0';
    check_url(text, n);
    check_target(bytes);
    check_reference(bytes);
    check_host(bytes);
    weir_slice_t authority = origin_authority(bytes);
    FUZZ_CHECK(fuzz_is_inside(authority, copy, n));
    check_host(authority);
    fuzz_free(copy, n);
    free(text);
}
