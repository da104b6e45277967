/* stream.c: byte streams: made, opened, read, written to. Their states and their end are in stream_life.c, what waits to be written in
 * stream_out.c, connecting in dial.c.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "address.h"
#include "dial.h"
#include "log.h"
#include "proc.h"
#include "stream_inside.h"
#include "target.h"
#include "tls.h"

#define DEFAULT_LIMIT_BYTES (1024u * 1024u)
#define DEFAULT_SEND_TIMEOUT_MS 60000u
#define GATHER_BYTES 16384u /* that wait for the end of the turn at most */

static void on_io(struct ev_loop *loop, struct ev_io *io, int events);

/* ---- making */

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return WEIR_EFAIL;
    return (flags & O_NONBLOCK) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? WEIR_OK : WEIR_EFAIL;
}

static weir_stream_t *stream_new(int rfd, int wfd, weir_error_t *err)
{
    weir_timeouts_t *send_timeouts = timers_get(DEFAULT_SEND_TIMEOUT_MS);
    weir_stream_t *s = send_timeouts != NULL ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL) {
        stream_close_fds(rfd, wfd);
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
    stream_close_fds(rfd, wfd);
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
static void stream_set_peer(weir_stream_t *s, const struct sockaddr *peer, socklen_t len)
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

/* ---- writing */

/* Whether these bytes wait for the end of the turn. What is large leaves at once, behind what is there. */
static bool gathers(weir_stream_t *s, const weir_chunk_t *chunks, size_t n)
{
    size_t room = s->limit_bytes / 2 < GATHER_BYTES ? s->limit_bytes / 2 : GATHER_BYTES;
    if (!s->gathers || s->state != STREAM_OPEN || (s->out != NULL && !s->out->is_gathered))
        return false;
    size_t bytes = 0, have = s->out == NULL ? 0 : s->out->bytes;
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].bytes.n;
    if (have + bytes <= room)
        return bytes > 0;
    stream_hurry(s);
    return s->state == STREAM_OPEN && s->out == NULL && bytes <= room / 2;
}

static int write_failed(weir_stream_t *s, const weir_error_t *err)
{
    stream_break(s, "%s", err->text);
    return WEIR_ECLOSED;
}

int stream_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n)
{
    stream_check(s);
    weir_error_t err;
    if (gathers(s, chunks, n)) {
        if (out_queue(s, chunks, n, &err) != WEIR_OK)
            return write_failed(s, &err);
        stream_gathered(s);
        return WEIR_OK;
    }
    if (s->state > STREAM_OPEN)
        return WEIR_ECLOSED; /* also when what was gathered before could not be written */
    bool is_first = s->out == NULL;
    int result = out_write(s, chunks, n, &err);
    if (result == WEIR_EFAIL)
        return write_failed(s, &err);
    if (is_first && s->out != NULL && s->state == STREAM_OPEN)
        stream_wait_for_room(s);
    return result;
}

/* ---- opening */

static void opened(weir_stream_t *s)
{
    bool is_dialled = s->dial != NULL;
    stream_move(s, STREAM_OPEN);
    timer_stop(&s->timer);
    if (is_dialled) {
        dial_answered(s->dial);
        stream_dial_over(s);
    }
    want_reading(s);
    if (s->out != NULL) {
        stream_wait_for_room(s);
        ev_feed_event(proc->loop, &s->out->writable, EV_WRITE);
    }
    if (is_dialled && s->state == STREAM_OPEN && s->events != NULL && s->events->connected != NULL)
        s->events->connected(s->owner);
}

static const char *dialled_name(const weir_stream_t *s)
{
    return s->dial != NULL ? target_name(dial_target(s->dial)) : "the server";
}

static void handshake_failed(weir_stream_t *s, int ssl_error)
{
    char reason[256];
    tls_reason(s->ssl, ssl_error, reason, sizeof(reason));
    if (tls_is_verified(s->ssl))
        log_write(WEIR_LOG_INFO, "a client at %.*s was refused: %s", s->peer_len, s->peer, reason);
    if (s->dial != NULL)
        stream_break(s, "cannot connect to %s (%.*s): %s", dialled_name(s), s->peer_len, s->peer, reason);
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
        stream_break(s, "cannot connect to %s (%.*s): %s", dialled_name(s), s->peer_len, s->peer, err.text);
    else
        opened(s);
}

/* The socket of a stream that had none. */
static void stream_set_fd(weir_stream_t *s, int fd)
{
    ev_io_stop(proc->loop, &s->io);
    ev_io_set(&s->io, fd, EV_READ);
    s->wfd = fd;
}

