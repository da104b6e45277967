/* test_resolve.c: names, their age and their failures, against a nameserver of the test's own. */
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "resolve.h"
#include "stream.h"
#include "target.h"

/* ---- a nameserver that knows one address for every name */

#define RCODE_OK 0
#define RCODE_FAILED 2  /* SERVFAIL */
#define RCODE_UNKNOWN 3 /* NXDOMAIN */

struct nameserver {
    struct ev_io io;
    uint32_t questions; /* for an IPv4 address */
    uint8_t rcode;
    uint32_t address; /* of 127.0.0.x, the x */
    uint32_t ttl_s;
};

static struct nameserver nameserver;

/* Turn a question into its reply, in place: the header's flags and counts, and behind the question one A record. */
static size_t answer(unsigned char *p, size_t n)
{
    size_t end = 12;
    while (end < n && p[end] != 0)
        end += p[end] + 1u;
    bool is_a = p[end + 2] == 1;
    nameserver.questions += is_a;
    bool has_answer = is_a && nameserver.rcode == RCODE_OK;
    end += 5;
    p[2] = 0x81, p[3] = 0x80 | nameserver.rcode;
    p[6] = 0, p[7] = has_answer;
    memset(p + 8, 0, 4);
    if (!has_answer)
        return end;
    const unsigned char record[] = {0xc0,
                                    12,
                                    0,
                                    1,
                                    0,
                                    1,
                                    0,
                                    0,
                                    (unsigned char)(nameserver.ttl_s >> 8),
                                    (unsigned char)nameserver.ttl_s,
                                    0,
                                    4,
                                    127,
                                    0,
                                    0,
                                    (unsigned char)nameserver.address};
    memcpy(p + end, record, sizeof(record));
    return end + sizeof(record);
}

static void on_question(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop, (void)events;
    unsigned char p[512 + 32];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(io->fd, p, 512, 0, (struct sockaddr *)&from, &len);
    assert_true(n > 12);
    size_t answered = answer(p, (size_t)n);
    assert_int_equal(sendto(io->fd, p, answered, 0, (struct sockaddr *)&from, len), answered);
}

static int begin(void **state)
{
    process_begin(state);
    nameserver = (struct nameserver){.address = 1, .ttl_s = 60};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    ev_io_init(&nameserver.io, on_question, fd, EV_READ);
    ev_io_start(proc->loop, &nameserver.io);
    char servers[32];
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(resolver_use(servers, NULL), WEIR_OK);
    return 0;
}

static int end(void **state)
{
    ev_io_stop(proc->loop, &nameserver.io);
    close(nameserver.io.fd);
    return process_end(state);
}

/* ---- the resolver */

struct answer {
    int times;
    resolved_t found;
    char why[512];
};

static void on_done(void *arg, const resolved_t *found, const char *why)
{
    struct answer *a = arg;
    a->times++;
    if (found != NULL)
        a->found = *found;
    if (why != NULL)
        snprintf(a->why, sizeof(a->why), "%s", why);
}

static struct answer ask(const char *name)
{
    struct answer a = {0};
    assert_non_null(resolve(name, 8080, on_done, &a, NULL));
    assert_int_equal(a.times, 0);
    RUN_UNTIL(a.times == 1);
    return a;
}

static void assert_first(const struct answer *a, const char *expected)
{
    char text[ADDRESS_TEXT_MAX];
    assert_true(a->found.count > 0);
    address_text((const struct sockaddr *)&a->found.items[0].sa, a->found.items[0].len, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void a_name_becomes_addresses_with_port_and_ttl(void **state)
{
    (void)state;
    struct answer a = ask("server.test");
    assert_first(&a, "127.0.0.1:8080");
    assert_int_equal(a.found.count, 1);
    assert_int_equal(a.found.ttl_s, 60);
}

static void a_ttl_is_kept_within_bounds(void **state)
{
    (void)state;
    nameserver.ttl_s = 0;
    assert_int_equal(ask("server.test").found.ttl_s, 5);
    nameserver.ttl_s = 50000;
    assert_int_equal(ask("server.test").found.ttl_s, 600);
}

/* The nameserver would know an address, and /etc/hosts has only the first. */
static void localhost_is_this_machine_and_nobody_is_asked(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost", "LocalHost", "localhost.", "mcp.localhost", "a.b.localhost."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct answer a = ask(names[i]);
        char text[ADDRESS_TEXT_MAX];
        assert_int_equal(a.found.count, 2);
        address_text((struct sockaddr *)&a.found.items[0].sa, a.found.items[0].len, text, sizeof(text));
        assert_string_equal(text, "[::1]:8080");
        address_text((struct sockaddr *)&a.found.items[1].sa, a.found.items[1].len, text, sizeof(text));
        assert_string_equal(text, "127.0.0.1:8080");
    }
    assert_int_equal(nameserver.questions, 0);
}

static void a_name_that_only_looks_like_localhost_is_asked_for(void **state)
{
    (void)state;
    static const char *const names[] = {"notlocalhost", "localhost.test", "my-localhost"};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ask(names[i]);
        assert_int_equal(nameserver.questions, i + 1);
    }
}

static void a_failure_names_the_host_and_the_remedy(void **state)
{
    (void)state;
    nameserver.rcode = RCODE_UNKNOWN;
    struct answer a = ask("server.test");
    assert_non_null(strstr(a.why, "cannot resolve server.test: Domain name not found; check the name"));
    nameserver.rcode = RCODE_FAILED;
    a = ask("server.test");
    assert_non_null(strstr(a.why, "cannot resolve server.test: "));
    assert_non_null(strstr(a.why, "check the nameservers in /etc/resolv.conf"));
}

