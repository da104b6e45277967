/* test_stream.c: streams over real sockets and pipes; those in TLS are in test_tls.c. */
#include "stream_end.h"

#include <fcntl.h>
#include <netinet/in.h>

#include "address.h"
#include "stream_inside.h"
#include "target.h"

/* ---- plain streams */

static void what_is_written_at_one_end_is_read_at_the_other(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    weir_chunk_t chunks[] = {{.bytes = WEIR_LIT("one ")}, {.bytes = WEIR_LIT("")}, {.bytes = WEIR_LIT("two")}};
    assert_int_equal(stream_write(a.stream, chunks, 3), WEIR_OK);
    assert_int_equal(stream_queued(a.stream), 0);
    RUN_UNTIL(b.n == 7);
    assert_memory_equal(b.bytes, "one two", 7);
    drop(&a);
    RUN_UNTIL(b.ended == 1);
    drop(&b);
}

static void more_than_the_kernel_takes_is_queued_and_arrives_in_order(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_limit(a.stream, 1024 * 1024, 60000);
    size_t n = 4 * 1024 * 1024;
    assert_int_equal(write_pattern(&a, n), WEIR_EFULL);
    assert_true(stream_queued(a.stream) > 0);
    RUN_UNTIL(b.n == n);
    assert_pattern(&b, n);
    assert_int_equal(a.drained, 1);
    assert_int_equal(stream_queued(a.stream), 0);
    assert_null(a.stream->out);
    drop(&a);
    drop(&b);
}

/* ---- streams that gather: over a socket that keeps the kernel's writes apart, so that each can be counted */

static void make_counting_pair(struct end *a, struct end *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    own(a, stream_fd(fds[0], NULL));
    own(b, stream_fd(fds[1], NULL));
    stream_gather(a->stream);
}

static void what_is_gathered_in_one_turn_leaves_in_one_write_at_its_end(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_counting_pair(&a, &b);
    for (int i = 0; i < 100; i++)
        assert_int_equal(write_text(&a, "message\n"), WEIR_OK);
    assert_int_equal(stream_queued(a.stream), 800);
    RUN_UNTIL(b.n > 0);
    assert_int_equal(b.n, 800);
    assert_int_equal(b.readable, 1);
    assert_int_equal(stream_queued(a.stream), 0);
    assert_null(a.stream->out);
    drop(&a);
    drop(&b);
}

static void what_is_gathered_leaves_before_what_is_large(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_gather(a.stream);
    size_t n = 100 * 1024;
    weir_buf_t *buf = pattern(n);
    weir_chunk_t small = {.bytes = weir_slice(buf->data, 10)};
    weir_chunk_t large = {.bytes = weir_slice(buf->data + 10, n - 20)};
    weir_chunk_t last = {.bytes = weir_slice(buf->data + n - 10, 10)};
    assert_int_equal(stream_write(a.stream, &small, 1), WEIR_OK);
    assert_int_equal(stream_write(a.stream, &large, 1), WEIR_OK);
    assert_int_equal(stream_write(a.stream, &last, 1), WEIR_OK);
    RUN_UNTIL(b.n == n);
    assert_pattern(&b, n);
    buf_unref(buf);
    drop(&a);
    drop(&b);
}

static void a_gathering_stream_whose_reader_is_slow_says_full_and_drained(void **state)
{
    (void)state;
    struct end a = {0}, b = {.keeps_quiet = true};
    make_pair(&a, &b);
    stream_gather(a.stream);
    stream_limit(a.stream, 16384, 60000);
    size_t n = 0;
    int result = WEIR_OK;
    for (; n < 64 * 1024 * 1024 && result == WEIR_OK; n += 8)
        result = write_text(&a, "message\n");
    assert_int_equal(result, WEIR_EFULL);
    assert_true(stream_queued(a.stream) >= 16384 * 8 / 10);
    assert_int_equal(a.drained, 0);
    b.keeps_quiet = false;
    RUN_UNTIL(b.n == n);
    assert_int_equal(a.drained, 1);
    drop(&a);
    drop(&b);
}

