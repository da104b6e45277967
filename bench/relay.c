/* relay.c: the floor. It reads, writes and understands nothing: one connection to the server for each client's.
 *
 *   relay LISTEN SERVER          relay 127.0.0.1:18084 127.0.0.1:18090
 *
 * Whatever moves bytes between two sockets through user space pays at least this. What a proxy costs above it is its
 * own: parsing, building heads, timers, the log.
 */
#include "net.h"

#include <stdbool.h>

#define EVENTS_PER_TURN 256

typedef struct side {
    int fd;
    struct side *other;
    char *held; /* what this side could not take yet */
    size_t held_len;
    bool is_dead;
    struct side *next_dead;
} side_t;

static int epoll;
static struct sockaddr_in server;
static side_t *dead;
static char buffer[64 * 1024];

static side_t *side_new(int fd)
{
    side_t *side = calloc(1, sizeof(*side));

    if (side == NULL) {
        die("calloc");
    }
    side->fd = fd;
    return side;
}

static void pair_open(int client)
{
    side_t *near = side_new(client);
    side_t *far = side_new(socket_connect(&server));

    near->other = far;
    far->other = near;
    epoll_watch(epoll, EPOLL_CTL_ADD, near->fd, EPOLLIN, near);
    epoll_watch(epoll, EPOLL_CTL_ADD, far->fd, EPOLLIN, far);
}

/* Both sides stay allocated until the turn is over: events of this turn may still name them. */
static void pair_close(side_t *side)
{
    side_t *sides[] = {side, side->other};

    for (int i = 0; i < 2 && !sides[i]->is_dead; i++) {
        close(sides[i]->fd);
        sides[i]->is_dead = true;
        sides[i]->next_dead = dead;
        dead = sides[i];
    }
}

static void bury_dead(void)
{
    while (dead != NULL) {
        side_t *side = dead;

        dead = side->next_dead;
        free(side->held);
        free(side);
    }
}

/* A side is read while the other can take more, and watched for room while it owes something. */
static void side_watch(side_t *side)
{
    uint32_t events = (side->other->held ? 0 : EPOLLIN) | (side->held ? EPOLLOUT : 0);

    epoll_watch(epoll, EPOLL_CTL_MOD, side->fd, events, side);
}

static void side_hold(side_t *side, const char *bytes, size_t len)
{
    char *held = malloc(len);

    if (held == NULL) {
        die("malloc");
    }
    memcpy(held, bytes, len);
    side->held = held;
    side->held_len = len;
    side_watch(side);
    side_watch(side->other);
}

/* Writes what it can and holds the rest; false when the peer is gone. */
static bool side_write(side_t *side, const char *bytes, size_t len)
{
    ssize_t sent = send(side->fd, bytes, len, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN) {
        return false;
    }
    sent = sent < 0 ? 0 : sent;
    if ((size_t)sent < len) {
        side_hold(side, bytes + sent, len - (size_t)sent);
    }
    return true;
}

static void side_pump(side_t *side)
{
    ssize_t got = recv(side->fd, buffer, sizeof(buffer), 0);

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0 || !side_write(side->other, buffer, (size_t)got)) {
        pair_close(side);
    }
}

static void side_flush(side_t *side)
{
    char *owed = side->held;

    side->held = NULL;
    if (!side_write(side, owed, side->held_len)) {
        pair_close(side);
    } else if (side->held == NULL) {
        side_watch(side);
        side_watch(side->other);
    }
    free(owed);
}

static void accept_all(int listener)
{
    for (int client = socket_accept(listener); client >= 0; client = socket_accept(listener)) {
        pair_open(client);
    }
}

static void turn(int listener)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(epoll, events, EVENTS_PER_TURN, -1);

    for (int i = 0; i < count; i++) {
        side_t *side = events[i].data.ptr;

        if (side == NULL) {
            accept_all(listener);
            continue;
        }
        if (!side->is_dead && (events[i].events & EPOLLOUT)) {
            side_flush(side);
        }
        if (!side->is_dead && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
            side_pump(side);
        }
    }
    bury_dead();
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr;
    int listener;

    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN SERVER\n");
        return 2;
    }
    addr = address_parse(argv[1]);
    server = address_parse(argv[2]);
    raise_nofile();
    listener = socket_listen(&addr);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        turn(listener);
    }
}
