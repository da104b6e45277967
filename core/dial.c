/* dial.c: connecting a stream to a target.
 *
 * A dial hangs on its stream from stream_connect_target() until the stream is open (TLS included), broken or closed. It holds
 * a reference to the target. The addresses are tried one after the other; each gets an equal part of the connect time-out, so
 * that one that swallows packets does not use up the time of those that would answer.
 *
 *   phase       event                 next
 *   resolving   addresses there       connecting to the first
 *   resolving   failed, time-out      broken
 *   connecting  connected             the stream's handshake, or open; the target remembers the address
 *   connecting  refused, time-out     connecting to the next; broken after the last
 *   handshake   failed, time-out      broken: another address of the same server would not know better
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "address.h"
#include "proc.h"
#include "stream_inside.h"
#include "target.h"
#include "tls.h"

struct dial {
    struct target *target;
    struct target_wait wait;
    uint32_t tried;
    socklen_t len;
    struct sockaddr_storage at; /* the address at hand */
    char why[256];              /* how the last one failed */
};

static void try_next(weir_stream_t *s);

const char *dial_name(const weir_stream_t *s)
{
    return s->dial != NULL ? target_name(s->dial->target) : "the server";
}

bool dial_is_pending(weir_stream_t *s)
{
    return s->dial != NULL;
}

void dial_free(weir_stream_t *s)
{
    if (s->dial == NULL)
        return;
    target_give_up(&s->dial->wait);
    target_unref(s->dial->target);
    free(s->dial);
    s->dial = NULL;
}

void dial_connected(weir_stream_t *s)
{
    target_answered(s->dial->target, (struct sockaddr *)&s->dial->at, s->dial->len);
    dial_free(s);
}

/* ---- one address */

static void address_failed(weir_stream_t *s, const char *how)
{
    struct dial *dial = s->dial;
    char address[ADDRESS_TEXT_MAX];
    address_text((struct sockaddr *)&dial->at, dial->len, address, sizeof(address));
    /* The address says something only where the name is not the same. */
    if (strcmp(address, target_name(dial->target)) == 0)
        snprintf(dial->why, sizeof(dial->why), "%s", how);
    else
        snprintf(dial->why, sizeof(dial->why), "%s (%s)", how, address);
    timer_stop(&s->timer);
    stream_set_fd(s, -1);
}

static void on_connect_timeout(void *arg)
{
    weir_stream_t *s = arg;
    char how[64];
    snprintf(how, sizeof(how), "no answer within connect_timeout (%llu ms)",
             (unsigned long long)target_connect_timeout(s->dial->target));
    if (s->state == STREAM_HANDSHAKE) {
        stream_break(s, "cannot connect to %s: TLS handshake: %s", dial_name(s), how);
        return;
    }
    address_failed(s, how);
    try_next(s);
}

static int start_timeout(weir_stream_t *s, uint64_t share_ms, void (*fire)(void *))
{
    if (share_ms == 0)
        return WEIR_OK; /* no time-out is configured */
    weir_timeouts_t *queue = timers_get(share_ms);
    if (queue == NULL)
        return WEIR_EFAIL;
    s->timer.fire = fire;
    timer_start(queue, &s->timer);
    return WEIR_OK;
}

/* Begin to connect to the address at hand; what comes of it shows when the socket is ready. */
static int begin(weir_stream_t *s)
{
    struct dial *dial = s->dial;
    int fd = socket(dial->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return WEIR_EFAIL;
    stream_set_fd(s, fd);
    int on = 1;
    if (dial->at.ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        return WEIR_EFAIL;
    if (connect(fd, (struct sockaddr *)&dial->at, dial->len) != 0 && errno != EINPROGRESS)
        return WEIR_EFAIL;
    stream_set_peer(s, (struct sockaddr *)&dial->at, dial->len);
    return WEIR_OK;
}

static void try_next(weir_stream_t *s)
{
    struct dial *dial = s->dial;
    uint32_t count = target_count(dial->target);
    while (dial->tried < count) {
        const struct sockaddr *sa = target_address(dial->target, dial->tried++, &dial->len);
        memcpy(&dial->at, sa, dial->len);
        if (begin(s) == WEIR_OK && start_timeout(s, (target_connect_timeout(dial->target) + count - 1) / count,
                                                 on_connect_timeout) == WEIR_OK) {
            stream_wait_for(s, EV_WRITE);
            return;
        }
        address_failed(s, strerror(errno));
    }
    stream_break(s, "cannot connect to %s: %s", target_name(dial->target), dial->why);
}

void dial_event(weir_stream_t *s)
{
    struct dial *dial = s->dial;
    int failed = 0;
    socklen_t len = sizeof(failed);
    if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
        failed = errno;
    if (failed != 0) {
        address_failed(s, strerror(failed));
        try_next(s);
        return;
    }
    struct tls_client *tls = target_tls(dial->target);
    if (tls != NULL && (s->ssl = tls_connect(tls, s->io.fd)) == NULL) {
        stream_break(s, "cannot connect to %s: no memory for TLS", target_name(dial->target));
        return;
    }
    stream_established(s);
}

/* ---- resolving */

static void on_addresses(void *arg, const char *why)
{
    weir_stream_t *s = arg;
    timer_stop(&s->timer);
    if (why != NULL)
        stream_break(s, "%s", why);
    else
        try_next(s);
}

static void on_resolve_timeout(void *arg)
{
    weir_stream_t *s = arg;
    stream_break(s,
                 "cannot connect to %s: its name was not resolved within connect_timeout (%llu ms); check the "
                 "nameservers in /etc/resolv.conf",
                 dial_name(s), (unsigned long long)target_connect_timeout(s->dial->target));
    target_give_up(&s->dial->wait);
}

static struct dial *dial_new(weir_stream_t *s, struct target *target)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL)
        return NULL;
    dial->target = target_ref(target);
    dial->wait = (struct target_wait){.ready = on_addresses, .arg = s};
    s->dial = dial;
    stream_move(s, STREAM_DIALING);
    return dial;
}

weir_stream_t *stream_connect_target(struct target *target, const weir_stream_events_t *events, void *owner,
                                     weir_error_t *err)
{
    weir_stream_t *s = stream_new(-1, -1, err);
    if (s == NULL)
        return NULL;
    struct dial *dial = dial_new(s, target);
    int wanted = dial != NULL ? target_want(target, &dial->wait, err) : weir_error(err, "out of memory");
    if (wanted == WEIR_EAGAIN && start_timeout(s, target_connect_timeout(target), on_resolve_timeout) != WEIR_OK)
        wanted = weir_error(err, "out of memory");
    if (wanted == WEIR_EFAIL) {
        stream_close(s);
        return NULL;
    }
    stream_own(s, events, owner);
    if (wanted == WEIR_OK)
        try_next(s); /* a failure in here is told at the end of the turn */
    return s;
}
