/* load.c: the MCP clients of the bench: one thread, epoll, C connections with one request in flight on each.
 *
 *   load [options] ADDRESS:PORT          tools/call as fast as the replies come, or at a fixed rate
 *   load idle [options] ADDRESS:PORT     opens C event streams (GET) and holds them until stdin closes
 *
 *   -c C      connections (32)                          -p PATH   (/mcp)
 *   -n N      calls in all, or                          -i        initialize a session on each connection first
 *   -d SECS   for so long (3)                           -w W      calls on each connection before it counts (10)
 *   -r RATE   calls a second, whether or not the        -e N      ask for N notifications before each result
 *             earlier ones have been answered           -s        print `ready`, then wait for a line on stdin
 *
 * Prints one line:  requests=N errors=N unsent=N seconds=S rate=R p50_us=U p99_us=U max_us=U
 * or, when idle:    streams=N errors=N, and after stdin closed: held=N
 *
 * A reply counts when its status is 200 and the body holds the result to this call's id (and, with -e, every event).
 * With -r a latency begins when the call was due, not when a connection was free to take it, so that a proxy which
 * stalls is charged for all who had to wait. The gaps between calls vary (evenly, 0 to twice the mean) from a fixed
 * seed: the same calls at the same times for every proxy.
 *
 *   step            sends                       goes on when                    next
 *   INITIALIZE      initialize                  200, a result to its id         INITIALIZED
 *   INITIALIZED     notifications/initialized   202                             WARM, or STREAM when idle
 *   WARM            tools/call                  W calls were answered           READY
 *   STREAM          GET                         200, an event stream            READY
 *   READY           tools/call, while it runs   the run is over                 DELETE, or the end
 *   DELETE          DELETE                      any reply                       GONE
 *
 * A connection that the proxy closes between two requests is opened again and nothing is counted; one that breaks while
 * a reply is owed is an error, and is opened again where it was.
 */
#include "net.h"

#include "histogram.h"
#include "wire.h"

#include <sys/prctl.h>

#define EVENTS_PER_TURN 256
#define REPLY_LIMIT (256 * 1024)
#define REQUEST_LIMIT 4096
#define SESSION_LIMIT 1536
#define CONNS_LIMIT 60000
#define OPENING_LIMIT 64 /* connections that are being set up at the same time */
#define SETUP_LIMIT_NS (120 * NSEC_PER_SEC)
#define DRAIN_LIMIT_NS (10 * NSEC_PER_SEC)
#define ERRORS_LIMIT 1000
#define FIRST_ID 1000000000ull /* ids keep ten digits, so requests keep their size */

typedef enum { INITIALIZE, INITIALIZED, WARM, STREAM, READY, DELETE, GONE } step_t;

typedef struct conn {
    int fd;
    step_t step;
    bool is_connected;
    bool is_busy; /* a reply is owed */
    bool is_free; /* on the list of those that can take a call */
    uint32_t warm_calls;
    uint64_t id;
    uint64_t due; /* when the call in flight was, or should have been, sent */
    size_t reply_len;
    char *reply;                 /* only while one is incomplete */
    char session[SESSION_LIMIT]; /* as a header line; "" without a session */
    struct conn *next_free;
} conn_t;

static struct {
    struct sockaddr_in addr;
    const char *authority;
    const char *path;
    uint32_t conns;
    uint32_t warm_calls;
    uint32_t events;
    uint64_t calls;
    double seconds;
    double rate;
    bool is_idle;
    bool has_sessions;
    bool is_stepped;
} opt = {.path = "/mcp", .conns = 32, .warm_calls = 10, .seconds = 3};

static int epoll;
static conn_t *conns;
static conn_t *free_conns; /* READY; those that have lost their connection since are skipped */
static uint32_t opened;
static uint32_t ready; /* those that have come as far as READY; less the streams that were lost again */
static uint32_t gone;
static uint64_t last_id = FIRST_ID;

/* The run itself: what happens between the start and the last reply. */
static struct {
    bool is_on;
    uint64_t start;
    uint64_t end;      /* no call is due after it */
    uint64_t next_due; /* with -r */
    uint64_t sent;
    uint64_t in_flight;
    uint64_t errors;
    uint64_t unsent;
    uint64_t last_reply;
    histogram_t latency;
} run;

static void conn_open(conn_t *conn);

