/* http_world.h: a host around the http module, whose exchanges are answered by the test: one listener, one server, and the test in the
 * middle and at both ends. Real streams, timers and parsers.
 */
#ifndef T_HTTP_WORLD_H
#define T_HTTP_WORLD_H

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

static inline weir_exchange_t *fake_new(weir_listener_t *listener, void *client)
{
    weir_exchange_t *ex = calloc(1, sizeof(*ex));
    assert_non_null(ex);
    ex->magic = WEIR_EXCHANGE_MAGIC;
    ex->listener = listener;
    ex->client = client;
    return ex;
}

static inline void ended(weir_exchange_t *ex)
{
    buf_unref(ex->body.buf);
    if (w.ex == ex)
        w.ex = NULL;
    free(ex);
}

static inline void answer(weir_slice_t body)
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

static inline void fake_start(weir_exchange_t *ex)
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

static inline void fail_with(weir_exchange_t *ex, weir_reason_t reason, const char *text)
{
    weir_failure_t failure = failure_of(reason, weir_slice_str(text));
    (w.transport->accept->fail)(ex, &failure); /* cmocka has a macro of that name */
    ended(ex);
}

static inline void fake_refuse(weir_exchange_t *ex, weir_reason_t reason, const char *format, ...)
{
    (void)format;
    w.refused++;
    w.reason = reason;
    fail_with(ex, reason, "refused");
}

static inline void fake_abandon(weir_exchange_t *ex)
{
    w.abandoned++;
    ended(ex);
}

static inline void fake_drained(weir_exchange_t *ex)
{
    (void)ex;
    w.drained++;
}

static inline void fake_sent(weir_exchange_t *ex, uint64_t bytes)
{
    (void)ex;
    w.sent += bytes;
}

static inline void *fake_alloc(weir_exchange_t *ex, size_t n)
{
    (void)ex;
    assert_true(w.nmemory < 64);
    return w.memory[w.nmemory++] = malloc(n > 0 ? n : 1);
}

static inline weir_reason_t fake_guard_host(const weir_listener_t *listener, const weir_guard_t *guard,
                                            const weir_head_t *head, weir_error_t *err)
{
    (void)listener;
    weir_listener_t here = {.is_loopback = w.is_loopback};
    return guard_host(&here, guard, head, err);
}

static inline bool fake_is_shared(const weir_listener_t *listener)
{
    (void)listener;
    return false;
}

static inline const weir_codings_t *fake_listener_codings(const weir_listener_t *listener)
{
    (void)listener;
    return NULL;
}

static inline const weir_codings_t *fake_upstream_codings(const weir_upstream_t *upstream)
{
    (void)upstream;
    return NULL;
}

static inline void quiet(weir_level_t level, const char *format, ...)
{
    (void)level, (void)format;
}

/* ---- the same for links */

static inline void fake_up(weir_link_t *link)
{
    (void)link;
    w.ups++;
}

static inline void fake_down(weir_link_t *link, weir_reason_t reason, const char *format, ...)
{
    (void)link, (void)format;
    w.downs++;
    w.reason = reason;
}

static inline void fake_free_again(weir_link_t *link)
{
    (void)link;
    w.frees++;
}

static inline int fake_head(weir_exchange_t *ex, const weir_head_t *head)
{
    (void)ex;
    w.heads++;
    w.status = head->status;
    return WEIR_OK;
}

static inline int fake_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
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

static inline void fake_end(weir_exchange_t *ex)
{
    (void)ex;
    w.ends++;
}

static inline int fake_address(weir_server_t *server, weir_slice_t host, uint16_t port, bool is_tls,
                               const weir_reach_t *reach, weir_error_t *err)
{
    (void)server, (void)reach, (void)err;
    assert_true(weir_slice_eq(host, WEIR_LIT("127.0.0.1")));
    assert_int_equal(port, 3000);
    assert_false(is_tls);
    return WEIR_OK;
}

static inline weir_stream_t *made_stream(int *other)
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

static inline weir_stream_t *fake_connect(weir_link_t *link, const weir_stream_events_t *events, void *owner,
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

static inline const weir_transport_t *module_transport(void)
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

static inline int begin(void **state)
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

static inline void turns(unsigned n)
{
    while (n-- > 0)
        ev_run(proc->loop, EVRUN_NOWAIT);
}

static inline void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    turns(3);
}

static inline int end(void **state)
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

static inline void client_connects(void)
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

static inline void hear(void)
{
    long n;
    while (!w.has_ended && (n = read(w.client, w.heard + w.heard_n, HEARD_MAX - w.heard_n)) >= 0) {
        w.heard_n += (size_t)n;
        w.has_ended = n == 0;
    }
    w.heard[w.heard_n] = '\0';
}

static inline void say_to(int fd, const char *p, size_t n)
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

static inline void say(const char *text)
{
    say_to(w.client, text, strlen(text));
    turns(3);
    hear();
}

static inline void expect(const char *text)
{
    hear();
    if (strstr(w.heard, text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, w.heard);
}

static inline void expect_no(const char *text)
{
    hear();
    if (strstr(w.heard, text) != NULL)
        fail_msg("\"%s\" in:\n%s", text, w.heard);
}

static inline unsigned count(const char *text)
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

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