static void a_cancelled_question_is_not_answered(void **state)
{
    (void)state;
    struct answer a = {0};
    struct resolve_query *query = resolve("server.test", 80, on_done, &a, NULL);
    resolve_cancel(query);
    ask("other.test");
    assert_int_equal(a.times, 0);
}

/* ---- a target and the age of its addresses */

static int listener = -1;
static uint16_t port;

static void listen_everywhere(void)
{
    char text[ADDRESS_TEXT_MAX];
    struct address at;
    listener = address_listen("0.0.0.0:0", false, 16, NULL);
    assert_int_equal(address_bound(listener, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_parse(text, &at, NULL), WEIR_OK);
    port = at.port;
}

struct caller {
    int connected, broken;
    char why[512];
};

static void on_connected(void *owner)
{
    ((struct caller *)owner)->connected++;
}

static void on_broken(void *owner, const char *why)
{
    struct caller *caller = owner;
    caller->broken++;
    snprintf(caller->why, sizeof(caller->why), "%s", why);
}

static const weir_stream_events_t events = {.connected = on_connected, .broken = on_broken};

/* Connect, and check which address answered. */
static void assert_connects_to(struct target *target, weir_slice_t address)
{
    struct caller caller = {0};
    weir_stream_t *s = stream_connect_target(target, &events, &caller, NULL);
    RUN_UNTIL(caller.connected + caller.broken > 0);
    assert_string_equal(caller.why, "");
    weir_slice_t peer = stream_peer(s);
    if (!weir_slice_eq(peer, address))
        fail_msg("connected to %.*s, not to %.*s", WEIR_FMT(peer), WEIR_FMT(address));
    stream_close(s);
}

static void let_pass(uint64_t ms)
{
    timers_run(proc->timers, now_ms() + ms);
}

static void localhost_reaches_who_listens_on_ipv4_only(void **state)
{
    (void)state;
    listen_everywhere();
    struct target *target =
        target_new("localhost", port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 2000}, NULL);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    target_free(target);
    close(listener);
}

static void addresses_are_asked_for_once_and_serve_until_they_are_old(void **state)
{
    (void)state;
    listen_everywhere();
    struct target *target =
        target_new("server.test", port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 2000}, NULL);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    nameserver.address = 2;
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    assert_int_equal(nameserver.questions, 1);

    /* Old ones still serve while new ones are asked for. */
    let_pass(61000);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    RUN_UNTIL(nameserver.questions == 2);
    for (int i = 0; i < 5; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
    assert_connects_to(target, WEIR_LIT("127.0.0.2"));
    target_free(target);
    close(listener);
}

static void old_addresses_serve_while_the_nameserver_is_down(void **state)
{
    (void)state;
    listen_everywhere();
    struct target *target =
        target_new("server.test", port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 2000}, NULL);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    nameserver.rcode = RCODE_FAILED;
    let_pass(61000);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    RUN_UNTIL(nameserver.questions >= 2);
    for (int i = 0; i < 5; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
    assert_connects_to(target, WEIR_LIT("127.0.0.1"));
    target_free(target);
    close(listener);
}

static void all_who_wait_for_a_name_share_one_question(void **state)
{
    (void)state;
    listen_everywhere();
    struct caller callers[5] = {0};
    weir_stream_t *streams[5];
    struct target *target =
        target_new("server.test", port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 2000}, NULL);
    for (int i = 0; i < 5; i++)
        streams[i] = stream_connect_target(target, &events, &callers[i], NULL);
    stream_close(streams[2]);
    for (int i = 0; i < 5; i++)
        if (i != 2)
            RUN_UNTIL(callers[i].connected == 1);
    assert_int_equal(nameserver.questions, 1);
    assert_int_equal(callers[2].connected + callers[2].broken, 0);
    for (int i = 0; i < 5; i++)
        if (i != 2)
            stream_close(streams[i]);
    target_free(target);
    close(listener);
}

static void a_nameserver_that_is_silent_fails_the_connection_in_time(void **state)
{
    (void)state;
    struct caller caller = {0};
    struct target *target =
        target_new("server.test", 80, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 50}, NULL);
    ev_io_stop(proc->loop, &nameserver.io);
    weir_stream_t *s = stream_connect_target(target, &events, &caller, NULL);
    RUN_UNTIL(caller.broken == 1);
    assert_non_null(strstr(caller.why, "server.test:80"));
    assert_non_null(strstr(caller.why, "not resolved within connect_timeout (50 ms)"));
    stream_close(s);
    target_free(target);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_becomes_addresses_with_port_and_ttl),
        TEST(a_ttl_is_kept_within_bounds),
        TEST(localhost_is_this_machine_and_nobody_is_asked),
        TEST(a_name_that_only_looks_like_localhost_is_asked_for),
        TEST(localhost_reaches_who_listens_on_ipv4_only),
        TEST(a_failure_names_the_host_and_the_remedy),
        TEST(a_cancelled_question_is_not_answered),
        TEST(addresses_are_asked_for_once_and_serve_until_they_are_old),
        TEST(old_addresses_serve_while_the_nameserver_is_down),
        TEST(all_who_wait_for_a_name_share_one_question),
        TEST(a_nameserver_that_is_silent_fails_the_connection_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
