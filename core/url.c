/* url.c: see url.h. */
#include "url.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static weir_slice_t after(weir_slice_t s, size_t n)
{
    return weir_slice(s.p + n, s.n - n);
}

weir_slice_t authority_host(weir_slice_t authority)
{
    if (authority.n > 0 && authority.p[0] == '[') {
        const char *end = memchr(authority.p, ']', authority.n);
        return end == NULL ? authority : weir_slice(authority.p, (size_t)(end - authority.p) + 1);
    }
    const char *colon = memchr(authority.p == NULL ? "" : authority.p, ':', authority.n);
    return colon == NULL ? authority : weir_slice(authority.p, (size_t)(colon - authority.p));
}

/* Dotted digits only, so that 127.evil.example is no loopback. */
static bool is_loopback_number(weir_slice_t host)
{
    if (!weir_slice_starts(host, WEIR_LIT("127.")))
        return false;
    for (size_t i = 0; i < host.n; i++)
        if (!is_digit(host.p[i]) && host.p[i] != '.')
            return false;
    return true;
}

bool host_is_loopback(weir_slice_t host)
{
    static const char below[] = ".localhost";
    size_t n = sizeof(below) - 1;
    if (weir_slice_ieq(host, WEIR_LIT("localhost")) || weir_slice_eq(host, WEIR_LIT("[::1]")))
        return true;
    if (host.n > n && weir_slice_ieq(after(host, host.n - n), WEIR_LIT(".localhost")))
        return true;
    return is_loopback_number(host);
}

weir_slice_t origin_authority(weir_slice_t origin)
{
    for (size_t i = 0; i + 3 <= origin.n; i++)
        if (memcmp(origin.p + i, "://", 3) == 0)
            return after(origin, i + 3);
    return weir_slice(NULL, 0);
}

static int parse_port(weir_slice_t text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.n == 0 || text.n > 5)
        return WEIR_EFAIL;
    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i]))
            return WEIR_EFAIL;
        value = value * 10 + (uint32_t)(text.p[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return WEIR_EFAIL;
    *port = (uint16_t)value;
    return WEIR_OK;
}

static int parse_authority(weir_slice_t authority, weir_url_t *url)
{
    weir_slice_t host = authority_host(authority);
    if (host.n == 0 || memchr(authority.p, '@', authority.n) != NULL)
        return WEIR_EFAIL;
    weir_slice_t rest = after(authority, host.n);
    if (rest.n > 0 && (rest.p[0] != ':' || parse_port(after(rest, 1), &url->port) != WEIR_OK))
        return WEIR_EFAIL;
    if (host.p[0] == '[') {
        if (host.n < 4 || host.p[host.n - 1] != ']')
            return WEIR_EFAIL;
        host = weir_slice(host.p + 1, host.n - 2);
    }
    url->host = host;
    url->authority = authority;
    return WEIR_OK;
}

/* http://unix:/run/server.sock:/mcp */
static int parse_unix(weir_slice_t rest, weir_url_t *url)
{
    size_t prefix = sizeof("unix:") - 1;
    const char *colon = memchr(rest.p + prefix, ':', rest.n - prefix);
    size_t n = colon == NULL ? rest.n : (size_t)(colon - rest.p);
    if (n < prefix + 2 || rest.p[prefix] != '/')
        return WEIR_EFAIL;
    url->host = weir_slice(rest.p, n);
    url->authority = WEIR_LIT("localhost");
    url->target = after(rest, colon == NULL ? n : n + 1);
    return WEIR_OK;
}

static int parse_inet(weir_slice_t rest, weir_url_t *url)
{
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    url->target = after(rest, n);
    return parse_authority(weir_slice(rest.p, n), url);
}

/* Everything goes into a request line as it stands, so it must be able to. */
static bool is_sendable(weir_slice_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] >= 0x7f || text.p[i] == '#')
            return false;
    return true;
}

static weir_slice_t after_scheme(weir_slice_t text, weir_url_t *url)
{
    static const struct {
        weir_slice_t name;
        bool is_tls;
    } schemes[] = {{{"http://", 7}, false}, {{"https://", 8}, true}, {{"ws://", 5}, false}, {{"wss://", 6}, true}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t n = schemes[i].name.n;
        if (text.n <= n || !weir_slice_ieq(weir_slice(text.p, n), schemes[i].name))
            continue;
        *url = (weir_url_t){.is_tls = schemes[i].is_tls, .port = schemes[i].is_tls ? 443 : 80};
        return after(text, n);
    }
    return weir_slice(NULL, 0);
}

int url_parse(const char *text, weir_url_t *url, weir_error_t *err)
{
    weir_slice_t rest = after_scheme(weir_slice_str(text), url);
    if (rest.n == 0)
        return weir_error(err, "url: \"%s\" does not begin with http://, https://, ws:// or wss:// and a host", text);
    if (!is_sendable(rest))
        return weir_error(err, "url: \"%s\" has a space, a '#' or a character outside of ASCII; encode it with %%",
                          text);
    bool is_unix = weir_slice_starts(rest, WEIR_LIT("unix:"));
    if ((is_unix ? parse_unix(rest, url) : parse_inet(rest, url)) != WEIR_OK)
        return weir_error(err, "url: \"%s\" is not of the form http://host:port/path", text);
    if (url->target.n == 0)
        url->target = WEIR_LIT("/");
    if (url->target.p[0] != '/')
        return weir_error(err, "url: \"%s\" has a query but no path", text);
    return WEIR_OK;
}

