/* address.c: addresses as text, and the listening sockets behind them. Owns nothing; keeps nothing. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/slice.h>

static int parse_port(const char *text, const char *port, uint16_t *out, weir_error_t *err)
{
    size_t digits = strspn(port, "0123456789");
    long value = digits == 0 || digits > 5 ? -1 : strtol(port, NULL, 10);
    if (port[digits] != '\0' || value < 0 || value > 65535)
        return weir_error(err, "\"%s\": the port has to be a number from 0 to 65535", text);
    *out = (uint16_t)value;
    return WEIR_OK;
}

static int parse_unix(const char *path, struct address *address, weir_error_t *err)
{
    struct sockaddr_un un;
    if (path[0] == '\0')
        return weir_error(err, "\"unix:\" lacks the path of the socket");
    if (strlen(path) >= sizeof(un.sun_path))
        return weir_error(err, "\"unix:%s\": the path is longer than %zu bytes", path, sizeof(un.sun_path) - 1);
    address->kind = ADDRESS_UNIX;
    memcpy(address->host, path, strlen(path) + 1);
    return WEIR_OK;
}

/* Where the host ends: at the bracket of an IPv6 number, else at the only colon. */
static int split_host(const char *text, weir_slice_t *host, const char **port, weir_error_t *err)
{
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || close[1] != ':')
            return weir_error(err, "\"%s\": expected [address]:port", text);
        *host = weir_slice(text + 1, (size_t)(close - text) - 1);
        *port = close + 2;
        return WEIR_OK;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return weir_error(err, "\"%s\": expected host:port, :port or unix:/path", text);
    if (memchr(text, ':', (size_t)(colon - text)) != NULL)
        return weir_error(err, "\"%s\": an IPv6 address is written in brackets, as in [::1]:8080", text);
    *host = weir_slice(text, (size_t)(colon - text));
    *port = colon + 1;
    return WEIR_OK;
}

int address_parse(const char *text, struct address *address, weir_error_t *err)
{
    *address = (struct address){.kind = ADDRESS_INET};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, address, err);
    if (strcmp(text, ADDRESS_STDIO_TEXT) == 0) {
        address->kind = ADDRESS_STDIO;
        return WEIR_OK;
    }
    weir_slice_t host = {NULL, 0};
    const char *port = "";
    if (split_host(text, &host, &port, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (host.n >= sizeof(address->host))
        return weir_error(err, "\"%s\": the host is longer than %zu bytes", text, sizeof(address->host) - 1);
    memcpy(address->host, host.p, host.n);
    struct in6_addr six;
    if (text[0] == '[' && inet_pton(AF_INET6, address->host, &six) != 1)
        return weir_error(err, "\"%s\": %s is no IPv6 address", text, address->host);
    return parse_port(text, port, &address->port, err);
}

static int unix_number(const char *path, struct sockaddr_storage *sa, socklen_t *len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)sa;
    size_t n = strlen(path);
    if (n >= sizeof(un->sun_path))
        return WEIR_EFAIL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n + 1);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return WEIR_OK;
}

int address_number(const char *host, uint16_t port, struct sockaddr_storage *sa, socklen_t *len)
{
    *sa = (struct sockaddr_storage){0};
    if (strncmp(host, "unix:", 5) == 0)
        return unix_number(host + 5, sa, len);
    struct sockaddr_in *four = (struct sockaddr_in *)sa;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)sa;
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *len = sizeof(*four);
        return WEIR_OK;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *len = sizeof(*six);
        return WEIR_OK;
    }
    return WEIR_EFAIL;
}

/* The socket address to listen on. A name is looked up here, once, at start; IPv4 before IPv6. */
static int listen_address(const struct address *address, struct sockaddr_storage *sa, socklen_t *len, weir_error_t *err)
{
    if (address->kind == ADDRESS_UNIX)
        return unix_number(address->host, sa, len);
    const char *host = address->host[0] == '\0' ? "::" : address->host;
    if (address_number(host, address->port, sa, len) == WEIR_OK)
        return WEIR_OK;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed != 0) {
        hints.ai_family = AF_INET6;
        failed = getaddrinfo(host, NULL, &hints, &found);
    }
    if (failed != 0)
        return weir_error(err, "no address for %s: %s", host, gai_strerror(failed));
    memcpy(sa, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    if (sa->ss_family == AF_INET)
        ((struct sockaddr_in *)sa)->sin_port = htons(address->port);
    else
        ((struct sockaddr_in6 *)sa)->sin6_port = htons(address->port);
    return WEIR_OK;
}

