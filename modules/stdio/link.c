/* link.c: a link of this transport is one child: messages go to its stdin and come from its stdout, one a line.
 *
 * A pipe_t is its link's from stdio_open() to pipe_forget(). Every change of state goes through pipe_move().
 *
 *   state     event                            next      what happens
 *   WAITING   the back-off is over             STARTING  the child is started
 *   WAITING   it cannot be started             GONE      link_down
 *   STARTING  the command runs                 UP        link_up
 *   STARTING  the command cannot be run        GONE      link_down: connect_failed
 *   UP        line                             UP        link_message
 *   UP        no first line in start_timeout   GONE      the child is stopped, link_down: server_died
 *   UP        stdout ends, or it has exited    ENDING    both are waited for: what it wrote last, and how it ended
 *   ENDING    both, or time-out                GONE      link_down: server_died
 *   any       close                            GONE      stdin is closed, the child is stopped
 *
 * Any call of the host may close the link: while one runs, a pipe_t that is GONE is kept (`depth`).
 */
#include "stdio.h"

#include <stdio.h>
#include <stdlib.h>

/* How long a child whose stdout has ended may take to exit before it is stopped. */
#define ENDING_MS 1000
/* How long a child may leave its stdin unread when requests have no time-out. */
#define WRITE_TIMEOUT_MS 60000
/* A message is written in one call, in this many pieces at most, its newline included. */
#define PARTS_MAX (WEIR_LANE_CHUNKS + 1)
/* Only a first message of up to this size is looked into. */
#define HANDSHAKE_MAX 16384

typedef enum pipe_state { PIPE_WAITING, PIPE_STARTING, PIPE_UP, PIPE_ENDING, PIPE_GONE } pipe_state_t;

typedef struct pipe {
    const weir_host_t *host;
    command_t *command; /* not to be touched when GONE, nor is */
    weir_link_t *link;
    weir_stream_t *stream;
    weir_child_t *child;
    pipe_state_t state;
    uint16_t depth;  /* calls of the host that are on the stack */
    bool has_spoken; /* a first line has come */
    bool is_eof;     /* of stdout */
    bool is_paused;
    bool is_awaited; /* the timer is start_timeout */
    weir_lines_t lines;
    weir_lane_t *lane;  /* what goes to stdin, when the chain has link modules */
    weir_timer_t timer; /* back-off, start_timeout, a life of COMMAND_WELL_MS, ENDING_MS */
    uint64_t started_ms;
    char *how; /* it ended; NULL: not known yet */
} pipe_t;

static void pipe_start(pipe_t *p);

/* ---- states ---- */

static void pipe_timer(pipe_t *p, uint64_t ms)
{
    weir_timeouts_t *queue = p->host->timeouts(ms);
    if (queue != NULL)
        p->host->timer_start(queue, &p->timer);
}

static void pipe_move(pipe_t *p, pipe_state_t state)
{
    p->state = state;
    p->is_awaited = false;
    p->host->timer_stop(&p->timer);
    if (state == PIPE_WAITING)
        pipe_timer(p, p->command->backoff_ms);
    else if (state == PIPE_UP)
        pipe_timer(p, COMMAND_WELL_MS);
    else if (state == PIPE_ENDING)
        pipe_timer(p, ENDING_MS);
}

static void pipe_release(pipe_t *p)
{
    if (p->depth > 0 || p->state != PIPE_GONE)
        return;
    p->host->lines_free(&p->lines);
    free(p->how);
    free(p);
}

/* Let go of everything. What is queued for stdin is still written, then stdin is closed; the host ends the child. */
static void pipe_forget(pipe_t *p)
{
    pipe_move(p, PIPE_GONE);
    p->link->carrier = NULL;
    p->link = NULL;
    if (p->lane != NULL && p->stream != NULL)
        (void)p->host->lane_flush(p->lane, WEIR_FLUSH_DRAIN); /* nobody is left to hear that it failed */
    p->host->lane_free(p->lane);
    p->lane = NULL;
    if (p->stream != NULL)
        p->host->stream_finish(p->stream);
    if (p->child != NULL)
        p->host->child_stop(p->child);
    p->stream = NULL;
    p->child = NULL;
}

static void pipe_down(pipe_t *p, weir_reason_t reason, const char *why)
{
    weir_link_t *link = p->link;
    bool is_young = p->host->now_ms() - p->started_ms < COMMAND_WELL_MS;
    if (p->started_ms > 0 && is_young)
        command_failed(p->command, p->started_ms, p->has_spoken);
    p->depth++;
    pipe_forget(p);
    p->host->link_down(link, reason, "%s", why);
    p->depth--;
    pipe_release(p);
}

