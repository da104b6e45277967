/* stream.c: the life of a byte stream; reading; closing. Writing is in stream_out.c, connecting in dial.c.
 *
 * A stream is its owner's from the call that made it to stream_close() or stream_finish(), which every owner calls exactly once.
 * It owns its fds, its SSL and what is queued. Nothing is told from inside a call of the owner: what goes wrong there is told
 * at the end of the turn. Every change of state goes through stream_move(), nowhere else.
 *
 *   state      event                        next       what happens
 *   DIALING    connection stands            HANDSHAKE  or OPEN when it is plain
 *   DIALING    no address left, time-out    BROKEN     dial.c says why
 *   HANDSHAKE  done                         OPEN       `connected` if dialled; what was queued is written
 *   HANDSHAKE  failed                       BROKEN
 *   OPEN       something to read            OPEN       `readable`
 *   OPEN       a write failed, no progress  BROKEN     `readable` once more, then `broken`
 *   OPEN       stream_finish, queue         FINISHING  the owner hears nothing any more
 *   OPEN       stream_finish, no queue      LINGERING  our end is shut, so that the other sees the end of the reply
 *   FINISHING  queue written                LINGERING
 *   FINISHING  a write failed, no progress  CLOSED
 *   LINGERING  end, error, LINGER_MS        CLOSED     closing earlier would answer late bytes with a reset, and a reset
 *                                                      takes the reply away from a client that has not read it yet
 *   any        stream_close                 CLOSED     memory goes at the end of the turn
 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "proc.h"
#include "stream_inside.h"
#include "tls.h"

#define LINGER_MS 5000u
#define DEFAULT_LIMIT_BYTES (1024u * 1024u)
#define DEFAULT_SEND_TIMEOUT_MS 60000u
#define CLOSED_MAGIC 0x434c5344u

static void on_io(struct ev_loop *loop, struct ev_io *io, int events);

static void check(const weir_stream_t *s)
{
    assert(s != NULL && s->magic == STREAM_MAGIC && s->state != STREAM_CLOSED);
}

/* ---- making */

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return WEIR_EFAIL;
    return (flags & O_NONBLOCK) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? WEIR_OK : WEIR_EFAIL;
}

static void close_fds(int rfd, int wfd)
{
    if (rfd >= 0)
        close(rfd);
    if (wfd >= 0 && wfd != rfd)
        close(wfd);
}

weir_stream_t *stream_new(int rfd, int wfd, weir_error_t *err)
{
    weir_timeouts_t *send_timeouts = timers_get(DEFAULT_SEND_TIMEOUT_MS);
    weir_stream_t *s = send_timeouts != NULL ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL) {
        close_fds(rfd, wfd);
        weir_error(err, "no memory for a stream");
        return NULL;
    }
    s->magic = STREAM_MAGIC;
    s->state = STREAM_OPEN;
    s->wfd = wfd;
    s->is_pipes = rfd != wfd;
    s->send_timeouts = send_timeouts;
    s->limit_bytes = DEFAULT_LIMIT_BYTES;
    s->timer.arg = s;
    ev_io_init(&s->io, on_io, rfd, EV_READ);
    s->io.data = s;
    return s;
}

static weir_stream_t *new_nonblocking(int rfd, int wfd, weir_error_t *err)
{
    if (set_nonblocking(rfd) == WEIR_OK && (wfd == rfd || set_nonblocking(wfd) == WEIR_OK))
        return stream_new(rfd, wfd, err);
    weir_error(err, "cannot make fd %d nonblocking: %s", rfd, strerror(errno));
    close_fds(rfd, wfd);
    return NULL;
}

weir_stream_t *stream_fd(int fd, weir_error_t *err)
{
    return new_nonblocking(fd, fd, err);
}

weir_stream_t *stream_pipes(int rfd, int wfd, weir_error_t *err)
{
    return new_nonblocking(rfd, wfd, err);
}

/* The address without its port, as text: it is asked for once per exchange, so it is made once per connection. */
void stream_set_peer(weir_stream_t *s, const struct sockaddr *peer, socklen_t len)
{
    char text[ADDRESS_TEXT_MAX];
    size_t n = address_text(peer, len, text, sizeof(text));
    const char *host = text;
    if (peer->sa_family == AF_UNIX) {
        n = sizeof("unix:") - 1;
    } else {
        const char *colon = strrchr(text, ':');
        n = colon != NULL ? (size_t)(colon - text) : n;
        if (text[0] == '[') {
            host++;
            n -= 2;
        }
    }
    s->peer_len = (uint8_t)(n < sizeof(s->peer) ? n : sizeof(s->peer));
    memcpy(s->peer, host, s->peer_len);
}