static void what_is_gathered_is_not_lost_when_the_stream_is_closed_in_the_same_turn(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_gather(a.stream);
    assert_int_equal(write_text(&a, "farewell"), WEIR_OK);
    close_end(&a);
    RUN_UNTIL(b.ended == 1);
    assert_int_equal(b.n, 8);
    drop(&b);
}

static void what_is_gathered_is_not_lost_when_the_stream_is_finished_in_the_same_turn(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_gather(a.stream);
    assert_int_equal(write_text(&a, "farewell"), WEIR_OK);
    stream_finish(a.stream);
    a.stream = NULL;
    RUN_UNTIL(b.ended == 1);
    assert_int_equal(b.n, 8);
    drop(&a);
    drop(&b);
}

static void a_gathering_stream_that_breaks_is_told_and_survives_its_close(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_gather(a.stream);
    drop(&b);
    assert_int_equal(write_text(&a, "too late"), WEIR_OK);
    RUN_UNTIL(a.broken == 1);
    drop(&a);
    make_pair(&a, &b);
    stream_gather(a.stream);
    drop(&b);
    assert_int_equal(write_text(&a, "too late"), WEIR_OK);
    drop(&a); /* the write fails inside */
    assert_int_equal(a.broken, 0);
}

static void chunks_without_a_buffer_are_copied_and_mix_with_others(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    size_t n = 1024 * 1024, written = 0;
    weir_buf_t *buf = pattern(n);
    /* Of every 1000 bytes, 300 come from a scratch that is overwritten at once. */
    while (written < n) {
        char scratch[300];
        size_t lent = n - written < 700 ? n - written : 700;
        size_t own_bytes = n - written - lent < 300 ? n - written - lent : 300;
        memcpy(scratch, buf->data + written + lent, own_bytes);
        weir_chunk_t chunks[] = {{.bytes = weir_slice(buf->data + written, lent), .buf = buf},
                                 {.bytes = weir_slice(scratch, own_bytes)}};
        assert_int_not_equal(stream_write(a.stream, chunks, 2), WEIR_ECLOSED);
        memset(scratch, 0, sizeof(scratch));
        written += lent + own_bytes;
    }
    buf_unref(buf);
    RUN_UNTIL(b.n == n);
    assert_pattern(&b, n);
    drop(&a);
    drop(&b);
}

static void small_copies_share_a_buffer(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    assert_int_equal(write_pattern(&a, 700000), WEIR_OK);
    uint32_t before = bufs_in_use(proc->bufs);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write_text(&a, "0123456789"), WEIR_OK);
    assert_int_equal(bufs_in_use(proc->bufs) - before, 1);
    RUN_UNTIL(b.n == 710000);
    assert_memory_equal(b.bytes + 709980, "01234567890123456789", 20);
    drop(&a);
    drop(&b);
}

