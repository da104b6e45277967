/* watch.c: see watch.h. Signals are blocked and waited for between two looks, so that nothing happens in the midst of a drawing.
 *
 *   signal               what happens
 *   INT, TERM, HUP       the terminal is as it was, and it ends
 *   WINCH                drawn again, as large as the window is now
 *   TSTP                 the terminal is as it was, and it stops; drawn again when it goes on
 */
#include "watch.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "status_table.h"
#include "visit.h"

/* Another screen without a cursor, and back; the beginning; the rest of a line, of the screen. */
#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define SCREEN_END_OF_LINE "\033[K"
#define SCREEN_END "\033[J"

typedef struct look {
    json_t *status; /* NULL: none */
    double at;      /* in seconds */
} look_t;

typedef struct watch {
    const config_t *config;
    bool is_terminal;
    sigset_t signals;
    struct timespec pause;
    look_t now, before;
    weir_error_t err; /* of the last look, when it saw nothing */
} watch_t;

json_t *watch_look(const config_t *config, weir_error_t *err)
{
    char *body = visit_get(config, "/status", err);
    if (body == NULL)
        return NULL;
    json_t *status = json_loads(body, 0, NULL);
    free(body);
    if (status == NULL)
        weir_error(err, "the answer of admin: is not JSON");
    return status;
}

/* What was seen last is kept when nothing is seen now. */
static bool watch_see(watch_t *w)
{
    struct timespec ts;
    json_t *status = watch_look(w->config, &w->err);
    if (status == NULL)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    json_decref(w->before.status);
    w->before = w->now;
    w->now = (look_t){status, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9};
    w->err.text[0] = '\0';
    return true;
}

/* ---- drawing ---- */

static void window_size(table_frame_t *frame)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    frame->columns = is_known ? size.ws_col : 80;
    frame->rows = is_known ? size.ws_row : 24;
}

static void watch_say(const watch_t *w, const table_frame_t *frame)
{
    if (w->err.text[0] == '\0')
        (void)table_write(stdout, frame);
    else
        printf("weir: %.*s%s\n", frame->columns > 6 ? (int)frame->columns - 6 : (int)sizeof(w->err.text), w->err.text,
               frame->end_of_line == NULL ? "" : frame->end_of_line);
}

static bool watch_draw(const watch_t *w)
{
    table_frame_t frame = {.now = w->now.status, .before = w->before.status, .seconds = w->now.at - w->before.at};
    if (w->is_terminal) {
        window_size(&frame);
        frame.rows--; /* the cursor's */
        frame.end_of_line = SCREEN_END_OF_LINE;
        fputs(SCREEN_HOME, stdout);
    }
    watch_say(w, &frame);
    fputs(w->is_terminal ? SCREEN_END : "\n", stdout);
    return fflush(stdout) == 0;
}

static void screen_enter(const watch_t *w)
{
    if (w->is_terminal)
        fputs(SCREEN_ENTER, stdout);
}

static void screen_leave(const watch_t *w)
{
    if (w->is_terminal)
        fputs(SCREEN_LEAVE, stdout);
    (void)fflush(stdout);
}

/* ---- waiting ---- */

static void watch_stop_for_a_while(const watch_t *w)
{
    screen_leave(w);
    (void)raise(SIGSTOP);
    screen_enter(w);
}

/* Until it is time to look again; false: it is over. */
static bool watch_wait(const watch_t *w)
{
    int got;
    while ((got = sigtimedwait(&w->signals, NULL, &w->pause)) > 0) {
        if (got != SIGWINCH && got != SIGTSTP)
            return false;
        if (got == SIGTSTP)
            watch_stop_for_a_while(w);
        if (!watch_draw(w))
            return false;
    }
    return true;
}

static void watch_begin(watch_t *w, const config_t *config, uint64_t ms)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    *w = (watch_t){.config = config,
                   .is_terminal = isatty(STDOUT_FILENO),
                   .pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};
    sigemptyset(&w->signals);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&w->signals, signals[i]);
    (void)sigprocmask(SIG_BLOCK, &w->signals, NULL);
}

int watch_run(const config_t *config, uint64_t ms, weir_error_t *err)
{
    watch_t w;
    watch_begin(&w, config, ms);
    if (!watch_see(&w)) {
        *err = w.err;
        return WEIR_EFAIL;
    }
    screen_enter(&w);
    while (watch_draw(&w) && watch_wait(&w))
        (void)watch_see(&w);
    screen_leave(&w);
    json_decref(w.now.status);
    json_decref(w.before.status);
    return WEIR_OK;
}