static void fault(conn_t *conn, const char *what)
{
    static int told;

    if (told++ < 5) {
        fprintf(stderr, "load: connection %td, step %d, id %lu: %s\n", conn - conns, (int)conn->step,
                (unsigned long)conn->id, what);
    }
    if (++run.errors >= ERRORS_LIMIT) {
        fprintf(stderr, "load: gave up after %d errors\n", ERRORS_LIMIT);
        exit(1);
    }
}

/* ---- requests ---- */

/* The heads that the TypeScript SDK sends on Node. */
static int head_write(char *to, size_t room, const conn_t *conn, size_t body_len)
{
    return snprintf(to, room,
                    "POST %s HTTP/1.1\r\nhost: %s\r\nconnection: keep-alive\r\n%s%s"
                    "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
                    "accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n"
                    "accept-encoding: gzip, deflate\r\ncontent-length: %zu\r\n\r\n",
                    opt.path, opt.authority, conn->session,
                    conn->step == INITIALIZE ? "" : "mcp-protocol-version: 2025-06-18\r\n", body_len);
}

static int body_write(char *to, size_t room, const conn_t *conn)
{
    char events[32] = "";

    if (conn->step == INITIALIZE) {
        return snprintf(to, room,
                        "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                        "\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"load\",\"version\":\"1.0.0\"}}}",
                        (unsigned long)conn->id);
    }
    if (conn->step == INITIALIZED) {
        return snprintf(to, room, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    }
    if (opt.events > 0) {
        snprintf(events, sizeof(events), ",\"events\":%u", opt.events);
    }
    return snprintf(to, room,
                    "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"tools/call\",\"params\":{\"name\":\"search_issues\","
                    "\"arguments\":{\"repository\":\"acme/storefront\",\"query\":\"is:open label:regression "
                    "sort:updated-desc checkout total wrong after coupon\",\"include_closed\":false,"
                    "\"limit\":20%s}}}",
                    (unsigned long)conn->id, events);
}

/* GET or DELETE */
static int bare_write(char *to, size_t room, const conn_t *conn, const char *method)
{
    return snprintf(to, room,
                    "%s %s HTTP/1.1\r\nhost: %s\r\nconnection: keep-alive\r\n%s"
                    "accept: text/event-stream\r\nmcp-protocol-version: 2025-06-18\r\nuser-agent: node\r\n\r\n",
                    method, opt.path, opt.authority, conn->session);
}

/* A request always fits into an empty socket buffer: one that does not go in whole means the connection is gone. */
static void conn_send(conn_t *conn)
{
    char request[REQUEST_LIMIT];
    char body[REQUEST_LIMIT];
    int len;

    if (conn->step == STREAM || conn->step == DELETE) {
        len = bare_write(request, sizeof(request), conn, conn->step == STREAM ? "GET" : "DELETE");
    } else {
        int body_len;

        conn->id = ++last_id;
        body_len = body_write(body, sizeof(body), conn);
        len = head_write(request, sizeof(request), conn, (size_t)body_len);
        memcpy(request + len, body, (size_t)body_len);
        len += body_len;
    }
    conn->is_busy = true;
    if (send(conn->fd, request, (size_t)len, MSG_NOSIGNAL) != len) {
        shutdown(conn->fd, SHUT_RDWR); /* comes back as the end of the connection, where faults are counted */
    }
}

static void conn_call(conn_t *conn, uint64_t due)
{
    conn->due = due;
    run.sent++;
    run.in_flight++;
    conn_send(conn);
}

/* ---- the schedule ---- */

static bool has_calls_left(uint64_t now)
{
    if (!run.is_on || (opt.calls > 0 && run.sent >= opt.calls)) {
        return false;
    }
    return opt.rate > 0 ? run.next_due < run.end : now < run.end;
}

/* The gap to the next call of a fixed rate: xorshift64*, scaled to 0 … 2 / rate. */
static uint64_t gap_ns(void)
{
    static uint64_t seed = 0x9e3779b97f4a7c15;

    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint64_t)((double)((seed * 0x2545f4914f6cdd1d) >> 11) * 0x1p-53 * 2e9 / opt.rate);
}