static void the_end_is_told_once_and_the_loop_can_sleep_then(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    assert_int_equal(shutdown(stream_fileno(a.stream), SHUT_WR), 0);
    RUN_UNTIL(b.ended == 1);
    for (int i = 0; i < 5; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(b.readable, 1);
    /* A half-closed peer still gets its answer. */
    assert_int_equal(write_text(&b, "answer"), WEIR_OK);
    RUN_UNTIL(a.n == 6);
    drop(&a);
    drop(&b);
}

static void a_paused_stream_is_quiet_until_it_goes_on(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_pause(b.stream, true);
    assert_int_equal(write_text(&a, "later"), WEIR_OK);
    for (int i = 0; i < 5; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(b.readable, 0);
    stream_pause(b.stream, false);
    RUN_UNTIL(b.n == 5);
    drop(&a);
    drop(&b);
}

static void callbacks_may_close_the_stream(void **state)
{
    (void)state;
    struct end a = {.closes_when_drained = true}, b = {.closes_when_readable = true}, c = {0};
    make_pair(&a, &b);
    assert_int_equal(write_text(&a, "x"), WEIR_OK);
    RUN_UNTIL(b.stream == NULL);
    drop(&a);
    drop(&b);

    a.closes_when_drained = true;
    make_pair(&a, &c);
    stream_limit(a.stream, 100000, 60000);
    assert_int_equal(write_pattern(&a, 1000000), WEIR_EFULL);
    RUN_UNTIL(a.stream == NULL);
    assert_int_equal(a.drained, 1);
    drop(&c);
    drop(&a);
}

static void a_write_to_an_end_that_has_gone_is_told_once(void **state)
{
    (void)state;
    struct end a = {.keeps_quiet = true}, b = {0};
    make_pair(&a, &b);
    drop(&b);
    assert_int_equal(write_text(&a, "x"), WEIR_ECLOSED);
    assert_int_equal(a.broken, 0); /* never from inside a call */
    assert_int_equal(write_text(&a, "x"), WEIR_ECLOSED);
    RUN_UNTIL(a.broken == 1);
    assert_non_null(strstr(a.why, "Broken pipe"));
    drop(&a);
}

static void what_arrived_before_a_write_failed_can_still_be_read(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    assert_int_equal(write_text(&b, "413 too large"), WEIR_OK);
    drop(&b);
    assert_int_equal(write_text(&a, "the rest of the body"), WEIR_ECLOSED);
    RUN_UNTIL(a.broken == 1);
    assert_int_equal(a.n, 13);
    drop(&a);
}

static void a_queue_that_does_not_move_within_send_timeout_breaks_the_stream(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_pause(b.stream, true);
    stream_limit(a.stream, 1024, 20);
    assert_int_equal(write_pattern(&a, 1000000), WEIR_EFULL);
    RUN_UNTIL(a.broken == 1);
    assert_non_null(strstr(a.why, "send_timeout"));
    drop(&a);
    drop(&b);
}

static void without_a_send_timeout_the_other_end_may_take_its_time(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    stream_pause(b.stream, true);
    stream_limit(a.stream, 1024, 0);
    assert_int_equal(write_pattern(&a, 1000000), WEIR_EFULL);
    ev_tstamp from = ev_now(proc->loop);
    RUN_UNTIL(ev_now(proc->loop) - from > 0.02);
    assert_int_equal(a.broken, 0);
    stream_pause(b.stream, false);
    RUN_UNTIL(b.n == 1000000);
    assert_int_equal(a.drained, 1);
    drop(&a);
    drop(&b);
}

static void finish_writes_what_is_queued_and_then_ends(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    make_pair(&a, &b);
    size_t n = 2000000;
    assert_int_equal(write_pattern(&a, n), WEIR_EFULL);
    stream_finish(a.stream);
    a.stream = NULL;
    RUN_UNTIL(b.ended == 1);
    assert_pattern(&b, n);
    drop(&b);
    RUN_UNTIL(bufs_in_use(proc->bufs) == 0);
    drop(&a);
}

static void connect_loopback(struct end *a, struct end *b)
{
    char text[ADDRESS_TEXT_MAX];
    struct address at;
    int listener = address_listen("127.0.0.1:0", false, 16, NULL);
    assert_int_equal(address_bound(listener, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_parse(text, &at, NULL), WEIR_OK);
    struct target *target =
        target_new(at.host, at.port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = 1000}, NULL);
    own(a, stream_connect_target(target, &events, a, NULL));
    target_free(target); /* the dial keeps it */
    RUN_UNTIL(a->connected == 1);
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    own(b, stream_accept(fd, (struct sockaddr *)&peer, len, NULL, NULL));
    close(listener);
}

static void a_reply_survives_bytes_that_come_after_it(void **state)
{
    (void)state;
    struct end client = {.keeps_quiet = true}, server = {.keeps_quiet = true};
    connect_loopback(&client, &server);
    assert_int_equal(write_text(&client, "a body that nobody reads"), WEIR_OK);
    RUN_UNTIL(server.readable > 0);
    stream_pause(client.stream, true);
    assert_int_equal(write_text(&server, "no"), WEIR_OK);
    stream_finish(server.stream);
    server.stream = NULL;
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(write_text(&client, "and more of it"), WEIR_OK);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(write_text(&client, "and more of it"), WEIR_OK);
    client.keeps_quiet = false;
    stream_pause(client.stream, false);
    RUN_UNTIL(client.ended == 1);
    assert_int_equal(client.n, 2);
    drop(&client);
    drop(&server);
    for (int i = 0; i < 3; i++) /* the server sees the end and goes */
        ev_run(proc->loop, EVRUN_NOWAIT);
}

/* The hard way: the other end reads a reset. */
static void reset_end(struct end *end)
{
    struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(stream_fileno(end->stream), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    drop(end);
}

static void what_came_after_the_other_end_had_closed_is_known_to_be_untaken(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    connect_loopback(&a, &b);
    write_text(&a, "before");
    RUN_UNTIL(b.n == 6);
    stream_pause(a.stream, true);
    uint64_t mark = stream_taken(a.stream);
    assert_int_equal(mark, 6);
    drop(&b);
    assert_int_equal(write_text(&a, "after"), WEIR_OK);
    stream_pause(a.stream, false);
    RUN_UNTIL(a.ended == 1);
    assert_true(stream_is_untaken(a.stream, mark));
    assert_false(stream_is_untaken(a.stream, 0));
    drop(&a);
}

static void what_the_kernel_did_not_take_is_known_to_be_untaken(void **state)
{
    (void)state;
    struct end a = {.keeps_quiet = true}, b = {0};
    connect_loopback(&a, &b);
    reset_end(&b);
    uint64_t mark = stream_taken(a.stream);
    assert_int_equal(write_text(&a, "after"), WEIR_ECLOSED);
    assert_true(stream_is_untaken(a.stream, mark));
    drop(&a);
}

/* By a reset nobody can tell what was read before it, even when no acknowledgement came. */
static void what_was_read_is_never_said_to_be_untaken(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct end a = {0}, b = {0};
        connect_loopback(&a, &b);
        uint64_t mark = stream_taken(a.stream);
        write_text(&a, "read");
        RUN_UNTIL(b.n == 4);
        (way == 0 ? drop : reset_end)(&b);
        RUN_UNTIL(a.ended + a.failed == 1);
        assert_false(stream_is_untaken(a.stream, mark));
        drop(&a);
    }
}

static void pipes_are_one_stream_and_finish_closes_the_childs_stdin(void **state)
{
    (void)state;
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct end parent = {0}, child = {0};
    own(&parent, stream_pipes(out[0], in[1], NULL));
    own(&child, stream_pipes(in[0], out[1], NULL));
    assert_int_equal(write_pattern(&parent, 300000), WEIR_OK);
    assert_int_equal(write_text(&child, "hello"), WEIR_OK);
    RUN_UNTIL(child.n == 300000 && parent.n == 5);
    stream_finish(parent.stream);
    parent.stream = NULL;
    RUN_UNTIL(child.ended == 1);
    assert_int_equal(write_text(&child, "bye"), WEIR_OK); /* no SIGPIPE while it cleans up */
    drop(&child);
    drop(&parent);
    for (int i = 0; i < 3; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
}

/* ---- connecting */

static void both_ends_know_each_others_address(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    connect_loopback(&a, &b);
    assert_true(weir_slice_eq(stream_peer(a.stream), WEIR_LIT("127.0.0.1")));
    assert_true(weir_slice_eq(stream_peer(b.stream), WEIR_LIT("127.0.0.1")));
    assert_false(stream_is_tls(a.stream));
    drop(&a);
    drop(&b);
}

/* A port that nobody listens on. */
static uint16_t closed_port(void)
{
    char text[ADDRESS_TEXT_MAX];
    struct address at;
    int fd = address_listen("127.0.0.1:0", false, 1, NULL);
    assert_int_equal(address_bound(fd, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_parse(text, &at, NULL), WEIR_OK);
    close(fd);
    return at.port;
}

static void a_refused_connection_names_the_server(void **state)
{
    (void)state;
    struct end a = {0};
    dial(&a, "127.0.0.1", closed_port(), 1000);
    assert_int_equal(a.broken, 0);
    RUN_UNTIL(a.broken == 1);
    assert_non_null(strstr(a.why, "cannot connect to 127.0.0.1:"));
    assert_non_null(strstr(a.why, "Connection refused"));
    drop(&a);
    dial(&a, "unix:/nonexistent/socket", 0, 1000);
    assert_int_equal(a.broken, 0);
    RUN_UNTIL(a.broken == 1);
    assert_non_null(strstr(a.why, "unix:/nonexistent/socket: No such file"));
    drop(&a);
}

static void a_name_is_resolved_and_the_address_that_answers_is_found(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    struct address at;
    int listener = address_listen("127.0.0.1:0", false, 16, NULL); /* localhost may be ::1 first, which refuses */
    assert_int_equal(address_bound(listener, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_parse(text, &at, NULL), WEIR_OK);
    struct end a = {0};
    dial(&a, "localhost", at.port, 2000);
    assert_int_equal(write_text(&a, "early"), WEIR_OK);
    RUN_UNTIL(a.connected + a.broken > 0);
    assert_string_equal(a.why, "");
    int fd = accept(listener, NULL, NULL);
    char bytes[8];
    RUN_UNTIL(stream_queued(a.stream) == 0);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 5);
    close(fd);
    close(listener);
    drop(&a);
}

static void a_name_that_does_not_exist_is_named_with_a_remedy(void **state)
{
    (void)state;
    struct end a = {0};
    dial(&a, "no-such-host.invalid", 80, 300);
    RUN_UNTIL(a.broken == 1);
    assert_non_null(strstr(a.why, "no-such-host.invalid"));
    assert_non_null(strstr(a.why, "check the name"));
    drop(&a);
}

static void closing_while_connecting_and_resolving_is_safe(void **state)
{
    (void)state;
    struct end a = {0};
    dial(&a, "127.0.0.1", closed_port(), 1000);
    drop(&a);
    dial(&a, "localhost", closed_port(), 1000);
    drop(&a);
    dial(&a, "no-such-host.invalid", 80, 1000);
    drop(&a);
    for (int i = 0; i < 5; i++)
        ev_run(proc->loop, EVRUN_NOWAIT);
}

static void an_idle_stream_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct weir_stream) <= 250);
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, process_begin, process_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(what_is_written_at_one_end_is_read_at_the_other),
        PLAIN(more_than_the_kernel_takes_is_queued_and_arrives_in_order),
        PLAIN(what_is_gathered_in_one_turn_leaves_in_one_write_at_its_end),
        PLAIN(what_is_gathered_leaves_before_what_is_large),
        PLAIN(a_gathering_stream_whose_reader_is_slow_says_full_and_drained),
        PLAIN(what_is_gathered_is_not_lost_when_the_stream_is_closed_in_the_same_turn),
        PLAIN(what_is_gathered_is_not_lost_when_the_stream_is_finished_in_the_same_turn),
        PLAIN(a_gathering_stream_that_breaks_is_told_and_survives_its_close),
        PLAIN(chunks_without_a_buffer_are_copied_and_mix_with_others),
        PLAIN(small_copies_share_a_buffer),
        PLAIN(the_end_is_told_once_and_the_loop_can_sleep_then),
        PLAIN(a_paused_stream_is_quiet_until_it_goes_on),
        PLAIN(callbacks_may_close_the_stream),
        PLAIN(a_write_to_an_end_that_has_gone_is_told_once),
        PLAIN(what_arrived_before_a_write_failed_can_still_be_read),
        PLAIN(a_queue_that_does_not_move_within_send_timeout_breaks_the_stream),
        PLAIN(without_a_send_timeout_the_other_end_may_take_its_time),
        PLAIN(finish_writes_what_is_queued_and_then_ends),
        PLAIN(a_reply_survives_bytes_that_come_after_it),
        PLAIN(what_came_after_the_other_end_had_closed_is_known_to_be_untaken),
        PLAIN(what_the_kernel_did_not_take_is_known_to_be_untaken),
        PLAIN(what_was_read_is_never_said_to_be_untaken),
        PLAIN(pipes_are_one_stream_and_finish_closes_the_childs_stdin),
        PLAIN(both_ends_know_each_others_address),
        PLAIN(a_refused_connection_names_the_server),
        PLAIN(a_name_is_resolved_and_the_address_that_answers_is_found),
        PLAIN(a_name_that_does_not_exist_is_named_with_a_remedy),
        PLAIN(closing_while_connecting_and_resolving_is_safe),
        PLAIN(an_idle_stream_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