/* ---- reading ---- */

static void pipe_spoke(pipe_t *p)
{
    if (p->has_spoken)
        return;
    p->has_spoken = true;
    if (p->is_awaited)
        pipe_move(p, PIPE_UP);
}

static void pipe_too_long(const pipe_t *p)
{
    p->host->log(WEIR_LOG_WARN, "%s: %s[%ld]: skipped a message longer than max_message (%llu bytes)",
                 p->link->server->upstream->name, p->link->server->name,
                 p->child == NULL ? 0L : p->host->child_pid(p->child),
                 (unsigned long long)p->link->server->upstream->max_message);
}

/* Hand on every whole line that was read, also to a link that was paused by the first of them. */
static void pipe_lines(pipe_t *p)
{
    weir_slice_t line;
    weir_lines_found_t found;
    size_t at = 0;
    while (p->state != PIPE_GONE && (found = p->host->lines_next(&p->lines, &at, p->link->server->upstream->max_message,
                                                                 &line)) != WEIR_LINES_MORE) {
        if (found == WEIR_LINES_TOO_LONG) {
            pipe_too_long(p);
        } else if (found == WEIR_LINES_LOST) {
            p->host->link_lost(p->link, line);
        } else if (line.n > 0) {
            pipe_spoke(p);
            (void)p->host->link_message(p->link, line); /* what is no message has been logged */
        }
    }
}

/* Whichever comes first waits for the other: what the child wrote last must not be lost, and its exit says more than the end
 * of its output. */
static void pipe_ending(pipe_t *p)
{
    if (p->is_eof && p->how != NULL)
        pipe_down(p, WEIR_REASON_SERVER_DIED, p->how);
    else if (p->state == PIPE_UP)
        pipe_move(p, PIPE_ENDING);
}

/* One read; false when there is nothing now, or the link has gone. */
static bool pipe_read(pipe_t *p)
{
    weir_slice_t room = p->host->lines_room(&p->lines);
    long n = room.n == 0 ? WEIR_EFAIL : p->host->stream_read(p->stream, (char *)room.p, room.n);
    if (n > 0) {
        p->host->lines_filled(&p->lines, (size_t)n);
        pipe_lines(p);
        return p->state != PIPE_GONE;
    }
    if (p->lines.filled == 0 || n != WEIR_EAGAIN)
        p->host->lines_free(&p->lines);
    p->is_eof = n != WEIR_EAGAIN;
    return false;
}

static void on_readable(void *owner)
{
    pipe_t *p = owner;
    p->depth++;
    pipe_read(p);
    if (p->is_eof && p->state != PIPE_GONE)
        pipe_ending(p);
    p->depth--;
    pipe_release(p);
}

static void on_drained(void *owner)
{
    pipe_t *p = owner;
    if (p->lane != NULL)
        p->host->lane_drained(p->lane);
}

/* Its stdin is closed. What has come from its stdout is still good. */
static void on_broken(void *owner, const char *why)
{
    pipe_t *p = owner;
    p->host->log(WEIR_LOG_DEBUG, "%s: its stdin: %s", p->link->server->upstream->name, why);
    p->depth++;
    while (!p->is_eof && pipe_read(p))
        ;
    p->is_eof = true;
    if (p->state != PIPE_GONE)
        pipe_ending(p);
    p->depth--;
    pipe_release(p);
}

/* ---- the child ---- */

static void on_started(void *owner)
{
    pipe_t *p = owner;
    if (p->state != PIPE_STARTING)
        return;
    pipe_move(p, p->is_eof ? PIPE_ENDING : PIPE_UP);
    if (p->is_eof)
        return;
    p->depth++;
    p->host->link_up(p->link);
    p->depth--;
    pipe_release(p);
}

static void on_exited(void *owner, const char *how)
{
    pipe_t *p = owner;
    p->child = NULL;
    if (p->state == PIPE_STARTING) {
        pipe_down(p, WEIR_REASON_CONNECT_FAILED, how);
        return;
    }
    p->how = strdup(how);
    if (p->how == NULL)
        pipe_down(p, WEIR_REASON_SERVER_DIED, how);
    else
        pipe_ending(p);
}

static void on_start_timeout(pipe_t *p)
{
    char why[128];
    snprintf(why, sizeof(why), "did not answer within start_timeout (%llu ms)",
             (unsigned long long)p->command->options->start_timeout_ms);
    pipe_down(p, WEIR_REASON_SERVER_DIED, why);
}

