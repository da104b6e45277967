/* tool_status.c: `weir status`, and commands to modules: asks the running weir at its `admin:` address, and shows the answer. */
#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "address.h"
#include "command.h"
#include "config.h"
#include "tool.h"

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

static int body_print(const char *body, weir_error_t *err)
{
    json_t *status = json_loads(body, 0, NULL);
    if (status == NULL)
        return weir_error(err, "the answer of admin: is not JSON");
    int rc = json_dumpf(status, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(status);
    return rc == 0 && putchar('\n') == '\n' ? WEIR_OK : weir_error(err, "cannot write the status");
}

static int command_taken(const char *body, weir_error_t *err)
{
    (void)body, (void)err;
    return WEIR_OK;
}

/* Send a request, and do with the answer's body what `take` does. */
static int admin_ask(int fd, const char *request, int (*take)(const char *body, weir_error_t *err), weir_error_t *err)
{
    size_t n = strlen(request);
    if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
        return weir_error(err, "cannot ask admin: %s", strerror(errno));
    char *answer = answer_read(fd);
    if (answer == NULL)
        return weir_error(err, "admin: does not answer: %s", strerror(errno));
    char *body = strstr(answer, "\r\n\r\n");
    int rc;
    bool is_http = body != NULL && strncmp(answer, "HTTP/1.", 7) == 0;
    if (is_http && take == command_taken && strncmp(answer + 8, " 200", 4) != 0)
        rc = weir_error(err, "%.*s", (int)strcspn(body + 4, "\n"), body + 4);
    else if (!is_http || strncmp(answer + 8, " 200", 4) != 0)
        rc = weir_error(err, "admin: answers '%.*s'; is it weir that listens there?", (int)strcspn(answer, "\r\n"),
                        answer);
    else
        rc = take(body + 4, err);
    free(answer);
    return rc;
}

static int admin_visit(const config_t *config, const char *file, const char *request,
                       int (*take)(const char *body, weir_error_t *err), weir_error_t *err)
{
    if (config->admin_listen == NULL)
        return weir_error(
            err, "%s has no admin: address, where the running weir would answer; add admin: { listen: 127.0.0.1:9901 }",
            file);
    int fd = connect_admin(config->admin_listen, err);
    if (fd < 0)
        return WEIR_EFAIL;
    int rc = admin_ask(fd, request, take, err);
    close(fd);
    return rc;
}

int tool_status(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc =
            admin_visit(context.config, cli->file, "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n", body_print, &err);
    return tool_end(&context, rc, &err);
}

static int command_send(const config_t *config, const cli_t *cli, weir_error_t *err)
{
    char request[1024];
    const char *words[] = {cli->module, cli->word, cli->target};
    for (size_t i = 0; i < 3; i++)
        if (words[i][strcspn(words[i], " \t\r\n?#%")] != '\0')
            return weir_error(err, "'%s' is no name of a module, a command or a server", words[i]);
    int n = snprintf(request, sizeof(request),
                     "POST " COMMAND_PATH "%s/%s/%s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", words[0],
                     words[1], words[2]);
    if (n < 0 || (size_t)n >= sizeof(request))
        return weir_error(err, "the command is too long");
    return admin_visit(config, cli->file, request, command_taken, err);
}

int tool_command(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc = command_send(context.config, cli, &err);
    return tool_end(&context, rc, &err);
}
