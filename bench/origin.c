/* origin.c: the MCP server behind every proxy under test. Each answer costs the same, so what differs is the proxy.
 *
 *   origin ADDRESS:PORT [-e MS]     Streamable HTTP on any path: one thread, epoll, keep-alive
 *   origin --stdio                  the same answers, a line each
 *
 *   POST, a request        JSON of constant size with the request's id in it; a session id is echoed, as SDKs do
 *   POST, initialize       a valid result and a new Mcp-Session-Id
 *   POST, a notification   202
 *   POST, "events":N       (an argument of the call) an event stream: N notifications, each written alone, then the result
 *   GET                    an event stream that stays open: silent, or with -e one notification every MS milliseconds
 *   DELETE                 200
 *
 * Sessions are given out and never checked. A reader that does not keep up is cut off; load and proxies do keep up.
 */
#include "net.h"
#include "wire.h"

#include <stdarg.h>
#include <sys/timerfd.h>

#define EVENTS_PER_TURN 256
#define IN_LIMIT (64 * 1024)
#define OUT_LIMIT 2048
#define CONNS_LIMIT (256 * 1024)
#define EVENTS_LIMIT 10000

#define TOOL_RESULT                                                                                                    \
    "{\"content\":[{\"type\":\"text\",\"text\":\"3 issues match: #4182 cart total is wrong after a coupon, "           \
    "#4177 search ignores accents, #4169 slow checkout\"}],\"isError\":false}"
#define TOOL_LIST                                                                                                      \
    "{\"tools\":[{\"name\":\"search_issues\",\"description\":\"Search the issues of a repository\","                   \
    "\"inputSchema\":{\"type\":\"object\"}}]}"
#define NOTIFICATION                                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"logger\":\"origin\","  \
    "\"data\":\"searched another thousand issues and found some that match\"}}"
#define EVENT_STREAM_HEAD                                                                                              \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"                                \
    "Transfer-Encoding: chunked\r\n"

/* ---- bytes to be written ---- */

typedef struct {
    char bytes[OUT_LIMIT];
    size_t len;
} out_t;

static __attribute__((format(printf, 2, 3))) void out_add(out_t *out, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(out->bytes + out->len, OUT_LIMIT - out->len, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= OUT_LIMIT - out->len) {
        fprintf(stderr, "origin: an answer of more than %d bytes\n", OUT_LIMIT);
        exit(1);
    }
    out->len += (size_t)len;
}

/* ---- JSON-RPC: what is answered ---- */

/* The client's own protocol version: it is offered what it asks for. */
static slice_t version_asked(const char *body, size_t len)
{
    static const char key[] = "\"protocolVersion\":\"";
    const char *at = memmem(body, len, key, sizeof(key) - 1);
    const char *end = at ? memchr(at + sizeof(key) - 1, '"', len - (size_t)(at + sizeof(key) - 1 - body)) : NULL;

    if (end == NULL) {
        return (slice_t){"2025-06-18", 10};
    }
    return slice_trim(at + sizeof(key) - 1, end);
}

static void answer_initialize(out_t *out, const char *body, size_t len)
{
    slice_t version = version_asked(body, len);

    out_add(out,
            "\"result\":{\"protocolVersion\":\"%.*s\",\"capabilities\":{\"tools\":{},\"logging\":{}},"
            "\"serverInfo\":{\"name\":\"origin\",\"version\":\"1.0.0\"}}}",
            (int)version.len, version.at);
}

static void answer(out_t *out, const envelope_t *env, const char *body, size_t len)
{
    out_add(out, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,", (int)env->id.len, env->id.at);
    if (slice_is(env->method, "\"tools/call\"")) {
        out_add(out, "\"result\":%s}", TOOL_RESULT);
    } else if (slice_is(env->method, "\"initialize\"")) {
        answer_initialize(out, body, len);
    } else if (slice_is(env->method, "\"tools/list\"")) {
        out_add(out, "\"result\":%s}", TOOL_LIST);
    } else if (slice_is(env->method, "\"ping\"") || slice_is(env->method, "\"logging/setLevel\"")) {
        out_add(out, "\"result\":{}}");
    } else {
        out_add(out, "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}");
    }
}

/* How many notifications the call wants before its result. */
static unsigned long events_asked(const char *body, size_t len)
{
    static const char key[] = "\"events\":";
    const char *at = memmem(body, len, key, sizeof(key) - 1);
    unsigned long count = at ? strtoul(at + sizeof(key) - 1, NULL, 10) : 0;

    return count < EVENTS_LIMIT ? count : EVENTS_LIMIT;
}

/* ---- stdio ---- */

static void write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(STDOUT_FILENO, bytes, len);

        if (wrote <= 0) {
            exit(0);
        }
        bytes += wrote;
        len -= (size_t)wrote;
    }
}

