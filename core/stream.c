/* stream.c: byte streams that stand: read, written to, and what else their owner asks of them. How they come to be is in stream_open.c,
 * their states and their end in stream_life.c, what waits to be written in stream_out.c, connecting in dial.c.
 */
#include "stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proc.h"
#include "stream_inside.h"
#include "tls.h"

#define GATHER_BYTES 16384u /* that wait for the end of the turn at most */

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

/* ---- reading */

/* OpenSSL may hold bytes that the fd does not show any more. */
static bool has_hidden(const weir_stream_t *s)
{
    return s->ssl != NULL && s->state == STREAM_OPEN && SSL_has_pending(s->ssl);
}

void stream_want_reading(weir_stream_t *s)
{
    if (s->is_paused || s->is_read_over || s->events == NULL) {
        ev_io_stop(proc->loop, &s->io);
        return;
    }
    stream_wait_for(s, EV_READ);
    if (has_hidden(s))
        ev_feed_event(proc->loop, &s->io, EV_READ);
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
        stream_want_reading(s);
}

void stream_own(weir_stream_t *s, const weir_stream_events_t *events, void *owner)
{
    stream_check(s);
    s->events = events;
    s->owner = owner;
    if (s->state == STREAM_OPEN)
        stream_want_reading(s);
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

weir_slice_t stream_principal(const weir_stream_t *s)
{
    stream_check(s);
    return weir_slice(s->principal, s->principal_len);
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

uint64_t stream_written(const weir_stream_t *s)
{
    return s->taken_bytes + stream_queued(s);
}

int stream_fileno(const weir_stream_t *s)
{
    stream_check(s);
    return s->io.fd;
}
