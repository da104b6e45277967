/* stream_life.c: the states of a byte stream, and how it ends. How it begins is in stream_open.c, what it does
 * meanwhile in stream.c, what it writes in stream_out.c.
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
#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dial.h"
#include "proc.h"
#include "stream_inside.h"
#include "tls.h"

#define LINGER_MS 5000u
#define CLOSED_MAGIC 0x434c5344u

void stream_close_fds(int rfd, int wfd)
{
    if (rfd >= 0)
        close(rfd);
    if (wfd >= 0 && wfd != rfd)
        close(wfd);
}

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
    stream_check(s);
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

void stream_wait_for(weir_stream_t *s, int events)
{
    if (ev_is_active(&s->io) && (s->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(proc->loop, &s->io);
    ev_io_set(&s->io, s->io.fd, events);
    ev_io_start(proc->loop, &s->io);
}

void stream_dial_over(weir_stream_t *s)
{
    dial_free(s->dial);
    s->dial = NULL;
}

static void free_stream(void *arg)
{
    weir_stream_t *s = arg;
    s->magic = CLOSED_MAGIC;
    free(s->why);
    free(s->principal);
    free(s);
}

void stream_close(weir_stream_t *s)
{
    stream_check(s);
    ev_io_stop(proc->loop, &s->io);
    stream_hurry(s);
    out_free(s);
    stream_dial_over(s);
    tls_end(s->ssl);
    s->ssl = NULL;
    stream_close_fds(s->io.fd, s->wfd);
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
    if (s->io.fd >= 0 && !s->is_read_over && !s->is_paused && s->events->readable != NULL)
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
    stream_dial_over(s);
    stream_move(s, STREAM_BROKEN);
    s->timer.fire = tell_broken;
    timer_at_turn_end(&s->timer);
}

void stream_why(weir_stream_t *s, const char *why)
{
    char *copy = strdup(why);
    if (copy == NULL)
        return;
    free(s->why);
    s->why = copy;
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

void stream_drop_late(weir_stream_t *s)
{
    char bytes[BUFSIZ];
    ssize_t n = read(s->io.fd, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        stream_close(s);
}

/* ---- what is queued leaves */

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events);

static void on_send_timeout(void *arg)
{
    weir_stream_t *s = arg;
    stream_break(s, "send_timeout: the other end has taken none of %zu queued bytes", s->out->bytes);
}

void stream_wait_for_room(weir_stream_t *s)
{
    struct ev_io *writable = &s->out->writable;
    if (!ev_is_active(writable)) {
        ev_io_init(writable, on_writable, s->wfd, EV_WRITE);
        writable->data = s;
        ev_io_start(proc->loop, writable);
    }
    if (s->send_timeouts == NULL)
        return;
    s->timer.fire = on_send_timeout;
    timer_start(s->send_timeouts, &s->timer);
}

/* WEIR_ECLOSED: the stream broke, or was closed after its end. */
static int flush(weir_stream_t *s)
{
    weir_error_t err;
    long written = out_flush(s, &err);
    if (written < 0) {
        stream_break(s, "%s", err.text);
        return WEIR_ECLOSED;
    }
    if (s->out->bytes > 0 && (written > 0 || !timer_is_running(&s->timer)))
        stream_wait_for_room(s);
    return WEIR_OK;
}

/* Write what can be written, and tell who waits for it. */
static void move_on(weir_stream_t *s)
{
    if (flush(s) != WEIR_OK)
        return;
    bool is_drained = s->out->is_full && (double)s->out->bytes <= 0.3 * (double)s->limit_bytes;
    if (is_drained)
        s->out->is_full = false;
    if (s->out->bytes == 0) {
        out_free(s);
        timer_stop(&s->timer);
        if (s->state == STREAM_FINISHING)
            linger(s);
    }
    if (is_drained && s->state == STREAM_OPEN && s->events != NULL && s->events->drained != NULL)
        s->events->drained(s->owner);
}

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop, (void)events;
    move_on(io->data);
}

static void on_turn_end(void *arg)
{
    weir_stream_t *s = arg;
    s->out->is_gathered = false;
    move_on(s);
}

void stream_gathered(weir_stream_t *s)
{
    if (s->out->is_gathered)
        return;
    s->out->is_gathered = true;
    s->out->leave = (weir_timer_t){.fire = on_turn_end, .arg = s};
    timer_at_turn_end(&s->out->leave);
}

void stream_hurry(weir_stream_t *s)
{
    if (s->out == NULL || !s->out->is_gathered)
        return;
    timer_stop(&s->out->leave);
    s->out->is_gathered = false;
    if (flush(s) == WEIR_OK && s->out->bytes == 0)
        out_free(s);
}

/* ---- the end */

void stream_finish(weir_stream_t *s)
{
    stream_check(s);
    s->events = NULL;
    stream_hurry(s);
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
