/* test_http_link.c: the connect side of the http module as a host sees it: requests to servers, and what they answer. */
#include "http_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
