/* admin.c: see admin.h. All workers wait on the same socket, and whoever comes first serves.
 *
 *   visitor    event                   what happens
 *   asking     a whole head            answered: the stream is finished, the visitor freed
 *   asking     no HTTP, too large      answered with 400, 431, 505
 *   asking     5 s have passed         closed
 *   asking     gone, broken            closed
 *
 * A worker that drains since others follow it closes its copy of the socket: a reload must not look like an end to whoever watches
 * /readyz.
 */
#include "admin.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "command.h"
#include "http1.h"
#include "log.h"
#include "metrics.h"
#include "proc.h"
#include "status.h"
#include "stream.h"
#include "timer.h"
#include "upstream.h"

#define REQUEST_MAX_BYTES 4096u
#define REPLY_MAX_BYTES (8u << 20)
#define VISITORS_MAX 64
#define PATIENCE_MS 5000
#define STAND_BACK_MS 100
/* A turn of the loop: a socket is closed when the loop has let go of it, for epoll knows it by what other processes have open too. */
#define LET_GO_MS 1

struct admin {
    struct ev_io io;
    weir_timer_t stand_back; /* while it runs the socket is not looked at */
    weir_timeouts_t *stand_backs, *patience;
    weir_list_t visitors;
    size_t nvisitors;
    bool is_ready;
};

typedef struct visitor {
    weir_list_t node; /* in admin->visitors */
    struct admin *admin;
    weir_stream_t *stream;
    weir_timer_t timer;
    size_t have, seen;
    char request[REQUEST_MAX_BYTES];
} visitor_t;

typedef struct answer {
    uint16_t status;
    const char *type;
    const char *body; /* NULL: the status's phrase */
} answer_t;

static void stand_back(struct admin *admin)
{
    ev_io_stop(proc->loop, &admin->io);
    timer_start(admin->stand_backs, &admin->stand_back);
}

static void visitor_free(visitor_t *v)
{
    timer_stop(&v->timer);
    weir_list_remove(&v->node);
    v->admin->nvisitors--;
    free(v);
}

static void visitor_close(visitor_t *v)
{
    stream_close(v->stream);
    visitor_free(v);
}

/* --- the answer --- */

static void visitor_answer(visitor_t *v, const answer_t *answer, bool is_head_only)
{
    const char *phrase = http1_reason(answer->status), *body = answer->body == NULL ? phrase : answer->body;
    const char *newline = answer->body == NULL ? "\n" : "";
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.0 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                     "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                     answer->status, phrase, answer->type, strlen(body) + strlen(newline),
                     answer->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    weir_chunk_t parts[] = {
        {.bytes = weir_slice(head, (size_t)n)}, {.bytes = weir_slice_str(body)}, {.bytes = weir_slice_str(newline)}};
    /* A visitor that has gone is no failure; the stream is finished either way. */
    (void)stream_write(v->stream, parts, is_head_only ? 1 : newline[0] == '\0' ? 2 : 3);
    stream_finish(v->stream);
    visitor_free(v);
}

static void visitor_refuse(visitor_t *v, uint16_t status)
{
    visitor_answer(v, &(answer_t){.status = status, .type = "text/plain"}, false);
}

/* `text` is freed; NULL: there was no memory for it. */
static void answer_text(visitor_t *v, const char *type, char *text, bool is_head_only)
{
    if (text == NULL)
        visitor_refuse(v, 500);
    else
        visitor_answer(v, &(answer_t){200, type, text}, is_head_only);
    free(text);
}

static bool path_is(weir_slice_t target, const char *path)
{
    const char *query = target.n == 0 ? NULL : memchr(target.p, '?', target.n);
    if (query != NULL)
        target.n = (size_t)(query - target.p);
    return weir_slice_eq(target, weir_slice_str(path));
}

/* Only from this machine, and from no web page that is open on it: a browser says where a POST comes from. */
static bool visitor_may_command(const visitor_t *v, const weir_head_t *head)
{
    weir_slice_t peer = stream_peer(v->stream);
    bool is_near = peer.n == 0 || weir_slice_starts(peer, WEIR_LIT("127.")) ||
                   weir_slice_starts(peer, WEIR_LIT("unix")) || weir_slice_eq(peer, WEIR_LIT("::1"));
    return is_near && weir_head_value(head, WEIR_FIELD_ORIGIN).n == 0;
}

static void visitor_command(visitor_t *v, const weir_head_t *head)
{
    weir_error_t err = {"done"};
    uint16_t status = 403;
    if (visitor_may_command(v, head))
        status =
            command_run(weir_slice(head->target.p + strlen(COMMAND_PATH), head->target.n - strlen(COMMAND_PATH)), &err);
    else
        weir_error(&err, "commands are taken from this machine only");
    size_t n = strlen(err.text);
    snprintf(err.text + (n < sizeof(err.text) - 1 ? n : n - 1), 2, "\n");
    visitor_answer(v, &(answer_t){status, "text/plain", err.text}, false);
}

static bool has_kept_upstreams(void)
{
    WEIR_LIST_EACH(&proc->upstreams, it)
        if (WEIR_CONTAINER(it, upstream_t, node)->is_kept)
            return true;
    return false;
}

static void answer_ready(visitor_t *v, bool is_head_only)
{
    if (!v->admin->is_ready)
        visitor_answer(v, &(answer_t){503, "text/plain", "draining\n"}, is_head_only);
    else if (has_kept_upstreams() && !channels_are_up())
        visitor_answer(v, &(answer_t){503, "text/plain", "no keeper is up\n"}, is_head_only);
    else
        visitor_answer(v, &(answer_t){200, "text/plain", "ok\n"}, is_head_only);
}

