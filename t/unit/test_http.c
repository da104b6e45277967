/* test_http.c: the accept side of the http module as a host sees it: requests of clients, who may call, replies. The other side is in
 * test_http_link.c.
 */
#include "http_world.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