static void on_timer(void *arg)
{
    pipe_t *p = arg;
    if (p->state == PIPE_WAITING)
        pipe_start(p);
    else if (p->state == PIPE_UP && p->is_awaited)
        on_start_timeout(p);
    else if (p->state == PIPE_UP)
        command_well(p->command);
    else if (p->state == PIPE_ENDING && p->is_paused && !p->is_eof)
        pipe_move(p, PIPE_ENDING); /* a slow client is still to read what it wrote last */
    else if (p->state == PIPE_ENDING)
        pipe_down(p, WEIR_REASON_SERVER_DIED, p->how != NULL ? p->how : "closed its stdout");
}

static int pipe_fork(pipe_t *p, weir_error_t *err)
{
    static const weir_stream_events_t events = {.readable = on_readable, .drained = on_drained, .broken = on_broken};
    const command_options_t *o = p->command->options;
    char name[128];
    snprintf(name, sizeof(name), "%s/%u", p->command->server->upstream->name, ++p->command->started);
    weir_child_spec_t spec = {
        .name = name,
        .command = o->command,
        .env = o->env,
        .cwd = o->cwd,
        .user = o->user,
        .limit_memory = o->limit_memory,
        .limit_files = (uint64_t)o->limit_files,
        .limit_cpu_s = (o->limit_cpu_ms + 999) / 1000,
        .stop_timeout_ms = o->stop_timeout_ms,
        .events = &events,
        .exited = on_exited,
        .started = on_started,
    };
    p->started_ms = p->host->now_ms();
    p->child = p->host->child_start(&spec, p, &p->stream, err);
    if (p->child == NULL)
        return WEIR_EFAIL;
    const weir_upstream_t *up = p->command->server->upstream;
    p->host->stream_gather(p->stream);
    p->host->stream_limit(p->stream, up->buffer_limit,
                          up->reply_timeout_ms > 0 ? up->reply_timeout_ms : WRITE_TIMEOUT_MS);
    pipe_move(p, PIPE_STARTING);
    return WEIR_OK;
}

static void pipe_start(pipe_t *p)
{
    weir_error_t err;
    if (pipe_fork(p, &err) != WEIR_OK)
        pipe_down(p, WEIR_REASON_CONNECT_FAILED, err.text);
}

/* ---- what the host calls ---- */

/* What ends a message ends the last one of several. */
static int pipe_write(void *owner, const weir_chunk_t *parts, size_t n)
{
    pipe_t *p = owner;
    weir_chunk_t chunks[PARTS_MAX];
    if (p->stream == NULL || n >= PARTS_MAX)
        return WEIR_ECLOSED;
    memcpy(chunks, parts, n * sizeof(*parts));
    chunks[n] = (weir_chunk_t){.bytes = WEIR_LIT("\n")};
    return p->host->stream_write(p->stream, chunks, n + 1);
}

static int pipe_lane(pipe_t *p, weir_error_t *err)
{
    weir_lane_spec_t spec = {.link = p->link,
                             .joiner = p->host->joiner(WEIR_JOIN_LINES),
                             .max_message = p->link->server->upstream->max_message,
                             .frame = pipe_write,
                             .owner = p};
    if (p->link->server->upstream->has_lanes)
        p->lane = p->host->lane_new(&spec, err);
    return p->link->server->upstream->has_lanes && p->lane == NULL ? WEIR_EFAIL : WEIR_OK;
}

static int stdio_open(weir_link_t *link, weir_error_t *err)
{
    command_t *command = link->server->carrier;
    pipe_t *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return weir_error(err, "no memory for a link");
    p->host = command->host;
    p->command = command;
    p->link = link;
    if (pipe_lane(p, err) != WEIR_OK) {
        free(p);
        return WEIR_EFAIL;
    }
    p->timer = (weir_timer_t){.fire = on_timer, .arg = p};
    link->carrier = p;
    if (command->backoff_ms > 0) {
        pipe_move(p, PIPE_WAITING);
        return WEIR_OK;
    }
    if (pipe_fork(p, err) == WEIR_OK)
        return WEIR_OK;
    command_failed(command, p->started_ms, false);
    link->carrier = NULL;
    p->host->lane_free(p->lane);
    free(p);
    return WEIR_EFAIL;
}

static void stdio_close(weir_link_t *link)
{
    pipe_t *p = link->carrier;
    if (p == NULL)
        return;
    pipe_forget(p);
    pipe_release(p);
}

