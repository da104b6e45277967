/* stream_open.c: how a byte stream comes to be: over an fd that exists, or dialled, in TLS after a handshake; and whom its watcher wakes
 * from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "dial.h"
#include "log.h"
#include "principal.h"
#include "proc.h"
#include "stream_inside.h"
#include "target.h"
#include "tls.h"

#define DEFAULT_LIMIT_BYTES (1024u * 1024u)
#define DEFAULT_SEND_TIMEOUT_MS 60000u

static void on_io(struct ev_loop *loop, struct ev_io *io, int events);

/* ---- making ---- */

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

/* ---- opening ---- */

static void opened(weir_stream_t *s)
{
    bool is_dialled = s->dial != NULL;
    stream_move(s, STREAM_OPEN);
    timer_stop(&s->timer);
    if (is_dialled) {
        dial_answered(s->dial);
        stream_dial_over(s);
    }
    stream_want_reading(s);
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

/* Who has come, for all of its requests. A client that was asked for a certificate and has no name must not pass for one that was
 * not asked. */
static int stream_set_principal(weir_stream_t *s)
{
    char text[WEIR_PRINCIPAL_MAX + 1];
    X509 *certificate = SSL_get0_peer_certificate(s->ssl);
    size_t n = certificate == NULL ? 0 : principal_of(certificate, text);
    s->principal = n == 0 ? NULL : strndup(text, n);
    s->principal_len = s->principal == NULL ? 0 : (uint8_t)n;
    return s->principal == NULL ? WEIR_EFAIL : WEIR_OK;
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
    else if (tls_is_verified(s->ssl) && stream_set_principal(s) != WEIR_OK)
        stream_break(s, "no memory for the client's name");
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

/* ---- its watcher ---- */

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
        stream_drop_late(s);
        break;
    case STREAM_DIALING:
    case STREAM_FINISHING:
    case STREAM_BROKEN:
    case STREAM_CLOSED:
        ev_io_stop(loop, io);
        break;
    }
}