/* Gives free connections the calls that are due. */
static void calls_send(void)
{
    uint64_t now = now_ns();

    while (free_conns != NULL && has_calls_left(now) && (opt.rate == 0 || run.next_due <= now)) {
        conn_t *conn = free_conns;
        uint64_t due = opt.rate > 0 ? run.next_due : now;

        free_conns = conn->next_free;
        conn->is_free = false;
        if (conn->is_connected) {
            run.next_due += opt.rate > 0 ? gap_ns() : 0;
            conn_call(conn, due);
        }
    }
}

/* ---- replies ---- */

static bool is_result(const conn_t *conn, const char *json, size_t len)
{
    envelope_t env;

    return envelope_scan(&env, json, len) == WIRE_WHOLE && env.has_result && env.id.len > 0 &&
           strtoull(env.id.at, NULL, 10) == conn->id;
}

/* Every notification that was asked for, then the result. */
static bool is_event_result(const conn_t *conn, const char *body, size_t len)
{
    const char *end = body + len;
    uint32_t notifications = 0;
    bool is_answered = false;

    while (body < end) {
        const char *eol = memchr(body, '\n', (size_t)(end - body));

        eol = eol ? eol : end;
        if (eol - body > 6 && memcmp(body, "data: ", 6) == 0) {
            is_answered = is_result(conn, body + 6, (size_t)(eol - body - 6));
            notifications += !is_answered;
        }
        body = eol + 1;
    }
    return is_answered && notifications == (conn->step == INITIALIZE ? 0 : opt.events);
}

static bool reply_fits(conn_t *conn, const head_t *head, const char *body, size_t len)
{
    if (conn->step == INITIALIZED) {
        return slice_is(head->start[1], "202");
    }
    if (conn->step == DELETE) {
        return true;
    }
    if (!slice_is(head->start[1], "200")) {
        return false;
    }
    if (conn->step == INITIALIZE && head->session.len > 0) {
        snprintf(conn->session, SESSION_LIMIT, "mcp-session-id: %.*s\r\n", (int)head->session.len, head->session.at);
    }
    return head->is_event_stream ? is_event_result(conn, body, len) : is_result(conn, body, len);
}

/* Takes the reply at `bytes` when it is whole. */
static wire_t reply_take(conn_t *conn, char *bytes, size_t len, head_t *head)
{
    wire_t state = head_parse(head, bytes, len);
    size_t used = head->content_length;
    size_t body = used;

    if (state == WIRE_WHOLE && conn->step == STREAM) {
        return slice_is(head->start[1], "200") && head->is_event_stream ? WIRE_WHOLE : WIRE_BAD;
    }
    if (state == WIRE_WHOLE && head->is_chunked) {
        state = chunks_join(bytes + head->size, len - head->size, &used, &body);
    }
    if (state != WIRE_WHOLE || head->size + used > len) {
        return state == WIRE_BAD ? WIRE_BAD : WIRE_MORE;
    }
    return reply_fits(conn, head, bytes + head->size, body) && head->size + used == len ? WIRE_WHOLE : WIRE_BAD;
}

/* ---- connections ---- */

static void conn_open(conn_t *conn)
{
    conn->fd = socket_connect(&opt.addr);
    conn->is_connected = false;
    conn->is_busy = false;
    conn->reply_len = 0;
    epoll_watch(epoll, EPOLL_CTL_ADD, conn->fd, EPOLLOUT, conn);
}

static void conn_close(conn_t *conn)
{
    close(conn->fd);
    conn->is_connected = false;
    if (conn->step == DELETE) {
        conn->step = GONE;
        gone++;
    } else if (conn->step == READY && opt.is_idle) {
        ready--;
    } else {
        conn_open(conn);
    }
}

static void conn_break(conn_t *conn, const char *why)
{
    if (conn->is_busy || !conn->is_connected) {
        fault(conn, why);
    }
    run.in_flight -= conn->is_busy && conn->step == READY;
    conn_close(conn);
}

/* Setup goes on with the next connection as one comes to its end. */
static void open_more(void)
{
    while (opened < opt.conns && opened - ready < OPENING_LIMIT) {
        conn_t *conn = &conns[opened++];

        conn->step = opt.has_sessions ? INITIALIZE : opt.is_idle ? STREAM : WARM;
        conn_open(conn);
    }
}

