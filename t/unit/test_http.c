/* test_http.c: the http module as a host sees it: build/modules/http.so, real streams, timers and parsers, and a host whose
 * exchanges are answered by the test.
 */
#include "loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../modules/http/edge.h"
#include "../../modules/http/server.h"
#include "exchange.h"
#include "failure.h"
#include "guard.h"
#include "host.h"
#include "listener.h"
#include "stream.h"

/* ---- the world: one listener, one server, and the test in the middle and at both ends ---- */

#define HEARD_MAX (8u << 20)

static struct world {
    weir_host_t host;
    const weir_transport_t *transport;
    edge_options_t edge_options;
    upstream_options_t upstream_options;
    server_options_t server_options;
    void *edge;
    bool is_loopback;
    int client, server; /* the test's ends */
    char *heard;        /* by the client */
    size_t heard_n;
    bool has_ended; /* the client has read the end */
    /* exchanges */
    weir_exchange_t *ex; /* the one that was started last and has not ended */
    unsigned started, refused, abandoned, drained;
    weir_reason_t reason;
    char message[65536];
    size_t message_n;
    bool answers; /* at once, with the message itself */
    uint64_t sent;
    void *memory[64];
    size_t nmemory;
    /* links */
    weir_upstream_t upstream;
    weir_server_t target;
    weir_link_t link;
    unsigned ups, downs, frees, heads, ends, flushes;
    uint16_t status;
    char body[65536];
    size_t body_n;
} w;

static weir_exchange_t *fake_new(weir_listener_t *listener, void *client)
{
    weir_exchange_t *ex = calloc(1, sizeof(*ex));
    assert_non_null(ex);
    ex->magic = WEIR_EXCHANGE_MAGIC;
    ex->listener = listener;
    ex->client = client;
    return ex;
}

static void ended(weir_exchange_t *ex)
{
    buf_unref(ex->body.buf);
    if (w.ex == ex)
        w.ex = NULL;
    free(ex);
}

static void answer(weir_slice_t body)
{
    weir_exchange_t *ex = w.ex;
    weir_reply_t reply = {.status = 200,
                          .content_type = WEIR_LIT("application/json"),
                          .content_length = (int64_t)body.n,
                          .has_body = true};
    weir_chunk_t chunk = {.bytes = body};
    w.transport->accept->reply_head(ex, &reply);
    w.transport->accept->reply_bytes(ex, &chunk, 1);
    w.transport->accept->reply_end(ex);
    ended(ex);
}

static void fake_start(weir_exchange_t *ex)
{
    assert_null(w.ex);
    w.ex = ex;
    w.started++;
    w.message_n = ex->message.bytes.n;
    if (w.message_n > 0)
        memcpy(w.message, ex->message.bytes.p, w.message_n < sizeof(w.message) ? w.message_n : sizeof(w.message));
    if (w.answers)
        answer(ex->message.bytes);
}

static void fail_with(weir_exchange_t *ex, weir_reason_t reason, const char *text)
{
    weir_failure_t failure = failure_of(reason, weir_slice_str(text));
    (w.transport->accept->fail)(ex, &failure); /* cmocka has a macro of that name */
    ended(ex);
}

static void fake_refuse(weir_exchange_t *ex, weir_reason_t reason, const char *format, ...)
{
    (void)format;
    w.refused++;
    w.reason = reason;
    fail_with(ex, reason, "refused");
}

static void fake_abandon(weir_exchange_t *ex)
{
    w.abandoned++;
    ended(ex);
}

static void fake_drained(weir_exchange_t *ex)
{
    (void)ex;
    w.drained++;
}

static void fake_sent(weir_exchange_t *ex, uint64_t bytes)
{
    (void)ex;
    w.sent += bytes;
}

static void *fake_alloc(weir_exchange_t *ex, size_t n)
{
    (void)ex;
    assert_true(w.nmemory < 64);
    return w.memory[w.nmemory++] = malloc(n > 0 ? n : 1);
}

static weir_reason_t fake_guard_host(const weir_listener_t *listener, const weir_guard_t *guard,
                                     const weir_head_t *head, weir_error_t *err)
{
    (void)listener;
    weir_listener_t here = {.is_loopback = w.is_loopback};
    return guard_host(&here, guard, head, err);
}

static bool fake_is_shared(const weir_listener_t *listener)
{
    (void)listener;
    return false;
}

static const weir_codings_t *fake_listener_codings(const weir_listener_t *listener)
{
    (void)listener;
    return NULL;
}

static const weir_codings_t *fake_upstream_codings(const weir_upstream_t *upstream)
{
    (void)upstream;
    return NULL;
}

static void quiet(weir_level_t level, const char *format, ...)
{
    (void)level, (void)format;
}

/* ---- the same for links */

static void fake_up(weir_link_t *link)
{
    (void)link;
    w.ups++;
}

static void fake_down(weir_link_t *link, weir_reason_t reason, const char *format, ...)
{
    (void)link, (void)format;
    w.downs++;
    w.reason = reason;
}

static void fake_free_again(weir_link_t *link)
{
    (void)link;
    w.frees++;
}

