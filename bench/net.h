/* net.h: the sockets of the bench programs, all on the loopback and all non-blocking.
 *
 * A bench program that cannot have its socket has nothing to measure, so these end the program with a line on stderr
 * where a server would carry on.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, memmem, epoll_pwait2; so this header comes first */
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ull

static inline uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* "127.0.0.1:18080" → address. IPv4 only: the bench never leaves the loopback. */
static inline struct sockaddr_in address_parse(const char *text)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : sizeof(host);

    if (len < sizeof(host)) {
        memcpy(host, text, len);
        host[len] = '\0';
        addr.sin_port = htons((uint16_t)atoi(colon + 1));
        if (inet_pton(AF_INET, host, &addr.sin_addr) == 1 && addr.sin_port != 0) {
            return addr;
        }
    }
    fprintf(stderr, "'%s' is no IPv4 address with a port, such as 127.0.0.1:18080\n", text);
    exit(2);
}

static inline void no_delay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static inline int socket_listen(const struct sockaddr_in *addr)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        die("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0 || listen(fd, 4096) != 0) {
        die("listen");
    }
    return fd;
}

/* The next connection of a listening socket, or -1 when there is none (or it is gone again). */
static inline int socket_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        no_delay(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
        die("accept");
    }
    return fd;
}

/* Begins to connect; the first EPOLLOUT says that it is done. */
static inline int socket_connect(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        die("socket");
    }
    no_delay(fd);
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0 && errno != EINPROGRESS) {
        die("connect");
    }
    return fd;
}

static inline void epoll_watch(int epoll, int op, int fd, uint32_t events, void *owner)
{
    struct epoll_event ev = {.events = events, .data.ptr = owner};

    if (epoll_ctl(epoll, op, fd, &ev) != 0) {
        die("epoll_ctl");
    }
}

/* As many descriptors as the system lets us have: the idle bench holds one or two per stream. */
static inline void raise_nofile(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
}

#endif
