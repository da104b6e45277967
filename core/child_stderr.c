/* child_stderr.c: see child_stderr.h. */
#include "child_stderr.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "proc.h"
#include "timer.h"

/* A line of stderr longer than this is cut. */
#define LINE_MAX_BYTES 1000u
/* Lines of stderr that one child may have in the log in one window. */
#define LINES_PER_WINDOW 200u
#define WINDOW_MS 1000u
/* Bytes of stderr that are still read of a child that has gone. */
#define LAST_WORDS_MAX (64u << 10)
#define READ_BYTES 4096u

static void line_lost_say(child_stderr_t *e)
{
    if (e->lost > 0)
        log_write(WEIR_LOG_WARN, "%s[%d] stderr: %u lines were left out, more than %u a second", e->name, (int)e->pid,
                  e->lost, LINES_PER_WINDOW);
    e->lost = 0;
}

static void line_say(child_stderr_t *e, const char *p, size_t n)
{
    if (now_ms() - e->window_ms >= WINDOW_MS) {
        line_lost_say(e);
        e->window_ms = now_ms();
        e->lines = 0;
    }
    if (++e->lines > LINES_PER_WINDOW)
        e->lost++;
    else if (n > 0)
        log_write(WEIR_LOG_INFO, "%s[%d] stderr: %.*s%s", e->name, (int)e->pid, (int)n, p, e->is_cut ? "…" : "");
}

static void line_end(child_stderr_t *e)
{
    if (e->text != NULL)
        line_say(e, e->text, e->used);
    free(e->text);
    e->text = NULL;
    e->used = 0;
    e->is_cut = false;
}

/* Keep a piece of a line until its end comes; what is too much is dropped. */
static void line_keep(child_stderr_t *e, const char *p, size_t n)
{
    if (e->text == NULL)
        e->text = malloc(LINE_MAX_BYTES);
    size_t room = e->text == NULL ? 0 : LINE_MAX_BYTES - e->used;
    if (n > room)
        e->is_cut = true;
    n = n < room ? n : room;
    if (n > 0)
        memcpy(e->text + e->used, p, n);
    e->used += n;
}

static void lines_say(child_stderr_t *e, const char *p, size_t n)
{
    const char *end = p + n, *lf;
    while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        size_t used = (size_t)(lf - p);
        if (used > 0 && p[used - 1] == '\r')
            used--;
        if (e->text == NULL && used <= LINE_MAX_BYTES) {
            line_say(e, p, used);
        } else {
            line_keep(e, p, used);
            line_end(e);
        }
        p = lf + 1;
    }
    if (p < end)
        line_keep(e, p, (size_t)(end - p));
}

/* One read; false when there is nothing now, or will be nothing more. */
static bool stderr_read(child_stderr_t *e)
{
    char text[READ_BYTES];
    ssize_t n = read(e->fd, text, sizeof(text));
    if (n > 0) {
        lines_say(e, text, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    ev_io_stop(proc->loop, &e->readable);
    return false;
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop, (void)revents;
    stderr_read(w->data);
}

void child_stderr_init(child_stderr_t *e, const char *name)
{
    *e = (child_stderr_t){.name = name, .fd = -1};
    ev_init(&e->readable, on_readable);
    e->readable.data = e;
}

void child_stderr_begin(child_stderr_t *e, pid_t pid)
{
    e->pid = pid;
    ev_io_set(&e->readable, e->fd, EV_READ);
    ev_io_start(proc->loop, &e->readable);
}

void child_stderr_end(child_stderr_t *e)
{
    for (size_t i = 0; i < LAST_WORDS_MAX / READ_BYTES && stderr_read(e); i++)
        ;
    line_end(e);
    line_lost_say(e);
}

void child_stderr_close(child_stderr_t *e)
{
    ev_io_stop(proc->loop, &e->readable);
    if (e->fd >= 0)
        close(e->fd);
    free(e->text);
}