static void conn_next(conn_t *conn)
{
    if (conn->step == WARM && conn->warm_calls >= opt.warm_calls) {
        conn->step = READY;
        ready++;
    }
    if (conn->step != READY) {
        conn_send(conn);
    } else if (!opt.is_idle) {
        if (!conn->is_free) {
            conn->is_free = true;
            conn->next_free = free_conns;
            free_conns = conn;
        }
        calls_send();
    }
}

static void conn_replied(conn_t *conn)
{
    conn->is_busy = false;
    switch (conn->step) {
    case INITIALIZE:
        conn->step = INITIALIZED;
        break;
    case INITIALIZED:
        conn->step = opt.is_idle ? STREAM : WARM;
        break;
    case WARM:
        conn->warm_calls++;
        break;
    case STREAM:
        conn->step = READY;
        ready++;
        break;
    case READY:
        run.last_reply = now_ns();
        histogram_add(&run.latency, run.last_reply - conn->due);
        run.in_flight--;
        break;
    case DELETE:
    case GONE:
        break;
    }
}

/* Keeps the part of a reply that is there; most come whole. */
static void reply_keep(conn_t *conn, const char *bytes, size_t len)
{
    char *kept = realloc(conn->reply, len);

    if (kept == NULL) {
        die("realloc");
    }
    memcpy(kept, bytes, len);
    conn->reply = kept;
    conn->reply_len = len;
}

static void conn_read(conn_t *conn)
{
    static char in[REPLY_LIMIT + 1];
    head_t head;
    ssize_t got;
    size_t len;
    wire_t state;

    memcpy(in, conn->reply_len > 0 ? conn->reply : in, conn->reply_len);
    got = recv(conn->fd, in + conn->reply_len, REPLY_LIMIT - conn->reply_len, 0);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0 || (conn->step == READY && opt.is_idle)) {
        if (got <= 0) {
            conn_break(conn, "the connection ended before the reply did");
        }
        return; /* what an open stream says is not looked at */
    }
    len = conn->reply_len + (size_t)got;
    in[len] = '\0';
    state = conn->is_busy ? reply_take(conn, in, len, &head) : WIRE_BAD;
    if (state == WIRE_MORE) {
        reply_keep(conn, in, len);
        return;
    }
    if (state == WIRE_BAD) {
        fprintf(stderr, "load: %.300s\n", in);
        conn_break(conn, "not the reply it should be");
        return;
    }
    conn->reply_len = 0;
    conn_replied(conn);
    if (conn->step == DELETE || head.is_last) {
        conn_close(conn);
    } else {
        conn_next(conn);
    }
    open_more();
}

static void conn_event(conn_t *conn, uint32_t events)
{
    if (conn->is_connected) {
        conn_read(conn);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        conn_break(conn, "cannot connect");
    } else {
        conn->is_connected = true;
        epoll_watch(epoll, EPOLL_CTL_MOD, conn->fd, EPOLLIN, conn);
        conn_next(conn);
    }
}

/* ---- the course of things ---- */

/* Waits for events, but not past `wait_ns`; false when stdin has something to say. */
static bool turn(uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];
    struct timespec wait = {(time_t)(wait_ns / NSEC_PER_SEC), (long)(wait_ns % NSEC_PER_SEC)};
    int count = epoll_pwait2(epoll, events, EVENTS_PER_TURN, &wait, NULL);
    bool is_undisturbed = true;

    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL) {
            is_undisturbed = false;
        } else {
            conn_event(events[i].data.ptr, events[i].events);
        }
    }
    return is_undisturbed;
}

static void set_up(void)
{
    uint64_t deadline = now_ns() + SETUP_LIMIT_NS;

    open_more();
    while (ready < opt.conns) {
        turn(NSEC_PER_SEC / 10);
        if (now_ns() > deadline) {
            fprintf(stderr, "load: only %u of %u connections are ready after %llu s\n", ready, opt.conns,
                    SETUP_LIMIT_NS / NSEC_PER_SEC);
            exit(1);
        }
    }
}

/* Until the next call is due; 100 ms when that is not what we wait for. */
static uint64_t wait_ns(uint64_t now)
{
    uint64_t wait = NSEC_PER_SEC / 10;

    if (opt.rate > 0 && free_conns != NULL && has_calls_left(now)) {
        uint64_t until = run.next_due > now ? run.next_due - now : 0;

        wait = until < wait ? until : wait;
    }
    return wait;
}

