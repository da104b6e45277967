/* dial.c: see dial.h.
 *
 * Owned by the stream that connects, until it is open (TLS included), broken or closed. It holds a reference to the target, and the
 * socket until that is connected. The addresses are tried one after the other; each gets an equal part of the connect time-out, so
 * that one that swallows packets does not use up the time of those that would answer.
 *
 *   phase       event                 next
 *   resolving   addresses there       connecting to the first
 *   resolving   failed, time-out      failed
 *   connecting  connected             handed over: the owner's handshake
 *   connecting  refused, time-out     connecting to the next; failed after the last
 *   handed over time-out              failed: another address of the same server would not know better
 */
#include "dial.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "proc.h"
#include "target.h"
#include "timer.h"

struct dial {
    struct target *target;
    const dial_events_t *events;
    void *owner;
    struct target_wait wait;
    struct ev_io io; /* of the socket that connects; its fd is -1 when there is none, or it has been handed over */
    weir_timer_t timer;
    bool is_resolved, is_handed_over;
    uint32_t tried;
    socklen_t len;
    struct sockaddr_storage at; /* the address at hand */
    char why[256];              /* how the last one failed */
};

static void try_next(dial_t *dial);
static void on_writable(struct ev_loop *loop, struct ev_io *io, int events);

struct target *dial_target(const dial_t *dial)
{
    return dial->target;
}

const struct sockaddr *dial_address(const dial_t *dial, socklen_t *len)
{
    *len = dial->len;
    return (const struct sockaddr *)&dial->at;
}

static void close_socket(dial_t *dial)
{
    ev_io_stop(proc->loop, &dial->io);
    if (dial->io.fd >= 0)
        close(dial->io.fd);
    ev_io_set(&dial->io, -1, EV_WRITE);
}

void dial_free(dial_t *dial)
{
    if (dial == NULL)
        return;
    timer_stop(&dial->timer);
    close_socket(dial);
    target_give_up(&dial->wait);
    target_unref(dial->target);
    free(dial);
}

void dial_answered(dial_t *dial)
{
    target_answered(dial->target, (struct sockaddr *)&dial->at, dial->len);
}

/* The last that is done with a dial: its owner may have freed it. */
__attribute__((format(printf, 2, 3))) static void fail(dial_t *dial, const char *format, ...)
{
    char why[WEIR_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    dial->events->failed(dial->owner, why);
}

/* ---- one address */

static void address_failed(dial_t *dial, const char *how)
{
    char address[ADDRESS_TEXT_MAX];
    address_text((struct sockaddr *)&dial->at, dial->len, address, sizeof(address));
    /* The address says something only where the name is not the same. */
    if (strcmp(address, target_name(dial->target)) == 0)
        snprintf(dial->why, sizeof(dial->why), "%s", how);
    else
        snprintf(dial->why, sizeof(dial->why), "%s (%s)", how, address);
    timer_stop(&dial->timer);
    close_socket(dial);
}

static void on_connect_timeout(void *arg)
{
    dial_t *dial = arg;
    char how[64];
    snprintf(how, sizeof(how), "no answer within connect_timeout (%llu ms)",
             (unsigned long long)target_connect_timeout(dial->target));
    if (dial->is_handed_over) {
        fail(dial, "cannot connect to %s: TLS handshake: %s", target_name(dial->target), how);
        return;
    }
    address_failed(dial, how);
    try_next(dial);
}

static int start_timeout(dial_t *dial, uint64_t share_ms, void (*fire)(void *))
{
    if (share_ms == 0)
        return WEIR_OK; /* no time-out is configured */
    weir_timeouts_t *queue = timers_get(share_ms);
    if (queue == NULL)
        return WEIR_EFAIL;
    dial->timer.fire = fire;
    timer_start(queue, &dial->timer);
    return WEIR_OK;
}

/* Begin to connect to the address at hand; what comes of it shows when the socket is ready. */
static int begin(dial_t *dial)
{
    int fd = socket(dial->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return WEIR_EFAIL;
    ev_io_set(&dial->io, fd, EV_WRITE);
    int on = 1;
    if (dial->at.ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        return WEIR_EFAIL;
    if (connect(fd, (struct sockaddr *)&dial->at, dial->len) != 0 && errno != EINPROGRESS)
        return WEIR_EFAIL;
    return WEIR_OK;
}

static void try_next(dial_t *dial)
{
    uint32_t count = target_count(dial->target);
    while (dial->tried < count) {
        const struct sockaddr *sa = target_address(dial->target, dial->tried++, &dial->len);
        memcpy(&dial->at, sa, dial->len);
        if (begin(dial) == WEIR_OK && start_timeout(dial, (target_connect_timeout(dial->target) + count - 1) / count,
                                                    on_connect_timeout) == WEIR_OK) {
            ev_io_start(proc->loop, &dial->io);
            return;
        }
        address_failed(dial, strerror(errno));
    }
    fail(dial, "cannot connect to %s: %s", target_name(dial->target), dial->why);
}

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)events;
    dial_t *dial = io->data;
    int failed = 0, fd = io->fd;
    socklen_t len = sizeof(failed);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
        failed = errno;
    if (failed != 0) {
        address_failed(dial, strerror(failed));
        try_next(dial);
        return;
    }
    ev_io_stop(loop, io);
    ev_io_set(io, -1, EV_WRITE);
    dial->is_handed_over = true;
    dial->events->connected(dial->owner, fd);
}

/* ---- resolving */

static void on_addresses(void *arg, const char *why)
{
    dial_t *dial = arg;
    timer_stop(&dial->timer);
    if (why != NULL)
        fail(dial, "%s", why);
    else
        try_next(dial);
}

static void on_resolve_timeout(void *arg)
{
    dial_t *dial = arg;
    target_give_up(&dial->wait);
    fail(dial,
         "cannot connect to %s: its name was not resolved within connect_timeout (%llu ms); check the nameservers in "
         "/etc/resolv.conf",
         target_name(dial->target), (unsigned long long)target_connect_timeout(dial->target));
}

dial_t *dial_new(struct target *target, const dial_events_t *events, void *owner, weir_error_t *err)
{
    dial_t *dial = calloc(1, sizeof(*dial));
    if (dial == NULL) {
        weir_error(err, "out of memory");
        return NULL;
    }
    dial->target = target_ref(target);
    dial->events = events;
    dial->owner = owner;
    dial->wait = (struct target_wait){.ready = on_addresses, .arg = dial};
    dial->timer.arg = dial;
    ev_io_init(&dial->io, on_writable, -1, EV_WRITE);
    dial->io.data = dial;
    int wanted = target_want(target, &dial->wait, err);
    if (wanted == WEIR_EAGAIN && start_timeout(dial, target_connect_timeout(target), on_resolve_timeout) != WEIR_OK)
        wanted = weir_error(err, "out of memory");
    if (wanted == WEIR_EFAIL) {
        dial_free(dial);
        return NULL;
    }
    dial->is_resolved = wanted == WEIR_OK;
    return dial;
}

void dial_begin(dial_t *dial)
{
    if (dial->is_resolved)
        try_next(dial);
}