/* `fd` comes from accept4(SOCK_NONBLOCK): the listener's TCP_NODELAY is inherited. */
weir_stream_t *stream_accept(int fd, const struct sockaddr *peer, socklen_t peer_len, struct tls_server *tls,
                             weir_error_t *err)
{
    weir_stream_t *s = stream_new(fd, fd, err);
    if (s == NULL)
        return NULL;
    stream_set_peer(s, peer, peer_len);
    if (tls == NULL)
        return s;
    s->ssl = tls_accept(tls, fd);
    if (s->ssl == NULL) {
        weir_error(err, "no memory for TLS");
        stream_close(s);
        return NULL;
    }
    stream_move(s, STREAM_HANDSHAKE);
    return s;
}

/* ---- states */

static bool is_leaving(const weir_stream_t *s)
{
    return s->state == STREAM_FINISHING || s->state == STREAM_LINGERING;
}

static weir_list_t *leaving(void)
{
    if (proc->leaving.next == NULL)
        weir_list_init(&proc->leaving);
    return &proc->leaving;
}

void stream_move(weir_stream_t *s, stream_state_t next)
{
    check(s);
    if (is_leaving(s))
        weir_list_remove(&s->leaving);
    s->state = (uint8_t)next;
    if (is_leaving(s))
        weir_list_append(leaving(), &s->leaving);
}

size_t streams_leaving(void)
{
    size_t n = 0;
    WEIR_LIST_EACH(leaving(), it)
        n++;
    return n;
}

void stream_set_fd(weir_stream_t *s, int fd)
{
    ev_io_stop(proc->loop, &s->io);
    if (fd < 0)
        close_fds(s->io.fd, s->wfd);
    ev_io_set(&s->io, fd, EV_READ);
    s->wfd = fd;
}