static void serve_line(const char *line, size_t len)
{
    envelope_t env;
    out_t out = {.len = 0};

    if (envelope_scan(&env, line, len) == WIRE_WHOLE && env.id.len > 0 && env.method.len > 0) {
        answer(&out, &env, line, len);
        out_add(&out, "\n");
        write_all(out.bytes, out.len);
    }
}

static int serve_stdio(void)
{
    static char in[1024 * 1024];
    size_t len = 0;

    for (;;) {
        ssize_t got = read(STDIN_FILENO, in + len, sizeof(in) - 1 - len);
        char *line = in;
        char *eol;

        if (got <= 0) {
            return 0;
        }
        len += (size_t)got;
        in[len] = '\0';
        while ((eol = memchr(line, '\n', len - (size_t)(line - in))) != NULL) {
            serve_line(line, (size_t)(eol - line));
            line = eol + 1;
        }
        len -= (size_t)(line - in);
        memmove(in, line, len);
    }
}

/* ---- HTTP ---- */

typedef struct {
    int fd;
    bool is_stream; /* a GET that is held open */
    size_t in_len;
    char *in; /* only while a request is incomplete */
} conn_t;

static int epoll;
static conn_t *conns[CONNS_LIMIT]; /* by descriptor */
static int conns_end;              /* one above the highest descriptor seen */

static void conn_open(int fd)
{
    conn_t *conn = calloc(1, sizeof(*conn));

    if (conn == NULL || fd >= CONNS_LIMIT) {
        die("conn_open");
    }
    conn->fd = fd;
    conns[fd] = conn;
    conns_end = fd >= conns_end ? fd + 1 : conns_end;
    epoll_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, conn);
}

/* Only ever called for the event that is being served, and a turn names each connection once. */
static void conn_close(conn_t *conn)
{
    conns[conn->fd] = NULL;
    close(conn->fd);
    free(conn->in);
    free(conn);
}

