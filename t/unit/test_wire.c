/* test_wire.c: frames between worker and keeper come out as they went in, however the bytes arrive. */
#include "loop.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "stream.h"

/* ---- arrangement: one end is a wire, the other an fd or a second wire ---- */

#define HEARD_MAX 64

static struct world {
    wire_t wire, other;
    int fd; /* the far end, where it is no wire */
    frame_t heard[HEARD_MAX];
    char payload[HEARD_MAX][64]; /* the beginning of each */
    size_t heard_n, bytes;
    unsigned gone;
    bool closes; /* at the first frame */
} w;

static void on_frame(void *owner, const frame_t *frame, weir_slice_t payload)
{
    assert_int_equal(frame->n, payload.n);
    assert_true(w.heard_n < HEARD_MAX);
    w.heard[w.heard_n] = *frame;
    memcpy(w.payload[w.heard_n], payload.p, payload.n < 64 ? payload.n : 64);
    for (size_t i = 0; i < payload.n; i++) /* the frame's own: it may be written to */
        ((char *)payload.p)[i] ^= 1;
    w.bytes += payload.n;
    w.heard_n++;
    if (w.closes)
        wire_close(owner);
}

static void on_gone(void *owner, const char *why)
{
    (void)owner;
    assert_non_null(why);
    w.gone++;
}

static int begin(void **state)
{
    int fds[2];
    process_begin(state);
    memset(&w, 0, sizeof(w));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    w.wire = (wire_t){.owner = &w.wire, .frame = on_frame, .gone = on_gone};
    w.other = (wire_t){.owner = &w.other, .frame = on_frame, .gone = on_gone};
    w.fd = fds[1];
    return wire_open(&w.wire, fds[0], 1 << 20, NULL);
}

static int end(void **state)
{
    wire_close(&w.wire);
    wire_close(&w.other);
    if (w.fd >= 0)
        close(w.fd);
    return process_end(state);
}

static void make_the_far_end_a_wire(void)
{
    assert_int_equal(wire_open(&w.other, w.fd, 1 << 20, NULL), WEIR_OK);
    w.fd = -1;
}

static size_t put_frame(char *p, uint32_t id, const char *payload)
{
    frame_t frame = {.n = (uint32_t)strlen(payload), .word = FRAME_MESSAGE, .id = id};
    memcpy(p, &frame, sizeof(frame));
    memcpy(p + sizeof(frame), payload, frame.n);
    return sizeof(frame) + frame.n;
}

static void say(const char *p, size_t n)
{
    assert_int_equal(write(w.fd, p, n), n);
}

/* ---- scenes ---- */

static void a_frame_arrives_as_it_was_written(void **state)
{
    (void)state;
    make_the_far_end_a_wire();
    weir_chunk_t parts[] = {{.bytes = WEIR_LIT("one ")}, {.bytes = WEIR_LIT("")}, {.bytes = WEIR_LIT("message")}};
    frame_t frame = {.word = FRAME_MESSAGE, .flags = FRAME_FINAL, .arg = 200, .id = 7, .extra = 4};
    assert_int_equal(wire_write(&w.other, &frame, parts, 3), WEIR_OK);
    frame_t empty = {.word = FRAME_END, .id = 8};
    assert_int_equal(wire_write(&w.other, &empty, NULL, 0), WEIR_OK);
    RUN_UNTIL(w.heard_n == 2);
    assert_int_equal(w.heard[0].n, 11);
    assert_true(w.heard[0].word == FRAME_MESSAGE && w.heard[0].flags == FRAME_FINAL && w.heard[0].arg == 200);
    assert_true(w.heard[0].id == 7 && w.heard[0].extra == 4);
    assert_memory_equal(w.payload[0], "one message", 11);
    assert_true(w.heard[1].n == 0 && w.heard[1].word == FRAME_END && w.heard[1].id == 8);
}

static void frames_come_out_of_every_split(void **state)
{
    (void)state;
    char bytes[256];
    size_t n = put_frame(bytes, 1, "first");
    n += put_frame(bytes + n, 2, "");
    n += put_frame(bytes + n, 3, "third one");
    for (size_t split = 0; split <= n; split++) {
        w.heard_n = 0;
        if (split > 0)
            say(bytes, split);
        ev_run(proc->loop, EVRUN_NOWAIT);
        if (split < n)
            say(bytes + split, n - split);
        RUN_UNTIL(w.heard_n == 3);
        assert_memory_equal(w.payload[0], "first", 5);
        assert_int_equal(w.heard[1].n, 0);
        assert_memory_equal(w.payload[2], "third one", 9);
        assert_true(w.heard[0].id == 1 && w.heard[1].id == 2 && w.heard[2].id == 3);
    }
}

