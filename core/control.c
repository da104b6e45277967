/* control.c: one packet a message, its text cut to what is used. See control.h for the words. */
#include "control.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

typedef union descriptor_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
} descriptor_room_t;

int control_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return WEIR_EFAIL;
    return WEIR_OK;
}

static void descriptor_attach(struct msghdr *packet, descriptor_room_t *room, int descriptor)
{
    memset(room, 0, sizeof(*room));
    packet->msg_control = room->bytes;
    packet->msg_controllen = sizeof(room->bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(packet);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &descriptor, sizeof(int));
}

/* Only one descriptor fits into the room we give, so the kernel drops any others. */
static int descriptor_taken(struct msghdr *packet)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c != NULL; c = CMSG_NXTHDR(packet, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(c), sizeof(int));
            return descriptor;
        }
    return -1;
}

int control_send(int fd, const control_message_t *message, int descriptor)
{
    size_t n = offsetof(control_message_t, text) + strnlen(message->text, CONTROL_TEXT_MAX - 1) + 1;
    struct iovec part = {(void *)(uintptr_t)message, n};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    descriptor_room_t room;
    if (descriptor >= 0)
        descriptor_attach(&packet, &room, descriptor);
    ssize_t sent;
    do
        sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return WEIR_OK;
    return errno == EAGAIN ? WEIR_EAGAIN : WEIR_ECLOSED;
}

int control_receive(int fd, control_message_t *message, int *descriptor)
{
    struct iovec part = {message, sizeof(*message)};
    descriptor_room_t room;
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    *descriptor = -1;
    ssize_t n;
    do
        n = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return WEIR_EAGAIN;
    if (n <= 0)
        return WEIR_ECLOSED;
    *descriptor = descriptor_taken(&packet);
    if ((size_t)n > offsetof(control_message_t, text) && ((char *)message)[n - 1] == '\0')
        return WEIR_OK;
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
    return WEIR_EFAIL;
}
