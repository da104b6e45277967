/* accepter.c: see accepter.h. Accepting is bounded per turn, so that one flood does not starve what is under way. */
#include "accepter.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "proc.h"
#include "stream.h"
#include "timer.h"

#define ACCEPTS_PER_TURN 64
/* How long nobody is taken when there is no descriptor or memory for one more, and how often that is said. */
#define REST_MS 100
#define REST_SAY_MS 10000
/* A turn of the loop. */
#define LET_GO_MS 1
/* More than a kernel keeps waiting on a socket. */
#define ACCEPTS_AT_END 65536

typedef struct accepter {
    ev_io io;
    weir_listener_t *listener;
} accepter_t;

static void accepters_watch(void *arg)
{
    weir_listener_t *l = arg;
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_start(proc->loop, &l->accepters[i].io);
}

/* There is nothing to take another client with. The sockets would be ready all the time, so they are left alone for a moment;
 * those who wait stay in their queues. */
static void listener_rest(weir_listener_t *l, const char *why)
{
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_stop(proc->loop, &l->accepters[i].io);
    timer_start(timers_get(REST_MS), &l->rest);
    if (l->rest_said_ms != 0 && now_ms() - l->rest_said_ms < REST_SAY_MS)
        return;
    l->rest_said_ms = now_ms();
    log_write(WEIR_LOG_ERROR, "listener %s: takes no new clients for the moment: %s", l->name, why);
}

/* Clients of this worker, whichever listener they came by. */
static bool is_worker_full(const weir_listener_t *l)
{
    size_t n = 0;
    for (const weir_listener_t *one = l->head; one != NULL; one = one->next)
        n += listener_clients(one);
    return n >= (size_t)proc->config->worker_connections;
}

/* One client; false when there are no more for now. */
static bool listener_accept_one(weir_listener_t *l, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        if (errno == EMFILE)
            listener_rest(l, "too many open files; raise weir's limit of them (ulimit -n)");
        else if (errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            listener_rest(l, strerror(errno));
        return errno == EINTR || errno == ECONNABORTED;
    }
    weir_error_t err;
    weir_stream_t *stream = stream_accept(client, (struct sockaddr *)&peer, len, l->tls, &err);
    if (stream == NULL)
        log_write(WEIR_LOG_ERROR, "listener %s: a client could not be taken: %s", l->name, err.text);
    else
        l->accept->open(l->self, stream);
    return true;
}

static void accepter_ready(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    accepter_t *accepter = WEIR_CONTAINER(io, accepter_t, io);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (is_worker_full(accepter->listener)) {
            listener_rest(accepter->listener, "its worker has as many as worker_connections allows");
            return;
        }
        if (!listener_accept_one(accepter->listener, io->fd))
            return;
    }
}

/* The one client at our own stdin and stdout. The descriptors are copies: the process keeps its own. */
static int listener_take_stdio(weir_listener_t *l, weir_error_t *err)
{
    if (proc->slot != 0)
        return WEIR_OK;
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0), out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (in < 0 || out < 0)
        return weir_error(err, "listener %s: stdin or stdout is not open: %s", l->name, strerror(errno));
    weir_stream_t *stream = stream_pipes(in, out, err);
    if (stream == NULL)
        return weir_error_wrap(err, "listener %s: ", l->name);
    l->accept->open(l->self, stream);
    return WEIR_OK;
}

int listener_accept(weir_listener_t *l, const char *address, int fd, weir_error_t *err)
{
    if (strcmp(address, ADDRESS_STDIO_TEXT) == 0)
        return listener_take_stdio(l, err);
    /* Watchers must not move once they run, so there is room for all from the start. */
    const size_t max = 256;
    if (l->accepters == NULL)
        l->accepters = calloc(max, sizeof(*l->accepters));
    if (l->accepters == NULL || l->naccepters == max)
        return weir_error(err, "listener %s: no memory, or more than %zu sockets", l->name, max);
    accepter_t *accepter = &l->accepters[l->naccepters++];
    accepter->listener = l;
    l->rest.fire = accepters_watch;
    l->rest.arg = l;
    ev_io_init(&accepter->io, accepter_ready, fd, EV_READ);
    ev_io_start(proc->loop, &accepter->io);
    return WEIR_OK;
}

/* Whoever is in the queue of a socket that nobody listens on from now on would be reset when it closes: they are taken first.
 * A socket that goes on in the next generation of workers is only our copy of it. */
static void accepters_close(void *arg)
{
    weir_listener_t *l = arg;
    for (size_t i = 0; i < l->naccepters; i++) {
        int fd = l->accepters[i].io.fd;
        for (int n = 0; n < ACCEPTS_AT_END && listener_accept_one(l, fd); n++)
            ;
        close(fd);
    }
    l->naccepters = 0;
}

/* The sockets are closed when the loop has let go of them: epoll knows them by what other processes still have open too. */
void listener_drain(weir_listener_t *l, bool now)
{
    for (size_t i = 0; i < l->naccepters; i++)
        ev_io_stop(proc->loop, &l->accepters[i].io);
    l->rest.fire = accepters_close;
    if (l->naccepters > 0)
        timer_start(timers_get(LET_GO_MS), &l->rest);
    for (weir_listener_t *face = l; face != NULL; face = face->sibling)
        face->accept->drain(face->self, now);
}

void listener_over(weir_listener_t *l)
{
    log_write(WEIR_LOG_INFO, "listener %s: its client has gone, and there will be no other", l->name);
    if (!proc->is_draining && kill(getppid(), SIGQUIT) != 0)
        log_write(WEIR_LOG_ERROR, "cannot tell the master to end: %s", strerror(errno));
}