static void frames_come_out_byte_by_byte(void **state)
{
    (void)state;
    char bytes[256];
    size_t n = put_frame(bytes, 1, "first");
    n += put_frame(bytes + n, 2, "second");
    for (size_t i = 0; i < n; i++) {
        say(bytes + i, 1);
        ev_run(proc->loop, EVRUN_NOWAIT);
    }
    RUN_UNTIL(w.heard_n == 2);
    assert_memory_equal(w.payload[1], "second", 6);
}

static void a_frame_larger_than_any_buffer_arrives_among_small_ones(void **state)
{
    (void)state;
    make_the_far_end_a_wire();
    size_t size = 700000;
    char *large = malloc(size);
    memset(large, 'x', size);
    large[0] = 'a';
    weir_chunk_t small = {.bytes = WEIR_LIT("small")}, part = {.bytes = weir_slice(large, size)};
    for (uint32_t i = 0; i < 30; i++) {
        frame_t frame = {.word = FRAME_MESSAGE, .id = i};
        wire_write(&w.other, &frame, i == 15 ? &part : &small, 1);
    }
    free(large);
    RUN_UNTIL(w.heard_n == 30);
    assert_int_equal(w.bytes, 29 * 5 + size);
    for (uint32_t i = 0; i < 30; i++)
        assert_true(w.heard[i].id == i && w.payload[i][0] == (i == 15 ? 'a' : 's'));
}

/* How many bytes the far end can read at once; none: -1. */
static ssize_t arrived(void)
{
    char bytes[4096];
    return recv(w.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void small_frames_of_a_turn_leave_together_at_its_end(void **state)
{
    (void)state;
    weir_chunk_t part = {.bytes = WEIR_LIT("small")};
    for (uint32_t i = 0; i < 10; i++) {
        frame_t frame = {.word = FRAME_MESSAGE, .id = i};
        assert_int_equal(wire_write(&w.wire, &frame, &part, 1), WEIR_OK);
    }
    assert_int_equal(arrived(), -1);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(arrived(), 10 * (sizeof(frame_t) + 5));
    assert_null(w.wire.joined);
}

static void what_waits_for_the_end_of_the_turn_is_written_when_the_wire_is_closed(void **state)
{
    (void)state;
    frame_t frame = {.word = FRAME_END, .id = 1};
    assert_int_equal(wire_write(&w.wire, &frame, NULL, 0), WEIR_OK);
    wire_close(&w.wire);
    assert_int_equal(arrived(), sizeof(frame_t));
    assert_int_equal(arrived(), 0);
}

static void an_idle_wire_owns_no_buffer(void **state)
{
    (void)state;
    char bytes[64];
    size_t n = put_frame(bytes, 1, "x");
    say(bytes, n - 1);
    RUN_UNTIL(w.wire.in != NULL);
    say(bytes + n - 1, 1);
    RUN_UNTIL(w.heard_n == 1);
    assert_null(w.wire.in);
    assert_int_equal(bufs_in_use(proc->bufs), 0);
}

static void a_frame_may_close_its_wire_and_no_other_follows(void **state)
{
    (void)state;
    char bytes[128];
    size_t n = put_frame(bytes, 1, "x");
    n += put_frame(bytes + n, 2, "y");
    w.closes = true;
    say(bytes, n);
    RUN_UNTIL(w.heard_n == 1);
    assert_null(w.wire.stream);
    assert_int_equal(w.gone, 0);
    frame_t frame = {.word = FRAME_END};
    assert_int_equal(wire_write(&w.wire, &frame, NULL, 0), WEIR_ECLOSED);
}

static void the_end_of_the_other_side_is_told_once(void **state)
{
    (void)state;
    char bytes[64];
    put_frame(bytes, 1, "cut short");
    say(bytes, 20);
    close(w.fd);
    w.fd = -1;
    RUN_UNTIL(w.gone == 1);
    assert_int_equal(w.heard_n, 0);
    assert_null(w.wire.stream);
    ev_run(proc->loop, EVRUN_NOWAIT);
    assert_int_equal(w.gone, 1);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_frame_arrives_as_it_was_written),
        SCENE(frames_come_out_of_every_split),
        SCENE(frames_come_out_byte_by_byte),
        SCENE(a_frame_larger_than_any_buffer_arrives_among_small_ones),
        SCENE(small_frames_of_a_turn_leave_together_at_its_end),
        SCENE(what_waits_for_the_end_of_the_turn_is_written_when_the_wire_is_closed),
        SCENE(an_idle_wire_owns_no_buffer),
        SCENE(a_frame_may_close_its_wire_and_no_other_follows),
        SCENE(the_end_of_the_other_side_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