static int fake_head(weir_exchange_t *ex, const weir_head_t *head)
{
    (void)ex;
    w.heads++;
    w.status = head->status;
    return WEIR_OK;
}

static int fake_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    (void)ex;
    w.flushes += n == 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(chunks[i].bytes.n < sizeof(w.body) - w.body_n);
        memcpy(w.body + w.body_n, chunks[i].bytes.p, chunks[i].bytes.n);
        w.body_n += chunks[i].bytes.n;
    }
    return WEIR_OK;
}

static void fake_end(weir_exchange_t *ex)
{
    (void)ex;
    w.ends++;
}

static int fake_address(weir_server_t *server, const char *host, uint16_t port, bool is_tls, const weir_reach_t *reach,
                        weir_error_t *err)
{
    (void)server, (void)reach, (void)err;
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 3000);
    assert_false(is_tls);
    return WEIR_OK;
}

static weir_stream_t *made_stream(int *other)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *other = fds[1];
    weir_stream_t *stream = stream_fd(fds[0], NULL);
    assert_non_null(stream);
    return stream;
}

static const weir_stream_events_t *link_events;
static void *link_owner;

static weir_stream_t *fake_connect(weir_link_t *link, const weir_stream_events_t *events, void *owner,
                                   weir_error_t *err)
{
    (void)link, (void)err;
    weir_stream_t *stream = made_stream(&w.server);
    stream_own(stream, events, owner);
    link_events = events;
    link_owner = owner;
    return stream;
}

/* ---- arrangement ---- */

static const weir_transport_t *module_transport(void)
{
    static void *so;
    if (so == NULL)
        so = dlopen("build/modules/http.so", RTLD_NOW | RTLD_LOCAL);
    if (so == NULL)
        fail_msg("%s", dlerror());
    const weir_module_t *module = dlsym(so, "weir_module");
    assert_non_null(module);
    return module->transport;
}

static int begin(void **state)
{
    process_begin(state);
    w = (struct world){.client = -1, .server = -1};
    w.host = *host_table();
    w.host.log = quiet;
    w.host.exchange_new = fake_new;
    w.host.exchange_start = fake_start;
    w.host.exchange_refuse = fake_refuse;
    w.host.exchange_abandon = fake_abandon;
    w.host.exchange_drained = fake_drained;
    w.host.exchange_sent = fake_sent;
    w.host.exchange_alloc = fake_alloc;
    w.host.guard_host = fake_guard_host;
    w.host.listener_is_shared = fake_is_shared;
    w.host.listener_codings = fake_listener_codings;
    w.host.upstream_codings = fake_upstream_codings;
    w.host.link_up = fake_up;
    w.host.link_down = fake_down;
    w.host.link_free_again = fake_free_again;
    w.host.reply_head = fake_head;
    w.host.reply_bytes = fake_bytes;
    w.host.reply_end = fake_end;
    w.host.server_address = fake_address;
    w.host.stream_connect = fake_connect;
    w.transport = module_transport();
    w.heard = malloc(HEARD_MAX + 1);
    w.edge_options = (edge_options_t){
        .max_head = 16384,
        .max_message = 4 << 20,
        .buffer_limit = 262144,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 10000,
        .idle_timeout_ms = 10000,
        .send_timeout_ms = 10000,
        .keepalive_requests = 1000,
    };
    w.upstream_options = (upstream_options_t){.send_timeout_ms = 10000, .idle_timeout_ms = 10000, .max_head = 16384};
    w.server_options = (server_options_t){.url = "http://127.0.0.1:3000/mcp"};
    return 0;
}

static void turns(unsigned n)
{
    while (n-- > 0)
        ev_run(proc->loop, EVRUN_NOWAIT);
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    turns(3);
}

static int end(void **state)
{
    hang_up(&w.client);
    if (w.edge != NULL)
        w.transport->accept->destroy(w.edge);
    if (w.link.carrier != NULL)
        w.transport->connect->close(&w.link);
    if (w.target.carrier != NULL)
        w.transport->connect->server_close(&w.target);
    hang_up(&w.server);
    for (size_t i = 0; i < w.nmemory; i++)
        free(w.memory[i]);
    free(w.heard);
    return process_end(state);
}

static void client_connects(void)
{
    if (w.edge == NULL)
        w.edge = w.transport->accept->create(&w.host, NULL, &w.edge_options, NULL);
    assert_non_null(w.edge);
    if (w.client >= 0)
        close(w.client);
    w.heard_n = 0;
    w.heard[0] = '\0';
    w.has_ended = false;
    w.transport->accept->open(w.edge, made_stream(&w.client));
}

static void hear(void)
{
    long n;
    while (!w.has_ended && (n = read(w.client, w.heard + w.heard_n, HEARD_MAX - w.heard_n)) >= 0) {
        w.heard_n += (size_t)n;
        w.has_ended = n == 0;
    }
    w.heard[w.heard_n] = '\0';
}

static void say_to(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EAGAIN) {
            turns(1);
            continue;
        }
        assert_true(done > 0);
        p += done;
        n -= (size_t)done;
    }
}

static void say(const char *text)
{
    say_to(w.client, text, strlen(text));
    turns(3);
    hear();
}

