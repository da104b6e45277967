/* address.h: addresses as people write them, and listening sockets. Used by the master; blocks for a name in `listen`. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <weir/error.h>

#define ADDRESS_STDIO_TEXT "stdio:"
#define ADDRESS_TEXT_MAX 128 /* sizeof(sockaddr_un.sun_path) + "unix:" */

typedef enum address_kind {
    ADDRESS_INET,  /* host:port; host by number, by name, or empty: every address of both families, on one socket */
    ADDRESS_UNIX,  /* unix:/path */
    ADDRESS_STDIO, /* stdio: the one client at our own stdin and stdout */
} address_kind_t;

/* The parts of `127.0.0.1:80`, `[::1]:80`, `localhost:80`, `:80`, `unix:/run/weir.sock`. */
struct address {
    address_kind_t kind;
    char host[256]; /* without brackets; the path of a Unix socket */
    uint16_t port;
};

int address_parse(const char *text, struct address *address, weir_error_t *err);

/* Make the socket address of a number or a path, without asking anybody: WEIR_OK, or WEIR_EFAIL when `host` is a name. */
int address_number(const char *host, uint16_t port, struct sockaddr_storage *sa, socklen_t *len);

/* Open a listening socket: nonblocking, close-on-exec; `reuseport` is ignored for Unix sockets (share the one fd instead). A
 * socket file that nobody listens to any more is replaced. Returns the fd, or -1 with `err`. */
int address_listen(const char *text, bool reuseport, int backlog, weir_error_t *err);

/* The address that a listening socket is bound to, with its real port, in the form that address_listen() takes. */
int address_bound(int fd, char *text, size_t n);

/* "10.0.0.1:80", "[::1]:80", "unix:/path"; IPv4 addresses that came through an IPv6 socket as IPv4. Returns the length. */
size_t address_text(const struct sockaddr *sa, socklen_t len, char *text, size_t n);

#endif