static void on_dialled(void *owner, int fd)
{
    weir_stream_t *s = owner;
    socklen_t len;
    const struct sockaddr *peer = dial_address(s->dial, &len);
    struct tls_client *tls = target_tls(dial_target(s->dial));
    stream_set_fd(s, fd);
    stream_set_peer(s, peer, len);
    if (tls == NULL) {
        opened(s);
        return;
    }
    s->ssl = tls_connect(tls, fd);
    if (s->ssl == NULL) {
        stream_break(s, "cannot connect to %s: no memory for TLS", dialled_name(s));
        return;
    }
    stream_move(s, STREAM_HANDSHAKE);
    handshake(s);
}

static void on_undialled(void *owner, const char *why)
{
    stream_break(owner, "%s", why);
}

weir_stream_t *stream_connect_target(struct target *target, const weir_stream_events_t *events, void *owner,
                                     weir_error_t *err)
{
    static const dial_events_t dial_events = {.connected = on_dialled, .failed = on_undialled};
    weir_stream_t *s = stream_new(-1, -1, err);
    if (s == NULL)
        return NULL;
    stream_move(s, STREAM_DIALING);
    s->dial = dial_new(target, &dial_events, s, err);
    if (s->dial == NULL) {
        stream_close(s);
        return NULL;
    }
    stream_own(s, events, owner);
    dial_begin(s->dial); /* a failure in here is told at the end of the turn */
    return s;
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
    stream_check(s);
    now_passes();
    switch ((stream_state_t)s->state) {
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
    case STREAM_DIALING:
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

/* What a server thinks of us it may say only when it has shaken hands already (TLS 1.3): its alert is the story of the end. */
static long read_alert(weir_stream_t *s, int ssl_error)
{
    char reason[256];
    tls_reason(s->ssl, ssl_error, reason, sizeof(reason));
    (void)read_over(s, 0);
    if (s->state == STREAM_BROKEN)
        stream_why(s, reason);
    else
        stream_break(s, "%s", reason);
    return WEIR_EAGAIN;
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
    if (tls_is_refused(s->ssl))
        return read_alert(s, ssl_error);
    s->has_ended =
        ssl_error == SSL_ERROR_ZERO_RETURN || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    ERR_clear_error();
    return read_over(s, ssl_error == SSL_ERROR_ZERO_RETURN ? 0 : WEIR_EFAIL);
}

long stream_read(weir_stream_t *s, char *p, size_t n)
{
    stream_check(s);
    if (s->is_read_over)
        return s->state == STREAM_OPEN ? 0 : WEIR_EFAIL;
    if (s->state != STREAM_OPEN && s->state != STREAM_BROKEN)
        return WEIR_EAGAIN;
    if (n == 0)
        return WEIR_EAGAIN;
    return s->ssl == NULL ? read_plain(s, p, n) : read_tls(s, p, n);
}

/* ---- the small ones */

void stream_pause(weir_stream_t *s, bool is_paused)
{
    stream_check(s);
    if (s->is_paused == is_paused)
        return;
    s->is_paused = is_paused;
    if (s->state == STREAM_OPEN)
        want_reading(s);
}

void stream_own(weir_stream_t *s, const weir_stream_events_t *events, void *owner)
{
    stream_check(s);
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
    stream_check(s);
    weir_timeouts_t *queue = send_timeout_ms > 0 ? timers_get(send_timeout_ms) : NULL;
    s->limit_bytes = buffer_limit;
    if (queue != NULL || send_timeout_ms == 0)
        s->send_timeouts = queue;
}

void stream_gather(weir_stream_t *s)
{
    stream_check(s);
    s->gathers = true;
}

weir_slice_t stream_peer(const weir_stream_t *s)
{
    stream_check(s);
    return weir_slice(s->peer, s->peer_len);
}

bool stream_is_tls(const weir_stream_t *s)
{
    stream_check(s);
    return s->ssl != NULL;
}

uint64_t stream_taken(const weir_stream_t *s)
{
    stream_check(s);
    return s->taken_bytes;
}

/* The end that the other side sent tells, as every segment does, what had arrived by then; what had not found a closed socket.
 * A reset tells nothing: it may come before the acknowledgement of bytes that were read. (In TLS more is unacknowledged than
 * was written; what is short by that has no whole record.) */
bool stream_is_untaken(const weir_stream_t *s, uint64_t mark)
{
    char byte;
    int unacknowledged;
    stream_check(s);
    if (s->taken_bytes == mark)
        return true;
    if (s->state != STREAM_OPEN || !s->has_ended || recv(s->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
        return false;
    return ioctl(s->wfd, SIOCOUTQ, &unacknowledged) == 0 && s->taken_bytes - mark <= (uint64_t)unacknowledged;
}

uint64_t stream_queued(const weir_stream_t *s)
{
    stream_check(s);
    return s->out != NULL ? s->out->bytes : 0;
}

int stream_fileno(const weir_stream_t *s)
{
    stream_check(s);
    return s->io.fd;
}