static void expect(const char *text)
{
    hear();
    if (strstr(w.heard, text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, w.heard);
}

static void expect_no(const char *text)
{
    hear();
    if (strstr(w.heard, text) != NULL)
        fail_msg("\"%s\" in:\n%s", text, w.heard);
}

static unsigned count(const char *text)
{
    unsigned n = 0;
    for (const char *p = w.heard; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define POST "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#define PING_POST POST "Content-Length: 40\r\n\r\n" PING
#define CHUNKED_POST                                                                                                   \
    POST "Transfer-Encoding: "                                                                                         \
         "chunked\r\n\r\na;ext=\"1\"\r\n{\"jsonrpc\"\r\n1e\r\n:\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n"              \
         "0\r\nTrailer: x\r\n\r\n"

/* ---- requests ---- */

static void a_request_is_answered_and_the_connection_kept(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    say(PING_POST);
    expect("HTTP/1.1 200 OK\r\n");
    expect("Content-Length: 40\r\n");
    expect(PING);
    expect_no("Connection:");
    say(PING_POST);
    assert_int_equal(count(PING), 2);
    assert_int_equal(w.sent, w.heard_n);
}

static void an_idle_client_holds_no_buffer(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    turns(2);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    say(PING_POST);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    assert_true(sizeof(client_t) <= 200);
}

static void a_request_cut_anywhere_is_one_request(void **state)
{
    (void)state;
    static const char *const requests[] = {PING_POST, CHUNKED_POST};
    w.answers = true;
    for (size_t r = 0; r < 2; r++)
        for (size_t at = 1; at < strlen(requests[r]); at++) {
            client_connects();
            say_to(w.client, requests[r], at);
            turns(2);
            say(requests[r] + at);
            expect(PING);
            assert_int_equal(w.message_n, 40);
            assert_int_equal(w.refused, 0);
        }
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    for (const char *p = CHUNKED_POST; *p != '\0'; p++) {
        say_to(w.client, p, 1);
        turns(1);
    }
    turns(2);
    expect(PING);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    char many[16384] = "";
    for (int i = 0; i < 50; i++)
        sprintf(many + strlen(many),
                POST "Content-Length: 41\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", 10 + i);
    w.answers = true;
    client_connects();
    say(many);
    assert_int_equal(w.started, 50);
    assert_int_equal(count("HTTP/1.1 200 OK"), 50);
    const char *p = w.heard;
    for (int i = 0; i < 50; i++) {
        char id[32];
        sprintf(id, "\"id\":%d", 10 + i);
        assert_non_null(p = strstr(p, id));
    }
}

static void a_pipelined_request_waits_for_the_one_before(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST PING_POST);
    assert_int_equal(w.started, 1);
    answer(WEIR_LIT("{\"one\":1}"));
    assert_int_equal(w.started, 1); /* not within the call that answered the first */
    turns(2);
    assert_int_equal(w.started, 2);
    answer(WEIR_LIT("{\"two\":2}"));
    turns(1);
    expect("{\"two\":2}");
}

static void what_is_pipelined_is_bounded(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST);
    static char flood[65536];
    memset(flood, '\n', sizeof(flood));
    for (int i = 0; i < 100; i++) {
        if (write(w.client, flood, sizeof(flood)) < 0)
            break;
        turns(2);
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(bufs_in_use(proc->bufs), 1);
    answer(WEIR_LIT("{}"));
    turns(50);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    say(PING_POST);
    assert_int_equal(w.started, 2);
    answer(WEIR_LIT("{}"));
}

static void a_large_message_arrives_whole(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    char *request = malloc(n + 1024);
    int head = sprintf(request, POST "Content-Length: %zu\r\n\r\n", n);
    char *body = request + head;
    memset(body, 'x', n);
    memcpy(body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"", 34);
    memcpy(body + n - 2, "\"}", 2);
    client_connects();
    say_to(w.client, request, (size_t)head + n);
    turns(3);
    assert_non_null(w.ex);
    assert_int_equal(w.ex->message.bytes.n, n);
    assert_memory_equal(w.ex->message.bytes.p, body, n);
    assert_true(weir_slice_eq(weir_head_value(w.ex->head, WEIR_FIELD_HOST), WEIR_LIT("localhost")));
    assert_true(weir_slice_eq(w.ex->head->target, WEIR_LIT("/mcp")));
    answer(WEIR_LIT("{}"));
    w.answers = true;
    say(PING_POST);
    expect(PING);
    free(request);
}

static void a_large_chunked_message_arrives_whole(void **state)
{
    (void)state;
    client_connects();
    say(POST "Transfer-Encoding: chunked\r\n\r\n23\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\r\n");
    static char piece[1000];
    memset(piece, 'x', sizeof(piece));
    for (int i = 0; i < 100; i++) {
        say_to(w.client, "3e8\r\n", 5);
        say_to(w.client, piece, sizeof(piece));
        say("\r\n");
    }
    say("2\r\n\"}\r\n0\r\n\r\n");
    assert_non_null(w.ex);
    assert_int_equal(w.ex->message.bytes.n, 35 + 100 * 1000 + 2);
    assert_true(weir_slice_eq(weir_head_value(w.ex->head, WEIR_FIELD_HOST), WEIR_LIT("localhost")));
    answer(WEIR_LIT("{}"));
}

static void a_large_head_moves_to_a_larger_buffer(void **state)
{
    (void)state;
    static char request[16384];
    int n = sprintf(request, POST "X-Long: ");
    memset(request + n, 'x', 15000);
    strcpy(request + n + 15000, "\r\nContent-Length: 40\r\n\r\n" PING);
    w.answers = true;
    client_connects();
    say(request);
    expect(PING);
}

static void a_request_that_is_not_good_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        weir_reason_t reason;
        const char *reply;
    } cases[] = {
        {"nonsense\r\n\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\n\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", WEIR_REASON_BAD_REQUEST, "HTTP/1.1 400 "},
        {"POST / HTTP/2.0\r\nHost: a\r\n\r\n", WEIR_REASON_BAD_HTTP_VERSION, "HTTP/1.1 505 "},
        {POST "Content-Length: 5000000\r\n\r\n", WEIR_REASON_TOO_LARGE, "HTTP/1.1 413 "},
        {"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_REASON_BAD_METHOD, "Allow: POST, GET, DELETE, OPTIONS\r\n"},
        {"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_REASON_BAD_METHOD, "HTTP/1.1 405 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n", WEIR_REASON_BAD_TYPE,
         "HTTP/1.1 415 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", WEIR_REASON_BAD_TYPE, "HTTP/1.1 415 "},
        {POST "Content-Length: 0\r\n\r\n", WEIR_REASON_NOT_JSON, "-32700"},
        {POST "Content-Length: 3\r\n\r\n{x}", WEIR_REASON_NOT_JSON, "-32700"},
        {POST "Content-Length: 2\r\n\r\n{}", WEIR_REASON_NOT_JSONRPC, "-32600"},
        {POST "MCP-Protocol-Version: 2026-07-28\r\nContent-Length: 40\r\n\r\n" PING, WEIR_REASON_HEADER_MISMATCH,
         "-32020"},
        {POST "Origin: https://evil.example\r\nContent-Length: 40\r\n\r\n" PING, WEIR_REASON_BAD_ORIGIN,
         "HTTP/1.1 403 "},
        {POST "Origin: null\r\nContent-Length: 40\r\n\r\n" PING, WEIR_REASON_BAD_ORIGIN, "HTTP/1.1 403 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        w.refused = 0;
        client_connects();
        say(cases[i].request);
        expect(cases[i].reply);
        assert_int_equal(w.refused, 1);
        assert_int_equal(w.reason, cases[i].reason);
        assert_int_equal(w.started, 0);
    }
}

static void a_refusal_keeps_the_connection_when_the_body_was_read(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    say("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    expect("HTTP/1.1 415 ");
    say(PING_POST);
    expect(PING);
    say("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhel");
    expect("Connection: close\r\n");
    assert_true(w.has_ended);
}

static void a_head_without_end_is_refused(void **state)
{
    (void)state;
    static char head[20000];
    memset(head, 'x', sizeof(head) - 1);
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    client_connects();
    say(head);
    expect("HTTP/1.1 431 ");
    assert_true(w.has_ended);
}

static void a_chunked_message_without_end_is_refused(void **state)
{
    (void)state;
    w.edge_options.max_message = 4096;
    client_connects();
    say(POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10 && w.refused == 0; i++) {
        char chunk[1024];
        memset(chunk, ' ', sizeof(chunk));
        memcpy(chunk, "3f9\r\n", 5);
        memcpy(chunk + 1022, "\r\n", 2);
        say_to(w.client, chunk, sizeof(chunk));
        turns(2);
    }
    expect("HTTP/1.1 413 ");
}

static void a_late_request_is_refused(void **state)
{
    (void)state;
    w.edge_options.header_timeout_ms = 30;
    w.edge_options.body_timeout_ms = 30;
    client_connects();
    say("POST /");
    RUN_UNTIL((hear(), w.has_ended));
    expect("HTTP/1.1 408 ");
    client_connects();
    say(POST "Content-Length: 40\r\n\r\n{");
    RUN_UNTIL((hear(), w.has_ended));
    expect("HTTP/1.1 408 ");
    client_connects();
    RUN_UNTIL((hear(), w.has_ended));
    assert_int_equal(w.heard_n, 0);
    assert_int_equal(w.refused, 2);
}

static void an_idle_connection_is_closed_quietly(void **state)
{
    (void)state;
    w.edge_options.idle_timeout_ms = 30;
    w.answers = true;
    client_connects();
    say(PING_POST);
    RUN_UNTIL((hear(), w.has_ended));
    assert_int_equal(count("HTTP/1.1"), 1);
}

static void a_client_that_waits_to_be_asked_is_asked(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    say(POST "Expect: 100-continue\r\nContent-Length: 40\r\n\r\n");
    assert_string_equal(w.heard, "HTTP/1.1 100 Continue\r\n\r\n");
    say(PING);
    expect("HTTP/1.1 200 OK");
    client_connects();
    say(POST "Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n");
    expect_no("100 Continue");
    expect("HTTP/1.1 413 ");
}

/* ---- who may call ---- */

static void a_listener_of_this_machine_is_called_by_its_name_only(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost",   "localhost:8080", "127.0.0.1:8080",  "[::1]:8080",
                                       "mcp.example", "mcp.example:1",  "other.example:99"};
    static const char *const bad[] = {"evil.example", "localhost.evil.example:8080", "other.example", "127.0.0.1.evil"};
    static const char *const allowed[] = {"mcp.example", "other.example:99", NULL};
    w.is_loopback = true;
    w.answers = true;
    w.edge_options.guard.allowed_hosts = (weir_strings_t){allowed, 2};
    for (size_t i = 0; i < 11; i++) {
        char request[512];
        sprintf(request,
                "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n" PING,
                i < 7 ? good[i] : bad[i - 7]);
        client_connects();
        say(request);
        expect(i < 7 ? "HTTP/1.1 200 " : "HTTP/1.1 403 ");
    }
}

static void allowed_origins_may_read_replies(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://app.example", NULL};
    w.edge_options.guard.allowed_origins = (weir_strings_t){allowed, 1};
    w.answers = true;
    client_connects();
    say(POST "Origin: https://app.example\r\nContent-Length: 40\r\n\r\n" PING);
    expect("Access-Control-Allow-Origin: https://app.example\r\n");
    expect("Access-Control-Expose-Headers: Mcp-Session-Id\r\n");
    say("OPTIONS /mcp HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: mcp-param-region\r\n\r\n");
    expect("HTTP/1.1 204 ");
    expect("Access-Control-Allow-Headers: mcp-param-region\r\n");
    say(PING_POST);
    assert_int_equal(w.started, 2);
    client_connects();
    say(POST "Origin: http://localhost:6274\r\nContent-Length: 40\r\n\r\n" PING);
    expect("HTTP/1.1 403 ");
}

static void without_a_list_pages_of_this_machine_may_call_it(void **state)
{
    (void)state;
    w.is_loopback = true;
    w.answers = true;
    client_connects();
    say(POST "Origin: http://localhost:6274\r\nContent-Length: 40\r\n\r\n" PING);
    expect("HTTP/1.1 200 ");
}

/* ---- replies ---- */

static void begin_stream(void)
{
    weir_reply_t reply = {
        .status = 200, .content_type = WEIR_LIT("text/event-stream"), .content_length = -1, .has_body = true};
    w.transport->accept->reply_head(w.ex, &reply);
    turns(1);
}

static void a_silent_stream_has_begun_and_holds_nothing(void **state)
{
    (void)state;
    client_connects();
    say("GET /mcp HTTP/1.1\r\nHost: a\r\nMcp-Session-Id: s1\r\nLast-Event-ID: e7\r\n\r\n");
    assert_int_equal(w.ex->verb, WEIR_VERB_LISTEN);
    assert_true(weir_slice_eq(w.ex->session_token, WEIR_LIT("s1")));
    assert_true(weir_slice_eq(w.ex->last_event_id, WEIR_LIT("e7")));
    begin_stream();
    expect("Content-Type: text/event-stream\r\n");
    expect("Transfer-Encoding: chunked\r\n");
    expect("X-Accel-Buffering: no\r\n");
    buf_unref(w.ex->body.buf); /* as a host does once the reply has begun */
    w.ex->body.buf = NULL;
    assert_int_equal(bufs_in_use(proc->bufs), 0);
    hang_up(&w.client);
    assert_int_equal(w.abandoned, 1);
}

static void messages_are_events_each_on_one_line(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST);
    weir_chunk_t parts[] = {{.bytes = WEIR_LIT("{\"a\":")}, {.bytes = WEIR_LIT("1}")}};
    weir_chunk_t broken = {.bytes = WEIR_LIT("{\r\n\"b\":\n2}")};
    w.transport->accept->reply_message(w.ex, parts, 2, WEIR_LIT("e1"), false);
    turns(1);
    expect("id: e1\ndata: {\"a\":1}\n\n");
    w.transport->accept->reply_message(w.ex, &broken, 1, WEIR_LIT(""), true);
    ended(w.ex);
    turns(1);
    expect("data: {  \"b\": 2}\n\n\r\n0\r\n\r\n");
    w.answers = true;
    say(PING_POST);
    assert_int_equal(w.started, 2);
}

static void a_final_message_alone_is_a_plain_reply(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST);
    weir_chunk_t part = {.bytes = WEIR_LIT("{\"a\":1}")};
    w.ex->session_grant = WEIR_LIT("token");
    w.transport->accept->reply_message(w.ex, &part, 1, WEIR_LIT(""), true);
    ended(w.ex);
    turns(1);
    expect("Content-Type: application/json\r\nMcp-Session-Id: token\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

static void a_reply_without_length_is_chunked_or_ends_with_the_connection(void **state)
{
    (void)state;
    weir_reply_t reply = {.status = 200, .content_type = WEIR_LIT("text/x"), .content_length = -1, .has_body = true};
    weir_chunk_t parts[] = {{.bytes = WEIR_LIT("hello ")}, {.bytes = WEIR_LIT("world, here I am")}};
    for (int minor = 1; minor >= 0; minor--) {
        client_connects();
        say(minor == 1 ? "GET / HTTP/1.1\r\nHost: a\r\n\r\n" : "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        w.transport->accept->reply_head(w.ex, &reply);
        turns(1);
        hear();
        assert_int_equal(w.heard_n, 0); /* it waits for its body */
        w.transport->accept->reply_bytes(w.ex, parts, 2);
        w.transport->accept->reply_end(w.ex);
        ended(w.ex);
        turns(2);
        expect(minor == 1 ? "\r\n\r\n16\r\nhello world, here I am\r\n0\r\n\r\n" : "\r\n\r\nhello world, here I am");
        assert_int_equal(w.has_ended, minor == 0);
    }
}

static void a_head_without_a_body_yet_goes_alone(void **state)
{
    (void)state;
    weir_head_t head = {.status = 200, .minor = 1, .content_length = -1};
    for (size_t i = 0; i < WEIR_FIELDS_KNOWN; i++)
        head.known[i] = -1;
    weir_reply_t reply = {.status = 200, .head = &head, .content_length = -1, .has_body = true};
    client_connects();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    w.transport->accept->reply_head(w.ex, &reply);
    w.transport->accept->reply_bytes(w.ex, NULL, 0);
    expect("Transfer-Encoding: chunked\r\n\r\n");
}

static void heads_of_two_clients_do_not_mix(void **state)
{
    (void)state;
    weir_reply_t accepted = {.status = 202};
    client_connects();
    say(PING_POST);
    weir_exchange_t *first = w.ex;
    int first_client = w.client;
    w.ex = NULL;
    w.client = -1;
    client_connects();
    say(PING_POST);
    weir_exchange_t *second = w.ex;
    w.transport->accept->reply_head(first, &accepted);
    w.transport->accept->reply_head(second, &accepted);
    w.transport->accept->reply_end(second);
    w.transport->accept->reply_end(first);
    ended(first);
    ended(second);
    turns(1);
    hear();
    assert_int_equal(count("HTTP/1.1 202 Accepted\r\n"), 1);
    char text[1024];
    long n = read(first_client, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, w.heard);
    assert_non_null(strstr(text, "Content-Length: 0\r\n\r\n"));
    close(first_client);
}

static void a_failure_within_a_stream_is_its_last_event(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST);
    begin_stream();
    fail_with(w.ex, WEIR_REASON_SERVER_DIED, "gone");
    turns(1);
    expect("\"id\":1");
    expect("server_died");
    expect("0\r\n\r\n");
    assert_false(w.has_ended);
}

static void a_failure_within_other_replies_is_a_cut(void **state)
{
    (void)state;
    weir_reply_t reply = {.status = 200, .content_type = WEIR_LIT("text/x"), .content_length = 100, .has_body = true};
    weir_chunk_t part = {.bytes = WEIR_LIT("hello")};
    client_connects();
    say(PING_POST);
    w.transport->accept->reply_head(w.ex, &reply);
    w.transport->accept->reply_bytes(w.ex, &part, 1);
    fail_with(w.ex, WEIR_REASON_SERVER_DIED, "gone");
    turns(2);
    expect("\r\n\r\nhello");
    assert_true(w.has_ended);
    assert_int_equal(count("HTTP/1.1"), 1);
}

static void a_client_that_hangs_up_abandons_its_exchange(void **state)
{
    (void)state;
    client_connects();
    say(PING_POST);
    hang_up(&w.client);
    assert_int_equal(w.abandoned, 1);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
}

static void a_slow_client_stops_its_server(void **state)
{
    (void)state;
    static char much[65536];
    weir_reply_t reply = {.status = 200, .content_type = WEIR_LIT("text/x"), .content_length = -1, .has_body = true};
    weir_chunk_t part = {.bytes = weir_slice(much, sizeof(much))};
    memset(much, 'x', sizeof(much));
    client_connects();
    say(PING_POST);
    w.transport->accept->reply_head(w.ex, &reply);
    int calls = 0;
    while (w.transport->accept->reply_bytes(w.ex, &part, 1) == WEIR_OK)
        assert_true(calls++ < 100);
    assert_int_equal(w.drained, 0);
    RUN_UNTIL((hear(), w.drained == 1));
    w.transport->accept->reply_end(w.ex);
    ended(w.ex);
    RUN_UNTIL((hear(), strstr(w.heard, "\r\n0\r\n\r\n") != NULL));
}

static void a_draining_listener_says_so_in_its_replies(void **state)
{
    (void)state;
    w.answers = true;
    client_connects();
    say(PING_POST);
    w.transport->accept->drain(w.edge, false);
    turns(3);
    hear();
    assert_false(w.has_ended);
    assert_int_equal(w.transport->accept->clients(w.edge), 1);
    say(PING_POST);
    expect("Connection: close\r\n");
    assert_true(w.has_ended);
    assert_int_equal(w.transport->accept->clients(w.edge), 0);
}

static void the_last_request_of_a_connection_closes_it(void **state)
{
    (void)state;
    w.edge_options.keepalive_requests = 2;
    w.answers = true;
    client_connects();
    say(PING_POST PING_POST PING_POST);
    assert_int_equal(w.started, 2);
    assert_int_equal(count("Connection: close\r\n"), 1);
    assert_true(w.has_ended);
}

/* ---- links ---- */

static void server_opens(void)
{
    if (w.target.carrier == NULL) {
        weir_error_t err = {{0}};
        w.upstream = (weir_upstream_t){.name = "up", .options = &w.upstream_options, .buffer_limit = 262144};
        w.target = (weir_server_t){.options = &w.server_options, .upstream = &w.upstream};
        assert_int_equal(w.transport->connect->server_open(&w.host, &w.target, &err), WEIR_OK);
        assert_string_equal(w.target.name, "127.0.0.1:3000");
    }
    if (w.server >= 0)
        close(w.server);
    w.link = (weir_link_t){.server = &w.target};
    assert_int_equal(w.transport->connect->open(&w.link, NULL), WEIR_OK);
    link_events->connected(link_owner);
    w.heads = w.ends = w.frees = w.downs = w.flushes = 0;
    w.body_n = 0;
}

static weir_exchange_t request_of(weir_head_t *head)
{
    static const struct {
        const char *name, *value;
        weir_field_id_t id;
    } fields[] = {
        {"Host", "edge.example:8080", WEIR_FIELD_HOST},
        {"Connection", "keep-alive", WEIR_FIELD_CONNECTION},
        {"Content-Type", "application/json", WEIR_FIELD_CONTENT_TYPE},
        {"Mcp-Session-Id", "sealed", WEIR_FIELD_MCP_SESSION_ID},
        {"X-Forwarded-For", "10.9.9.9", WEIR_FIELD_X_FORWARDED_FOR},
        {"X-Any", "thing", WEIR_FIELD_OTHER},
    };
    *head =
        (weir_head_t){.method = WEIR_LIT("POST"), .target = WEIR_LIT("/edge?q=1"), .minor = 1, .content_length = 40};
    for (size_t i = 0; i < WEIR_FIELDS_KNOWN; i++)
        head->known[i] = -1;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        head->known[fields[i].id] = (int16_t)i;
        head->fields[head->nfields++] =
            (weir_field_t){weir_slice_str(fields[i].name), weir_slice_str(fields[i].value), fields[i].id};
    }
    return (weir_exchange_t){
        .verb = WEIR_VERB_MESSAGE, .head = head, .peer = WEIR_LIT("10.0.0.7"), .body = {.bytes = WEIR_LIT(PING)}};
}

static weir_head_t sent_head;
static weir_exchange_t sent_ex;

static void send_request(void)
{
    sent_ex = request_of(&sent_head);
    w.heads = w.ends = w.frees = w.flushes = 0;
    w.body_n = 0;
    assert_int_equal(w.transport->connect->send(&w.link, &sent_ex), WEIR_OK);
    char text[4096];
    turns(1);
    assert_true(read(w.server, text, sizeof(text)) > 0);
}

static void a_request_goes_with_its_end_to_end_fields(void **state)
{
    (void)state;
    char text[4096];
    w.upstream_options.forwarded = FORWARDED_BOTH;
    server_opens();
    assert_int_equal(w.ups, 1);
    sent_ex = request_of(&sent_head);
    sent_ex.server_session = WEIR_LIT("their own");
    assert_int_equal(w.transport->connect->send(&w.link, &sent_ex), WEIR_OK);
    turns(1);
    long n = read(w.server, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "POST /mcp?q=1 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nContent-Type: application/json\r\n"
                              "X-Any: thing\r\nX-Forwarded-For: 10.9.9.9, 10.0.0.7\r\n"
                              "X-Forwarded-Host: edge.example:8080\r\nX-Forwarded-Proto: http\r\n"
                              "Forwarded: for=10.0.0.7;host=\"edge.example:8080\";proto=http\r\n"
                              "Mcp-Session-Id: their own\r\nContent-Length: 40\r\n\r\n" PING);
}

static void a_reply_cut_anywhere_is_one_reply(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6;x=y\r\nhello \r\n5\r\nworld\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    };
    server_opens();
    for (size_t r = 0; r < 3; r++)
        for (size_t at = 1; at < strlen(replies[r]); at++) {
            send_request();
            say_to(w.server, replies[r], at);
            turns(2);
            say_to(w.server, replies[r] + at, strlen(replies[r]) - at);
            turns(2);
            assert_int_equal(w.heads, 1);
            assert_int_equal(w.ends, 1);
            assert_int_equal(w.frees, 1);
            assert_int_equal(w.body_n, 11);
            assert_memory_equal(w.body, "hello world", 11);
            assert_int_equal(bufs_in_use(proc->bufs), 0);
        }
    assert_int_equal(w.downs, 0);
}