static bool conn_send(conn_t *conn, const char *bytes, size_t len)
{
    return send(conn->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void head_add(out_t *out, const char *status, const head_t *head, const envelope_t *env)
{
    static unsigned long sessions;

    out_add(out, "%s", status);
    if (env != NULL && slice_is(env->method, "\"initialize\"")) {
        out_add(out, "Mcp-Session-Id: 5f0c9a34-7be1-4d62-9c55-%012lx\r\n", ++sessions);
    } else if (head->session.len > 0) {
        out_add(out, "Mcp-Session-Id: %.*s\r\n", (int)head->session.len, head->session.at);
    }
}

/* N notifications, then the result: each event is a chunk and a write of its own, as servers write them. */
static bool serve_events(conn_t *conn, const head_t *head, const envelope_t *env, unsigned long events)
{
    out_t out = {.len = 0};
    out_t result = {.len = 0};

    head_add(&out, EVENT_STREAM_HEAD, head, NULL);
    out_add(&out, "\r\n");
    for (unsigned long i = 0; i < events; i++) {
        out_add(&out, "%zx\r\nevent: message\ndata: %s\n\n\r\n", sizeof(NOTIFICATION) - 1 + 23, NOTIFICATION);
        if (!conn_send(conn, out.bytes, out.len)) {
            return false;
        }
        out.len = 0;
    }
    answer(&result, env, "", 0);
    out_add(&out, "%zx\r\nevent: message\ndata: %.*s\n\n\r\n0\r\n\r\n", result.len + 23, (int)result.len, result.bytes);
    return conn_send(conn, out.bytes, out.len);
}

static bool serve_post(conn_t *conn, const head_t *head, const char *body)
{
    out_t out = {.len = 0};
    out_t result = {.len = 0};
    envelope_t env;
    unsigned long events = events_asked(body, head->content_length);

    if (envelope_scan(&env, body, head->content_length) != WIRE_WHOLE) {
        out_add(&out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    } else if (env.id.len == 0 || env.method.len == 0) {
        head_add(&out, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n", head, NULL);
        out_add(&out, "\r\n");
    } else if (events > 0) {
        return serve_events(conn, head, &env, events);
    } else {
        answer(&result, &env, body, head->content_length);
        head_add(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", head, &env);
        out_add(&out, "Content-Length: %zu\r\n\r\n%.*s", result.len, (int)result.len, result.bytes);
    }
    return conn_send(conn, out.bytes, out.len);
}

static bool serve_request(conn_t *conn, const head_t *head, const char *body)
{
    out_t out = {.len = 0};

    if (slice_is(head->start[0], "POST") && !head->is_chunked) {
        return serve_post(conn, head, body);
    }
    if (slice_is(head->start[0], "GET")) {
        conn->is_stream = true;
        head_add(&out, EVENT_STREAM_HEAD, head, NULL);
        out_add(&out, "\r\n");
    } else if (slice_is(head->start[0], "DELETE")) {
        out_add(&out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    } else {
        out_add(&out, "HTTP/1.1 411 Length Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        conn_send(conn, out.bytes, out.len);
        return false;
    }
    return conn_send(conn, out.bytes, out.len);
}

/* Keeps what is left of an incomplete request; most reads leave nothing. */
static bool conn_keep(conn_t *conn, const char *rest, size_t len)
{
    conn->in_len = len;
    if (len == 0) {
        return true;
    }
    if (conn->in == NULL) {
        conn->in = malloc(IN_LIMIT);
    }
    if (conn->in != NULL) {
        memcpy(conn->in, rest, len);
    }
    return conn->in != NULL;
}

/* Serves all that is whole in what came; false when the connection is to be closed. */
static bool conn_read(conn_t *conn)
{
    static char in[IN_LIMIT + 1];
    ssize_t got;
    size_t at = 0;
    size_t len;

    if (conn->in_len > 0) {
        memcpy(in, conn->in, conn->in_len);
    }
    got = recv(conn->fd, in + conn->in_len, IN_LIMIT - conn->in_len, 0);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN && conn->in_len < IN_LIMIT;
    }
    len = conn->in_len + (size_t)got;
    in[len] = '\0';
    while (at < len) {
        head_t head;
        wire_t state = head_parse(&head, in + at, len - at);

        if (state == WIRE_BAD) {
            return false;
        }
        if (state == WIRE_MORE || head.content_length > len - at - head.size) {
            break;
        }
        if (!serve_request(conn, &head, in + at + head.size)) {
            return false;
        }
        at += head.size + head.content_length;
        if (head.is_last) {
            return false;
        }
    }
    return conn_keep(conn, in + at, len - at);
}

static void tick(int timer)
{
    static const char event[] = "event: message\ndata: " NOTIFICATION "\n\n";
    uint64_t expirations;
    out_t out = {.len = 0};

    if (read(timer, &expirations, sizeof(expirations)) <= 0) {
        return;
    }
    out_add(&out, "%zx\r\n%s\r\n", sizeof(event) - 1, event);
    for (int fd = 0; fd < conns_end; fd++) {
        if (conns[fd] != NULL && conns[fd]->is_stream) {
            send(fd, out.bytes, out.len, MSG_NOSIGNAL); /* one that cannot take it misses it */
        }
    }
}

static int timer_start(long every_ms)
{
    struct itimerspec spec = {.it_interval = {every_ms / 1000, every_ms % 1000 * 1000000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    spec.it_value = spec.it_interval;
    if (timer < 0 || timerfd_settime(timer, 0, &spec, NULL) != 0) {
        die("timerfd");
    }
    return timer;
}

static _Noreturn void serve_http(const struct sockaddr_in *addr, long every_ms)
{
    int listener = socket_listen(addr);
    int timer = -1;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    if (every_ms > 0) {
        timer = timer_start(every_ms);
        epoll_watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN, &timer);
    }
    for (;;) {
        struct epoll_event events[EVENTS_PER_TURN];
        int count = epoll_wait(epoll, events, EVENTS_PER_TURN, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener) {
                for (int fd = socket_accept(listener); fd >= 0; fd = socket_accept(listener)) {
                    conn_open(fd);
                }
            } else if (events[i].data.ptr == &timer) {
                tick(timer);
            } else if (!conn_read(events[i].data.ptr)) {
                conn_close(events[i].data.ptr);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr;
    bool has_timer = argc == 4 && strcmp(argv[2], "-e") == 0;

    if (argc == 2 && strcmp(argv[1], "--stdio") == 0) {
        return serve_stdio();
    }
    if (argc != 2 && !has_timer) {
        fprintf(stderr, "usage: origin ADDRESS:PORT [-e MS] | origin --stdio\n");
        return 2;
    }
    addr = address_parse(argv[1]);
    raise_nofile();
    serve_http(&addr, has_timer ? atol(argv[3]) : 0);
}