static void visitor_serve(visitor_t *v, const weir_head_t *head)
{
    if (weir_slice_starts(head->target, WEIR_LIT(COMMAND_PATH)) && weir_slice_eq(head->method, WEIR_LIT("POST"))) {
        visitor_command(v, head);
        return;
    }
    bool is_head_only = weir_slice_eq(head->method, WEIR_LIT("HEAD"));
    bool is_known = path_is(head->target, "/healthz") || path_is(head->target, "/readyz") ||
                    path_is(head->target, "/status") || path_is(head->target, "/metrics");
    if (!is_known)
        visitor_refuse(v, 404);
    else if (!is_head_only && !weir_slice_eq(head->method, WEIR_LIT("GET")))
        visitor_refuse(v, 405);
    else if (path_is(head->target, "/status"))
        answer_text(v, "application/json", status_text(v->admin->is_ready), is_head_only);
    else if (path_is(head->target, "/metrics"))
        answer_text(v, METRICS_TYPE, metrics_text(v->admin->is_ready), is_head_only);
    else if (path_is(head->target, "/readyz"))
        answer_ready(v, is_head_only);
    else
        visitor_answer(v, &(answer_t){200, "text/plain", "ok\n"}, is_head_only);
}

/* --- the request --- */

static void visitor_parse(visitor_t *v)
{
    weir_head_t head;
    size_t used;
    weir_parse_t result = http1_parse_request(v->request, v->have, v->seen, &head, &used);
    v->seen = v->have;
    switch (result) {
    case WEIR_PARSE_DONE:
        visitor_serve(v, &head);
        break;
    case WEIR_PARSE_MORE:
        if (v->have == sizeof(v->request))
            visitor_refuse(v, 431);
        break;
    case WEIR_PARSE_BAD:
        visitor_refuse(v, 400);
        break;
    case WEIR_PARSE_TOO_LARGE:
        visitor_refuse(v, 431);
        break;
    case WEIR_PARSE_VERSION:
        visitor_refuse(v, 505);
        break;
    }
}

static void on_readable(void *owner)
{
    visitor_t *v = owner;
    long n = stream_read(v->stream, v->request + v->have, sizeof(v->request) - v->have);
    if (n == WEIR_EAGAIN)
        return;
    if (n <= 0) {
        visitor_close(v);
        return;
    }
    v->have += (size_t)n;
    visitor_parse(v);
}

static void on_broken(void *owner, const char *why)
{
    (void)why;
    visitor_close(owner);
}

static void on_patience(void *arg)
{
    visitor_close(arg);
}

static const weir_stream_events_t visitor_events = {.readable = on_readable, .broken = on_broken};

/* --- the door --- */

static void visitor_new(struct admin *admin, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    weir_error_t err = {""};
    visitor_t *v = malloc(sizeof(*v));
    weir_stream_t *stream = stream_accept(fd, peer, peer_len, NULL, &err);
    if (v == NULL || stream == NULL) {
        log_write(WEIR_LOG_ERROR, "admin: a visitor could not be taken: %s", stream == NULL ? err.text : "no memory");
        if (stream != NULL)
            stream_close(stream);
        free(v);
        return;
    }
    v->admin = admin;
    v->stream = stream;
    v->timer = (weir_timer_t){.fire = on_patience, .arg = v};
    v->have = v->seen = 0;
    weir_list_append(&admin->visitors, &v->node);
    admin->nvisitors++;
    stream_limit(stream, REPLY_MAX_BYTES, PATIENCE_MS);
    stream_own(stream, &visitor_events, v);
    timer_start(admin->patience, &v->timer);
}

static void admin_accept(struct admin *admin)
{
    while (admin->nvisitors < VISITORS_MAX) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(admin->io.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            visitor_new(admin, fd, (struct sockaddr *)&peer, len);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    /* Too many visitors, or no descriptor for one more: both pass. */
    stand_back(admin);
}

static void on_visitors(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop, (void)events;
    struct admin *admin = io->data;
    admin_accept(admin);
}

static void on_stand_back(void *arg)
{
    struct admin *admin = arg;
    ev_io_start(proc->loop, &admin->io);
    admin_accept(admin);
}

struct admin *admin_start(int fd, weir_error_t *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    weir_timeouts_t *patience = timers_get(PATIENCE_MS), *stand_backs = timers_get(STAND_BACK_MS);
    if (admin == NULL || patience == NULL || stand_backs == NULL) {
        free(admin);
        weir_error(err, "admin: no memory");
        return NULL;
    }
    admin->patience = patience;
    admin->stand_backs = stand_backs;
    admin->stand_back = (weir_timer_t){.fire = on_stand_back, .arg = admin};
    admin->is_ready = true;
    weir_list_init(&admin->visitors);
    ev_io_init(&admin->io, on_visitors, fd, EV_READ);
    admin->io.data = admin;
    ev_io_start(proc->loop, &admin->io);
    return admin;
}

bool admin_is_idle(const struct admin *admin)
{
    return admin->nvisitors == 0;
}

void admin_stop(struct admin *admin)
{
    ev_io_stop(proc->loop, &admin->io);
    timer_stop(&admin->stand_back);
    WEIR_LIST_EACH(&admin->visitors, it)
        visitor_close(WEIR_CONTAINER(it, visitor_t, node));
    free(admin);
}

static void admin_close(void *arg)
{
    struct admin *admin = arg;
    close(admin->io.fd);
}

void admin_drain(struct admin *admin, bool is_followed)
{
    if (!is_followed) {
        admin->is_ready = false;
        return;
    }
    ev_io_stop(proc->loop, &admin->io);
    admin->stand_back.fire = admin_close;
    timer_start(timers_get(LET_GO_MS), &admin->stand_back);
}