static void a_reply_until_the_end_ends_with_the_link(void **state)
{
    (void)state;
    server_opens();
    send_request();
    say_to(w.server, "HTTP/1.0 200 OK\r\n\r\nhello", 24);
    turns(2);
    assert_int_equal(w.ends, 0);
    hang_up(&w.server);
    assert_int_equal(w.ends, 1);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.reason, WEIR_REASON_NONE);
    assert_memory_equal(w.body, "hello", 5);
}

static void a_head_that_comes_alone_is_flushed(void **state)
{
    (void)state;
    server_opens();
    send_request();
    static const char head[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n";
    say_to(w.server, head, sizeof(head) - 1);
    turns(2);
    assert_int_equal(w.heads, 1);
    assert_int_equal(w.flushes, 1);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
}

static void a_server_that_breaks_the_protocol_is_left(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        weir_reason_t reason;
    } cases[] = {
        {"", WEIR_REASON_SERVER_DIED},
        {"HTTP/1.1 200 OK\r\nConte", WEIR_REASON_SERVER_DIED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello", WEIR_REASON_SERVER_DIED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", WEIR_REASON_SERVER_DIED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld", WEIR_REASON_BAD_REPLY},
        {"SSH-2.0-OpenSSH\r\n\r\n", WEIR_REASON_BAD_REPLY},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", WEIR_REASON_BAD_REPLY},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_REASON_BAD_REPLY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        server_opens();
        send_request();
        say_to(w.server, cases[i].reply, strlen(cases[i].reply));
        turns(2);
        hang_up(&w.server);
        assert_int_equal(w.downs, 1);
        assert_int_equal(w.reason, cases[i].reason);
        assert_int_equal(w.ends, 0);
        assert_null(w.link.carrier);
    }
}

static void an_idle_link_that_its_server_closes_goes_quietly(void **state)
{
    (void)state;
    server_opens();
    hang_up(&w.server);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.reason, WEIR_REASON_NONE);
    w.upstream_options.idle_timeout_ms = 30;
    w.transport->connect->server_close(&w.target);
    server_opens();
    RUN_UNTIL(w.downs == 1);
    assert_int_equal(w.reason, WEIR_REASON_NONE);
}