/* Set what `io` waits for. Costs a system call at the end of the turn when it changes. */
void stream_wait_for(weir_stream_t *s, int events)
{
    if (ev_is_active(&s->io) && (s->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(proc->loop, &s->io);
    ev_io_set(&s->io, s->io.fd, events);
    ev_io_start(proc->loop, &s->io);
}

/* OpenSSL may hold bytes that the fd does not show any more. */
static bool has_hidden(const weir_stream_t *s)
{
    return s->ssl != NULL && s->state == STREAM_OPEN && SSL_has_pending(s->ssl);
}

/* Ask for `readable` as long as the owner wants it and there can be something. */
static void want_reading(weir_stream_t *s)
{
    if (s->is_paused || s->is_read_over || s->events == NULL) {
        ev_io_stop(proc->loop, &s->io);
        return;
    }
    stream_wait_for(s, EV_READ);
    if (has_hidden(s))
        ev_feed_event(proc->loop, &s->io, EV_READ);
}

static void free_stream(void *arg)
{
    weir_stream_t *s = arg;
    s->magic = CLOSED_MAGIC;
    free(s->why);
    free(s);
}

void stream_close(weir_stream_t *s)
{
    check(s);
    ev_io_stop(proc->loop, &s->io);
    out_hurry(s);
    out_free(s);
    dial_free(s);
    tls_end(s->ssl);
    s->ssl = NULL;
    close_fds(s->io.fd, s->wfd);
    s->events = NULL;
    stream_move(s, STREAM_CLOSED);
    s->timer.fire = free_stream;
    timer_at_turn_end(&s->timer);
}

/* The owner hears the bad news here, at the end of the turn. Bytes that came before it are offered first: a server that
 * refuses a request answers, closes, and lets the rest of the request run into a reset. */
static void tell_broken(void *arg)
{
    weir_stream_t *s = arg;
    if (s->events == NULL)
        return;
    if (s->io.fd >= 0 && !s->is_read_over && !s->is_paused && s->dial == NULL && s->events->readable != NULL)
        s->events->readable(s->owner);
    if (s->state == STREAM_BROKEN && s->events != NULL && s->events->broken != NULL)
        s->events->broken(s->owner, s->why != NULL ? s->why : "out of memory");
}

void stream_break(weir_stream_t *s, const char *format, ...)
{
    if (s->state == STREAM_BROKEN || s->state == STREAM_CLOSED)
        return;
    if (s->state == STREAM_FINISHING || s->state == STREAM_LINGERING) {
        stream_close(s);
        return;
    }
    va_list args;
    va_start(args, format);
    if (vasprintf(&s->why, format, args) < 0)
        s->why = NULL;
    va_end(args);
    /* What was never open has nothing to offer. */
    s->is_read_over = s->is_read_over || s->state != STREAM_OPEN;
    ev_io_stop(proc->loop, &s->io);
    out_free(s);
    stream_move(s, STREAM_BROKEN);
    s->timer.fire = tell_broken;
    timer_at_turn_end(&s->timer);
}

static void linger_over(void *arg)
{
    stream_close(arg);
}

/* Shut our end, in TLS with its own goodbye. */
static void shut_end(weir_stream_t *s)
{
    if (s->ssl != NULL) {
        ERR_clear_error();
        if (SSL_shutdown(s->ssl) < 0)
            ERR_clear_error();
    }
    if (s->is_pipes) {
        close(s->wfd);
        s->wfd = -1;
    } else if (shutdown(s->wfd, SHUT_WR) != 0) {
        s->is_read_over = true; /* the other end has gone already */
    }
}

static void linger(weir_stream_t *s)
{
    shut_end(s);
    weir_timeouts_t *queue = timers_get(LINGER_MS);
    if (s->is_read_over || queue == NULL) {
        stream_close(s);
        return;
    }
    stream_move(s, STREAM_LINGERING);
    stream_wait_for(s, EV_READ);
    s->timer.fire = linger_over;
    timer_start(queue, &s->timer);
}

void stream_finish(weir_stream_t *s)
{
    check(s);
    s->events = NULL;
    out_hurry(s);
    if (s->state != STREAM_OPEN) {
        stream_close(s);
    } else if (s->out == NULL) {
        linger(s);
    } else {
        ev_io_stop(proc->loop, &s->io);
        stream_move(s, STREAM_FINISHING);
    }
}

/* There may be no turn of the loop any more at whose end their memory could go. */
void streams_drop(void)
{
    while (!weir_list_empty(leaving())) {
        weir_stream_t *s = WEIR_CONTAINER(leaving()->next, weir_stream_t, leaving);
        stream_close(s);
        timer_stop(&s->timer);
        free_stream(s);
    }
}

void stream_out_empty(weir_stream_t *s)
{
    timer_stop(&s->timer);
    if (s->state == STREAM_FINISHING)
        linger(s);
}

/* ---- opening */

static void opened(weir_stream_t *s)
{
    bool is_dialled = dial_is_pending(s);
    stream_move(s, STREAM_OPEN);
    timer_stop(&s->timer);
    if (is_dialled)
        dial_connected(s);
    want_reading(s);
    out_start(s);
    if (is_dialled && s->state == STREAM_OPEN && s->events != NULL && s->events->connected != NULL)
        s->events->connected(s->owner);
}

static void handshake_failed(weir_stream_t *s, int ssl_error)
{
    char reason[256];
    tls_reason(s->ssl, ssl_error, reason, sizeof(reason));
    if (s->dial != NULL)
        stream_break(s, "cannot connect to %s (%.*s): %s", dial_name(s), s->peer_len, s->peer, reason);
    else
        stream_break(s, "TLS handshake failed: %s", reason);
}

static void handshake(weir_stream_t *s)
{
    ERR_clear_error();
    errno = 0;
    int done = SSL_do_handshake(s->ssl);
    int ssl_error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, done);
    weir_error_t err;
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        stream_wait_for(s, ssl_error == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
    else if (done != 1)
        handshake_failed(s, ssl_error);
    else if (tls_check_pin(s->ssl, &err) != WEIR_OK)
        stream_break(s, "cannot connect to %s (%.*s): %s", dial_name(s), s->peer_len, s->peer, err.text);
    else
        opened(s);
}

void stream_established(weir_stream_t *s)
{
    if (s->ssl == NULL) {
        opened(s);
        return;
    }
    stream_move(s, STREAM_HANDSHAKE);
    handshake(s);
}

/* ---- reading */

static void drop_late_bytes(weir_stream_t *s)
{
    char bytes[BUFSIZ];
    ssize_t n = read(s->io.fd, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        stream_close(s);
}

static void on_io(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop, (void)events;
    weir_stream_t *s = io->data;
    check(s);
    switch ((stream_state_t)s->state) {
    case STREAM_DIALING:
        dial_event(s);
        break;
    case STREAM_HANDSHAKE:
        handshake(s);
        break;
    case STREAM_OPEN:
        if (s->events != NULL && s->events->readable != NULL)
            s->events->readable(s->owner);
        break;
    case STREAM_LINGERING:
        drop_late_bytes(s);
        break;
    case STREAM_FINISHING:
    case STREAM_BROKEN:
    case STREAM_CLOSED:
        ev_io_stop(loop, io);
        break;
    }
}

static long read_over(weir_stream_t *s, long result)
{
    s->is_read_over = true;
    ev_io_stop(proc->loop, &s->io);
    return result;
}

/* Of sockets recv(): it goes to them directly, where read() first asks what a file would have to be asked. */
static long read_plain(weir_stream_t *s, char *p, size_t n)
{
    ssize_t got;
    do
        got = s->is_pipes ? read(s->io.fd, p, n) : recv(s->io.fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return got;
    if (got < 0 && errno == EAGAIN)
        return WEIR_EAGAIN;
    s->has_ended = got == 0;
    return read_over(s, got == 0 ? 0 : WEIR_EFAIL);
}

static long read_tls(weir_stream_t *s, char *p, size_t n)
{
    size_t got = 0;
    ERR_clear_error();
    if (SSL_read_ex(s->ssl, p, n, &got) == 1) {
        /* The fd will not say that OpenSSL has more; a partial record that is left costs one `readable` for nothing. */
        if (s->state == STREAM_OPEN && SSL_has_pending(s->ssl) && !s->is_paused)
            ev_feed_event(proc->loop, &s->io, EV_READ);
        return (long)got;
    }
    int ssl_error = SSL_get_error(s->ssl, 0);
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        return WEIR_EAGAIN;
    s->has_ended =
        ssl_error == SSL_ERROR_ZERO_RETURN || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    ERR_clear_error();
    return read_over(s, ssl_error == SSL_ERROR_ZERO_RETURN ? 0 : WEIR_EFAIL);
}

long stream_read(weir_stream_t *s, char *p, size_t n)
{
    check(s);
    if (s->is_read_over)
        return s->state == STREAM_OPEN ? 0 : WEIR_EFAIL;
    if (s->state != STREAM_OPEN && s->state != STREAM_BROKEN)
        return WEIR_EAGAIN;
    if (n == 0)
        return WEIR_EAGAIN;
    return s->ssl == NULL ? read_plain(s, p, n) : read_tls(s, p, n);
}

/* ---- the small ones */

int stream_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n)
{
    check(s);
    if (s->state > STREAM_OPEN)
        return WEIR_ECLOSED;
    return out_write(s, chunks, n);
}

void stream_pause(weir_stream_t *s, bool is_paused)
{
    check(s);
    if (s->is_paused == is_paused)
        return;
    s->is_paused = is_paused;
    if (s->state == STREAM_OPEN)
        want_reading(s);
}

void stream_own(weir_stream_t *s, const weir_stream_events_t *events, void *owner)
{
    check(s);
    s->events = events;
    s->owner = owner;
    if (s->state == STREAM_OPEN)
        want_reading(s);
    else if (s->state == STREAM_HANDSHAKE && !ev_is_active(&s->io))
        stream_wait_for(s, EV_READ);
    else if (s->state == STREAM_BROKEN)
        timer_at_turn_end(&s->timer); /* it may have broken while nobody was there to hear */
}

void stream_limit(weir_stream_t *s, uint64_t buffer_limit, uint64_t send_timeout_ms)
{
    check(s);
    weir_timeouts_t *queue = send_timeout_ms > 0 ? timers_get(send_timeout_ms) : NULL;
    s->limit_bytes = buffer_limit;
    if (queue != NULL || send_timeout_ms == 0)
        s->send_timeouts = queue;
}

void stream_gather(weir_stream_t *s)
{
    check(s);
    s->gathers = true;
}

weir_slice_t stream_peer(const weir_stream_t *s)
{
    check(s);
    return weir_slice(s->peer, s->peer_len);
}

bool stream_is_tls(const weir_stream_t *s)
{
    check(s);
    return s->ssl != NULL;
}

uint64_t stream_taken(const weir_stream_t *s)
{
    check(s);
    return s->taken_bytes;
}

/* The end that the other side sent tells, as every segment does, what had arrived by then; what had not found a closed socket.
 * A reset tells nothing: it may come before the acknowledgement of bytes that were read. (In TLS more is unacknowledged than
 * was written; what is short by that has no whole record.) */
bool stream_is_untaken(const weir_stream_t *s, uint64_t mark)
{
    char byte;
    int unacknowledged;
    check(s);
    if (s->taken_bytes == mark)
        return true;
    if (s->state != STREAM_OPEN || !s->has_ended || recv(s->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
        return false;
    return ioctl(s->wfd, SIOCOUTQ, &unacknowledged) == 0 && s->taken_bytes - mark <= (uint64_t)unacknowledged;
}

uint64_t stream_queued(const weir_stream_t *s)
{
    check(s);
    return s->out != NULL ? s->out->bytes : 0;
}

int stream_fileno(const weir_stream_t *s)
{
    check(s);
    return s->io.fd;
}