/* The path of a URL without one is the last slash of its scheme: it has to lie in the same bytes. */
bool target_split(weir_slice_t target, weir_slice_t *authority, weir_slice_t *path)
{
    weir_url_t url;
    weir_slice_t rest = after_scheme(target, &url);
    if (rest.n == 0)
        return false;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    *authority = weir_slice(rest.p, n);
    *path = n < rest.n ? after(rest, n) : weir_slice(rest.p - 1, 1);
    return true;
}

/* ---- references ---- */

static bool is_same_origin(const weir_url_t *base, const weir_url_t *url)
{
    bool is_unix = weir_slice_starts(base->host, WEIR_LIT("unix:"));
    weir_slice_t host = is_unix ? base->authority : base->host;
    return base->is_tls == url->is_tls && base->port == url->port && weir_slice_ieq(host, url->host);
}

/* Take scheme and authority off a reference that has them; false when they are not those of the base. */
static bool take_origin(const weir_url_t *base, weir_slice_t *reference)
{
    weir_url_t url = {.is_tls = base->is_tls, .port = base->is_tls ? 443 : 80};
    weir_slice_t rest = after_scheme(*reference, &url);
    bool is_network = weir_slice_starts(*reference, WEIR_LIT("//"));
    if (rest.n > 0 && weir_lower(reference->p[0]) != 'h')
        return false; /* ws: */
    if (is_network)
        rest = after(*reference, 2);
    else if (rest.n == 0)
        return true;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    bool has_query_alone = n < rest.n && rest.p[n] == '?';
    if (has_query_alone || parse_authority(weir_slice(rest.p, n), &url) != WEIR_OK || !is_same_origin(base, &url))
        return false;
    *reference = n < rest.n ? after(rest, n) : WEIR_LIT("/");
    return true;
}

static bool has_scheme(weir_slice_t reference)
{
    for (size_t i = 0; i < reference.n; i++) {
        char c = reference.p[i];
        if (c == ':')
            return i > 0;
        if (c == '/' || c == '?')
            return false;
    }
    return false;
}

static size_t path_length(weir_slice_t target)
{
    const char *mark = target.n == 0 ? NULL : memchr(target.p, '?', target.n);
    return mark == NULL ? target.n : (size_t)(mark - target.p);
}

/* How much of the base's target stands before a reference that is neither a whole path nor empty. */
static size_t base_length(const weir_url_t *base, weir_slice_t reference)
{
    size_t n = path_length(base->target);
    if (reference.p[0] == '/')
        return 0;
    if (reference.p[0] == '?')
        return n;
    while (n > 0 && base->target.p[n - 1] != '/')
        n--;
    return n;
}

/* RFC 3986 5.2.4, in place: a path that begins with a slash still does. */
static size_t remove_dots(char *p, size_t n)
{
    size_t out = 0;
    for (size_t in = 0, end; in < n; in = end) {
        end = in + 1;
        while (end < n && p[end] != '/')
            end++;
        weir_slice_t segment = weir_slice(p + in + 1, end - in - 1);
        bool is_up = weir_slice_eq(segment, WEIR_LIT(".."));
        if (is_up)
            while (out > 0 && p[--out] != '/')
                ;
        if (is_up || weir_slice_eq(segment, WEIR_LIT("."))) {
            if (end == n)
                p[out++] = '/';
            continue;
        }
        memmove(p + out, p + in, end - in);
        out += end - in;
    }
    if (out == 0)
        p[out++] = '/';
    return out;
}

int url_resolve(const weir_url_t *base, weir_slice_t reference, char *room, size_t size, weir_slice_t *target,
                weir_error_t *err)
{
    int shown = (int)(reference.n < 128 ? reference.n : 128);
    const char *hash = reference.n == 0 ? NULL : memchr(reference.p, '#', reference.n);
    weir_slice_t rest = weir_slice(reference.p, hash == NULL ? reference.n : (size_t)(hash - reference.p));
    if (rest.n == 0 || !is_sendable(rest))
        return weir_error(err, "\"%.*s\" is no reference to anything", shown, reference.p == NULL ? "" : reference.p);
    if (!take_origin(base, &rest) || has_scheme(rest))
        return weir_error(err, "\"%.*s\" leads to another origin than %s://%.*s", shown, reference.p,
                          base->is_tls ? "https" : "http", WEIR_FMT(base->authority));
    size_t before = base_length(base, rest), n = before + rest.n;
    if (n >= size)
        return weir_error(err, "\"%.*s\" is longer than %zu bytes", shown, reference.p, size);
    memcpy(room, base->target.p, before);
    memcpy(room + before, rest.p, rest.n);
    size_t path = path_length(weir_slice(room, n)), kept = remove_dots(room, path);
    memmove(room + kept, room + path, n - path);
    *target = weir_slice(room, kept + n - path);
    return WEIR_OK;
}