static void a_link_is_used_again_only_when_its_server_keeps_it(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        server_opens();
        send_request();
        say_to(w.server, replies[i], strlen(replies[i]));
        turns(2);
        assert_int_equal(w.ends, 1);
        assert_int_equal(w.frees, 0);
        assert_int_equal(w.downs, 1);
        assert_int_equal(w.reason, WEIR_REASON_NONE);
    }
}

static void an_abandoned_reply_closes_its_link(void **state)
{
    (void)state;
    char text[4096];
    server_opens();
    send_request();
    w.transport->connect->abandon(&w.link, &sent_ex);
    assert_int_equal(w.downs, 1);
    turns(1);
    assert_int_equal(read(w.server, text, sizeof(text)), 0);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_request_is_answered_and_the_connection_kept),
        SCENE(an_idle_client_holds_no_buffer),
        SCENE(a_request_cut_anywhere_is_one_request),
        SCENE(a_request_may_come_byte_by_byte),
        SCENE(pipelined_requests_are_answered_in_order),
        SCENE(a_pipelined_request_waits_for_the_one_before),
        SCENE(what_is_pipelined_is_bounded),
        SCENE(a_large_message_arrives_whole),
        SCENE(a_large_chunked_message_arrives_whole),
        SCENE(a_large_head_moves_to_a_larger_buffer),
        SCENE(a_request_that_is_not_good_is_refused),
        SCENE(a_refusal_keeps_the_connection_when_the_body_was_read),
        SCENE(a_head_without_end_is_refused),
        SCENE(a_chunked_message_without_end_is_refused),
        SCENE(a_late_request_is_refused),
        SCENE(an_idle_connection_is_closed_quietly),
        SCENE(a_client_that_waits_to_be_asked_is_asked),
        SCENE(a_listener_of_this_machine_is_called_by_its_name_only),
        SCENE(allowed_origins_may_read_replies),
        SCENE(without_a_list_pages_of_this_machine_may_call_it),
        SCENE(a_silent_stream_has_begun_and_holds_nothing),
        SCENE(messages_are_events_each_on_one_line),
        SCENE(a_final_message_alone_is_a_plain_reply),
        SCENE(a_reply_without_length_is_chunked_or_ends_with_the_connection),
        SCENE(a_head_without_a_body_yet_goes_alone),
        SCENE(heads_of_two_clients_do_not_mix),
        SCENE(a_failure_within_a_stream_is_its_last_event),
        SCENE(a_failure_within_other_replies_is_a_cut),
        SCENE(a_client_that_hangs_up_abandons_its_exchange),
        SCENE(a_slow_client_stops_its_server),
        SCENE(a_draining_listener_says_so_in_its_replies),
        SCENE(the_last_request_of_a_connection_closes_it),
        SCENE(a_request_goes_with_its_end_to_end_fields),
        SCENE(a_reply_cut_anywhere_is_one_reply),
        SCENE(a_reply_until_the_end_ends_with_the_link),
        SCENE(a_head_that_comes_alone_is_flushed),
        SCENE(a_server_that_breaks_the_protocol_is_left),
        SCENE(an_idle_link_that_its_server_closes_goes_quietly),
        SCENE(a_link_is_used_again_only_when_its_server_keeps_it),
        SCENE(an_abandoned_reply_closes_its_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