/* A socket file stays behind when its process was killed. Nobody listens to it: it may go. */
static void remove_stale(const struct sockaddr_storage *sa, socklen_t len)
{
    const char *path = ((const struct sockaddr_un *)sa)->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sa, len) != 0 && errno == ECONNREFUSED && unlink(path) != 0)
        errno = EADDRINUSE; /* bind() will say so in its own words */
    close(fd);
}

static int set_on(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static int prepare(int fd, const struct address *address, const struct sockaddr_storage *sa, socklen_t len,
                   bool reuseport)
{
    if (sa->ss_family == AF_UNIX) {
        remove_stale(sa, len);
        return 0;
    }
    if (set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 || (reuseport && set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0))
        return -1;
    /* Inherited by what is accepted: one system call less per connection. */
    if (set_on(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0)
        return -1;
    return sa->ss_family == AF_INET6 ? set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->host[0] != '\0') : 0;
}

static int open_bound(const struct address *address, const struct sockaddr_storage *sa, socklen_t len, bool reuseport,
                      int backlog)
{
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (prepare(fd, address, sa, len, reuseport) == 0 && bind(fd, (const struct sockaddr *)sa, len) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

int address_listen(const char *text, bool reuseport, int backlog, weir_error_t *err)
{
    struct address address;
    struct sockaddr_storage sa = {0};
    socklen_t len = 0;
    if (address_parse(text, &address, err) != WEIR_OK || listen_address(&address, &sa, &len, err) != WEIR_OK)
        return -1;
    int fd = open_bound(&address, &sa, len, reuseport, backlog);
    if (fd < 0 && errno == EAFNOSUPPORT && address.host[0] == '\0' &&
        address_number("0.0.0.0", address.port, &sa, &len) == WEIR_OK)
        fd = open_bound(&address, &sa, len, reuseport, backlog); /* a kernel without IPv6 */
    if (fd < 0) {
        const char *remedy = errno == EADDRINUSE ? "; another program listens there" : "";
        if (errno == EACCES && address.kind == ADDRESS_INET && address.port < 1024)
            remedy = "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
        weir_error(err, "cannot listen on %s: %s%s", text, strerror(errno), remedy);
    }
    return fd;
}

int address_bound(int fd, char *text, size_t n)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return WEIR_EFAIL;
    int only = 1;
    socklen_t only_len = sizeof(only);
    if (sa.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_len) == 0 && only == 0) {
        snprintf(text, n, ":%u", ntohs(((struct sockaddr_in6 *)&sa)->sin6_port));
        return WEIR_OK;
    }
    address_text((const struct sockaddr *)&sa, len, text, n);
    return WEIR_OK;
}

static int inet6_text(const struct sockaddr_in6 *six, char *text, size_t n)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], host, sizeof(host));
        return snprintf(text, n, "%s:%u", host, ntohs(six->sin6_port));
    }
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
    return snprintf(text, n, "[%s]:%u", host, ntohs(six->sin6_port));
}

size_t address_text(const struct sockaddr *sa, socklen_t len, char *text, size_t n)
{
    char host[INET_ADDRSTRLEN] = "";
    int used = 0;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)sa;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
        used = snprintf(text, n, "%s:%u", host, ntohs(four->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        used = inet6_text((const struct sockaddr_in6 *)(const void *)sa, text, n);
    } else {
        /* An unnamed end has no path, not even an empty one. */
        size_t path = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;
        used = snprintf(text, n, "unix:%.*s", (int)path, ((const struct sockaddr_un *)(const void *)sa)->sun_path);
    }
    return used < 0 ? 0 : (size_t)used < n ? (size_t)used : n - 1;
}