static bool is_handshake(const weir_envelope_t *env)
{
    return weir_slice_eq(env->method, WEIR_LIT("initialize")) || weir_slice_eq(env->method, WEIR_LIT("ping")) ||
           weir_slice_eq(env->method, WEIR_LIT("server/discover"));
}

/* start_timeout is for what a server that works answers at once; a tool may take its time, even as the first thing asked. */
static void pipe_await(pipe_t *p, const weir_chunk_t *parts, size_t n)
{
    const weir_host_t *host = p->host;
    weir_buf_t *buf = host->buf_new(HANDSHAKE_MAX);
    size_t used = 0;
    for (size_t i = 0; buf != NULL && i < n && used + parts[i].bytes.n <= HANDSHAKE_MAX; i++) {
        memcpy(buf->data + used, parts[i].bytes.p, parts[i].bytes.n);
        used += parts[i].bytes.n;
    }
    weir_envelope_t env;
    if (buf != NULL && host->message_scan(weir_slice(buf->data, used), &env) == WEIR_SCAN_OK && is_handshake(&env)) {
        p->is_awaited = true;
        pipe_timer(p, p->command->options->start_timeout_ms);
    }
    host->buf_unref(buf);
}

static int stdio_write(weir_link_t *link, const weir_chunk_t *parts, size_t n)
{
    pipe_t *p = link->carrier;
    if (p == NULL || p->stream == NULL)
        return WEIR_ECLOSED;
    if (!p->has_spoken && !p->is_awaited && p->state == PIPE_UP)
        pipe_await(p, parts, n);
    return p->lane != NULL ? p->host->lane_write(p->lane, parts, n, 0) : pipe_write(p, parts, n);
}

static uint32_t stdio_link_modules(const void *upstream_options, const char **why_not)
{
    (void)upstream_options;
    *why_not = "a child reads plain lines from its stdin";
    return WEIR_LINK_GATHERS;
}

static void stdio_pause(weir_link_t *link, bool is_paused)
{
    pipe_t *p = link->carrier;
    if (p == NULL || p->stream == NULL)
        return;
    p->is_paused = is_paused;
    p->host->stream_pause(p->stream, is_paused);
}

#define AT(member) offsetof(command_options_t, member)

static const weir_option_t command_options[] = {
    {.name = "command",
     .type = WEIR_TYPE_STRINGS,
     .offset = AT(command),
     .is_required = true,
     .doc = "the program and its arguments; looked up in PATH, run without a shell"},
    {.name = "env", .type = WEIR_TYPE_MAP, .offset = AT(env), .doc = "environment variables, added to weir's own"},
    {.name = "cwd", .type = WEIR_TYPE_PATH, .offset = AT(cwd), .doc = "the folder it runs in; default: weir's"},
    {.name = "user",
     .type = WEIR_TYPE_STRING,
     .offset = AT(user),
     .doc = "the user it runs as; weir has to be started as root"},
    {.name = "limit_memory",
     .type = WEIR_TYPE_SIZE,
     .offset = AT(limit_memory),
     .doc = "address space of each process (RLIMIT_AS); node needs several GiB of it; 0: no limit"},
    {.name = "limit_files",
     .type = WEIR_TYPE_INT,
     .offset = AT(limit_files),
     .min = 0,
     .max = 1 << 30,
     .doc = "open files of each process (RLIMIT_NOFILE); 0: weir's"},
    {.name = "limit_cpu",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(limit_cpu_ms),
     .doc = "CPU time of each process (RLIMIT_CPU), in whole seconds; 0: no limit"},
    {.name = "start_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(start_timeout_ms),
     .fallback = "30s",
     .min = 1,
     .max = 86400000,
     .doc = "from the first initialize, server/discover or ping to the first line of output"},
    {.name = "stop_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = AT(stop_timeout_ms),
     .fallback = "5s",
     .min = 1,
     .max = 86400000,
     .doc = "between closing its stdin and SIGTERM, and between SIGTERM and SIGKILL"},
    {.name = NULL},
};

const weir_connect_t stdio_connect = {
    .flags = WEIR_CONNECT_STREAM | WEIR_CONNECT_KEPT | WEIR_CONNECT_DEAR,
    .upstream_options = command_options,
    .upstream_options_size = sizeof(command_options_t),
    .server_open = command_open,
    .server_close = command_close,
    .open = stdio_open,
    .close = stdio_close,
    .write = stdio_write,
    .pause = stdio_pause,
    .link_modules = stdio_link_modules,
};
