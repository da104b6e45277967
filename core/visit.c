/* visit.c: see visit.h. A visit is one connection, one request, one answer, and blocks. */
#include "visit.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "address.h"

/* How long the running weir may take for each step of an answer. */
#define PATIENCE_SECONDS 5
#define ANSWER_MAX_BYTES (16u << 20)

static int connect_to(const struct sockaddr *sa, socklen_t len)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 && connect(fd, sa, len) == 0)
        return fd;
    int kept = errno;
    if (fd >= 0)
        close(fd);
    errno = kept;
    return -1;
}

/* An address without a host means all of this machine's: the loopback one is among them. Names are looked up. */
static int connect_inet(const struct address *address)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    errno = EADDRNOTAVAIL;
    if (getaddrinfo(address->host[0] == '\0' ? NULL : address->host, port, &hints, &found) != 0)
        return -1;
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = connect_to(at->ai_addr, at->ai_addrlen);
    int kept = errno;
    freeaddrinfo(found);
    errno = kept;
    return fd;
}

static int connect_unix(const char *text)
{
    struct sockaddr_storage sa;
    socklen_t len;
    if (address_number(text, 0, &sa, &len) == WEIR_OK)
        return connect_to((const struct sockaddr *)&sa, len);
    errno = ENAMETOOLONG;
    return -1;
}

static int connect_admin(const char *text, weir_error_t *err)
{
    struct address address;
    if (address_parse(text, &address, err) != WEIR_OK)
        return -1;
    if (address.kind == ADDRESS_INET && address.port == 0)
        return weir_error(err, "admin: port 0 is another one at every start; configure a fixed one, or a Unix socket");
    int fd = address.kind == ADDRESS_INET ? connect_inet(&address) : connect_unix(text);
    if (fd < 0)
        weir_error(err, "cannot connect to admin: %s: %s; does weir run?", text, strerror(errno));
    return fd;
}

/* The whole answer, NUL-terminated; the caller frees it. */
static char *answer_read(int fd)
{
    char *text = NULL;
    size_t size = 0, have = 0;
    for (;;) {
        if (have + 1 >= size) {
            size = size == 0 ? 65536 : 2 * size;
            char *larger = size > ANSWER_MAX_BYTES ? NULL : realloc(text, size);
            if (larger == NULL)
                break;
            text = larger;
        }
        ssize_t n = read(fd, text + have, size - have - 1);
        have += n > 0 ? (size_t)n : 0;
        if (n == 0) {
            text[have] = '\0';
            return text;
        }
        if (n < 0 && errno != EINTR)
            break;
    }
    free(text);
    return NULL;
}

/* The whole answer to a request. */
static char *visit(const config_t *config, const char *request, weir_error_t *err)
{
    if (config->admin_listen == NULL) {
        weir_error(
            err, "%s has no admin: address, where the running weir would answer; add admin: { listen: 127.0.0.1:9901 }",
            config->file);
        return NULL;
    }
    int fd = connect_admin(config->admin_listen, err);
    if (fd < 0)
        return NULL;
    size_t n = strlen(request);
    char *answer = NULL;
    if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
        weir_error(err, "cannot ask admin: %s", strerror(errno));
    else if ((answer = answer_read(fd)) == NULL)
        weir_error(err, "admin: does not answer: %s", strerror(errno));
    close(fd);
    return answer;
}

/* Where its body begins; NULL: it is no HTTP. */
static char *body_of(char *answer)
{
    char *blank = strstr(answer, "\r\n\r\n");
    return blank == NULL || strncmp(answer, "HTTP/1.", 7) != 0 ? NULL : blank + 4;
}

static bool is_good(const char *answer)
{
    return strncmp(answer + 8, " 200", 4) == 0;
}

static void wonder(const char *answer, weir_error_t *err)
{
    weir_error(err, "admin: answers '%.*s'; is it weir that listens there?", (int)strcspn(answer, "\r\n"), answer);
}

char *visit_get(const config_t *config, const char *path, weir_error_t *err)
{
    char request[256];
    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    char *answer = visit(config, request, err);
    if (answer == NULL)
        return NULL;
    char *body = body_of(answer);
    if (body == NULL || !is_good(answer)) {
        wonder(answer, err);
        free(answer);
        return NULL;
    }
    memmove(answer, body, strlen(body) + 1);
    return answer;
}

int visit_post(const config_t *config, const char *path, weir_error_t *err)
{
    char request[1024];
    int n =
        snprintf(request, sizeof(request), "POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", path);
    if (n < 0 || (size_t)n >= sizeof(request))
        return weir_error(err, "the command is too long");
    char *answer = visit(config, request, err);
    if (answer == NULL)
        return WEIR_EFAIL;
    char *body = body_of(answer);
    int rc = body != NULL && is_good(answer) ? WEIR_OK : WEIR_EFAIL;
    if (body == NULL)
        wonder(answer, err);
    else if (rc != WEIR_OK)
        weir_error(err, "%.*s", (int)strcspn(body, "\n"), body);
    free(answer);
    return rc;
}