static void run_calls(void)
{
    uint64_t now = now_ns();

    run.is_on = true;
    run.start = now;
    run.last_reply = now;
    run.end = now + (uint64_t)(opt.seconds * 1e9);
    run.next_due = now;
    calls_send();
    while ((has_calls_left(now) || run.in_flight > 0) && now < run.end + DRAIN_LIMIT_NS) {
        turn(wait_ns(now));
        calls_send();
        now = now_ns();
    }
    run.errors += run.in_flight;
    while (opt.rate > 0 && has_calls_left(now)) {
        run.next_due += gap_ns();
        run.unsent++;
    }
    run.unsent += opt.calls > run.sent ? opt.calls - run.sent : 0;
    run.is_on = false;
}

static void report(void)
{
    double seconds = (double)(run.last_reply - run.start) / 1e9;

    printf("requests=%lu errors=%lu unsent=%lu seconds=%.3f rate=%.0f p50_us=%.1f p99_us=%.1f max_us=%.1f\n",
           (unsigned long)run.latency.count, (unsigned long)run.errors, (unsigned long)run.unsent, seconds,
           seconds > 0 ? (double)run.latency.count / seconds : 0,
           (double)histogram_percentile(&run.latency, 0.50) / 1e3,
           (double)histogram_percentile(&run.latency, 0.99) / 1e3, (double)run.latency.largest / 1e3);
    fflush(stdout);
}

/* Sessions are taken down as they were set up, so that a stdio proxy ends the children of this run before the next. */
static void delete_sessions(void)
{
    uint64_t deadline = now_ns() + DRAIN_LIMIT_NS;

    for (uint32_t i = 0; i < opt.conns; i++) {
        if (conns[i].is_connected && !conns[i].is_busy) {
            conns[i].step = DELETE;
            conn_send(&conns[i]);
        } else {
            gone++;
        }
    }
    while (gone < opt.conns && now_ns() < deadline) {
        turn(NSEC_PER_SEC / 10);
    }
}

static void wait_for_stdin(char until)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != until) {
    }
}

static void hold_streams(void)
{
    printf("streams=%u errors=%lu\n", ready, (unsigned long)run.errors);
    fflush(stdout);
    epoll_watch(epoll, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, NULL);
    while (turn(NSEC_PER_SEC)) {
    }
    printf("held=%u\n", ready);
}

/* ---- options ---- */

static void usage(void)
{
    fprintf(stderr, "usage: load [idle] [-c C] [-n N | -d SECS] [-r RATE] [-i] [-w W] [-e N] [-s] [-p PATH] "
                    "ADDRESS:PORT\n");
    exit(2);
}

static void options(int argc, char **argv)
{
    int c;

    if (argc > 1 && strcmp(argv[1], "idle") == 0) {
        opt.is_idle = true;
        argc--;
        argv++;
    }
    while ((c = getopt(argc, argv, "c:n:d:r:iw:e:sp:")) != -1) {
        switch (c) {
        case 'c':
            opt.conns = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            opt.calls = strtoull(optarg, NULL, 10);
            opt.seconds = 600;
            break;
        case 'd':
            opt.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            opt.rate = strtod(optarg, NULL);
            break;
        case 'i':
            opt.has_sessions = true;
            break;
        case 'w':
            opt.warm_calls = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            opt.events = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            opt.is_stepped = true;
            break;
        case 'p':
            opt.path = optarg;
            break;
        default:
            usage();
        }
    }
    if (optind != argc - 1 || opt.conns == 0 || opt.conns > CONNS_LIMIT || opt.seconds <= 0 || opt.rate < 0) {
        usage();
    }
    opt.authority = argv[optind];
    opt.addr = address_parse(opt.authority);
}

int main(int argc, char **argv)
{
    options(argc, argv);
    raise_nofile();
    prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 µs, would be seen at p50 */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.conns, sizeof(*conns));
    if (conns == NULL) {
        die("calloc");
    }
    set_up();
    if (opt.is_idle) {
        hold_streams();
        return 0;
    }
    if (opt.is_stepped) {
        printf("ready\n");
        fflush(stdout);
        wait_for_stdin('\n');
    }
    run_calls();
    report();
    if (opt.is_stepped) {
        wait_for_stdin('\0');
    }
    if (opt.has_sessions) {
        delete_sessions();
    }
    return run.errors + run.unsent > 0;
}
