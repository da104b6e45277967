/* test_child.c: real children behind real minders: what is told of them, and that nothing of them is ever left. */
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kin.h"
#include "log.h"
#include "stream.h"

/* A child and all that was heard of it. */
typedef struct heard {
    weir_child_t *child;
    weir_stream_t *stream;
    bool is_started, is_exited, is_eof;
    char how[300];
    char out[4096];
    size_t used;
} heard_t;

static void on_readable(void *owner)
{
    heard_t *h = owner;
    long n = stream_read(h->stream, h->out + h->used, sizeof(h->out) - 1 - h->used);
    if (n > 0)
        h->used += (size_t)n;
    else if (n != WEIR_EAGAIN)
        h->is_eof = true;
}

static void on_broken(void *owner, const char *why)
{
    (void)why;
    ((heard_t *)owner)->is_eof = true;
}

static void on_started(void *owner)
{
    ((heard_t *)owner)->is_started = true;
}

static void on_exited(void *owner, const char *how)
{
    heard_t *h = owner;
    h->is_exited = true;
    h->child = NULL;
    snprintf(h->how, sizeof(h->how), "%s", how);
}

static weir_child_spec_t spec_of(const char *const *argv)
{
    static const weir_stream_events_t events = {.readable = on_readable, .broken = on_broken};
    weir_child_spec_t spec = {
        .name = "t/1", .stop_timeout_ms = 50, .events = &events, .exited = on_exited, .started = on_started};
    spec.command.items = argv;
    while (argv[spec.command.count] != NULL)
        spec.command.count++;
    return spec;
}

static void start(heard_t *h, const weir_child_spec_t *spec)
{
    weir_error_t err = {""};
    memset(h, 0, sizeof(*h));
    h->child = child_start(spec, h, &h->stream, &err);
    if (h->child == NULL)
        fail_msg("%s", err.text);
}

/* Run a line of shell. */
static void start_shell(heard_t *h, const char *line)
{
    const char *const argv[] = {"sh", "-c", line, NULL};
    weir_child_spec_t spec = spec_of(argv);
    start(h, &spec);
}

static void run_to_the_end(heard_t *h)
{
    RUN_UNTIL(h->is_exited && h->is_eof);
    stream_close(h->stream);
}

static int child_begin(void **state)
{
    process_begin(state);
    proc->children = children_new();
    assert_non_null(proc->children);
    return 0;
}

/* Every test ends here, so every test also shows that it has left no process, living or dead. */
static int child_end(void **state)
{
    assert_int_equal(children_count(proc->children), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    children_free(proc->children);
    log_close(proc->log);
    return process_end(state);
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

/* ---- what is told ---- */

static void the_exit_status_is_told(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "exit 3");
    run_to_the_end(&h);
    assert_true(h.is_started);
    assert_string_equal(h.how, "exited with status 3");
}

static void the_signal_that_killed_it_is_told(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "kill -SEGV $$");
    run_to_the_end(&h);
    assert_non_null(strstr(h.how, "killed by signal 11 (SIGSEGV)"));
}

static void a_command_that_cannot_be_run_is_told_and_was_never_started(void **state)
{
    (void)state;
    heard_t h;
    const char *const argv[] = {"/nowhere/server", NULL};
    weir_child_spec_t spec = spec_of(argv);
    start(&h, &spec);
    run_to_the_end(&h);
    assert_false(h.is_started);
    assert_string_equal(h.how, "cannot run /nowhere/server: No such file or directory");
}

/* With one descriptor more each time: of all that a child needs, the last is what watches its minder. */
static void a_child_that_cannot_be_started_or_watched_leaves_no_stream(void **state)
{
    (void)state;
    const char *const argv[] = {"true", NULL};
    weir_child_spec_t spec = spec_of(argv);
    weir_error_t err = {""};
    heard_t h = {0};
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t limit = 3; h.child == NULL; limit++) {
        const struct rlimit tight = {.rlim_cur = limit, .rlim_max = before.rlim_max};
        assert_null(h.stream);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        h.child = child_start(&spec, &h, &h.stream, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    }
    assert_non_null(strstr(err.text, "cannot watch its minder"));
    run_to_the_end(&h);
}

static void a_folder_and_a_user_that_are_not_there_are_told(void **state)
{
    (void)state;
    heard_t h;
    const char *const argv[] = {"true", NULL};
    weir_child_spec_t spec = spec_of(argv);
    spec.cwd = "/nowhere";
    start(&h, &spec);
    run_to_the_end(&h);
    assert_string_equal(h.how, "cannot go to its cwd /nowhere: No such file or directory");
    spec.user = "nobody-of-that-name";
    start(&h, &spec);
    run_to_the_end(&h);
    assert_non_null(strstr(h.how, "nobody-of-that-name"));
}

static void what_it_wrote_before_it_exited_is_not_lost(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "echo one; echo two");
    RUN_UNTIL(h.is_exited);
    RUN_UNTIL(h.is_eof);
    stream_close(h.stream);
    assert_string_equal(h.out, "one\ntwo\n");
}

/* ---- what it is given ---- */

static void it_has_its_environment_and_its_folder(void **state)
{
    (void)state;
    heard_t h;
    const char *const names[] = {"GREETING", NULL}, *const values[] = {"good morning", NULL};
    const char *const argv[] = {"sh", "-c", "echo \"$GREETING\"; pwd", NULL};
    weir_child_spec_t spec = spec_of(argv);
    spec.env = (weir_map_t){names, values, 1};
    spec.cwd = "/";
    start(&h, &spec);
    run_to_the_end(&h);
    assert_string_equal(h.out, "good morning\n/\n");
}

/* A keeper begins with nothing ignored and nothing blocked; whoever started the test may have left it otherwise. */
static void plain_signals(void)
{
    struct sigaction now, plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < SIGRTMIN; number++)
        if (number != SIGPIPE && sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            assert_int_equal(sigaction(number, &plain, NULL), 0);
    sigset_t none;
    sigemptyset(&none);
    assert_int_equal(sigprocmask(SIG_SETMASK, &none, NULL), 0);
}

static void it_has_three_descriptors_and_no_signal_is_blocked_or_ignored(void **state)
{
    (void)state;
    heard_t h;
    plain_signals();
    /* 32 and 33 are the C library's own. Its posix_spawn() has them ignored in all that make starts, and nobody can undo it. */
    start_shell(&h, "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && printf '%s ' $i; done; "
                    "grep -cE 'Sig(Blk|Ign):.0000000([01]8|00)0000000' /proc/self/status");
    run_to_the_end(&h);
    assert_string_equal(h.out, "0 1 2 2\n");
}

static void it_has_its_limits(void **state)
{
    (void)state;
    heard_t h;
    const char *const argv[] = {"sh", "-c", "ulimit -n; ulimit -t", NULL};
    weir_child_spec_t spec = spec_of(argv);
    spec.limit_files = 77;
    spec.limit_cpu_s = 5;
    start(&h, &spec);
    run_to_the_end(&h);
    assert_string_equal(h.out, "77\n5\n");
}

static void messages_go_in_and_come_out(void **state)
{
    (void)state;
    heard_t h;
    const char *const argv[] = {"cat", NULL};
    weir_child_spec_t spec = spec_of(argv);
    start(&h, &spec);
    weir_chunk_t chunk = {.bytes = WEIR_LIT("{\"a\":1}\n")};
    assert_int_equal(stream_write(h.stream, &chunk, 1), WEIR_OK);
    RUN_UNTIL(h.is_started && h.used == chunk.bytes.n);
    assert_string_equal(h.out, "{\"a\":1}\n");
    assert_true(child_pid(h.child) > 0);
    stream_finish(h.stream);
    child_stop(h.child);
    RUN_UNTIL(children_count(proc->children) == 0);
    assert_false(h.is_exited);
}

/* Everything that was logged. */
static void log_read(FILE *file, char *text, size_t n)
{
    rewind(file);
    text[fread(text, 1, n - 1, file)] = '\0';
}

static void what_it_says_on_stderr_is_logged_by_the_line(void **state)
{
    (void)state;
    heard_t h;
    char path[] = "/tmp/test_child.XXXXXX", text[16384], line[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "r");
    proc->log = log_open(WEIR_LOG_INFO, path, NULL);
    assert_non_null(proc->log);
    start_shell(&h, "printf 'one\\r\\ntw' >&2; sleep 0.05; echo o >&2; printf '%02000d\\n' 7 >&2; printf end >&2");
    RUN_UNTIL(h.is_started);
    long pid = child_pid(h.child);
    run_to_the_end(&h);
    log_read(file, text, sizeof(text));
    snprintf(line, sizeof(line), "t/1[%ld] stderr: one\n", pid);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "stderr: two\n"));
    assert_non_null(strstr(text, "0000000…\n"));
    assert_non_null(strstr(text, "stderr: end\n"));
    fclose(file);
    unlink(path);
}

static void a_flood_on_stderr_is_counted_and_not_logged(void **state)
{
    (void)state;
    heard_t h;
    char path[] = "/tmp/test_child.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    proc->log = log_open(WEIR_LOG_INFO, path, NULL);
    start_shell(&h, "i=0; while [ $i -lt 20000 ]; do echo $i >&2; i=$((i+1)); done");
    run_to_the_end(&h);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 400 * 1024);
    unlink(path);
}

/* ---- how it ends ---- */

static void one_that_goes_on_when_its_stdin_is_closed_gets_TERM(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done");
    RUN_UNTIL(h.used > 0);
    stream_finish(h.stream);
    child_stop(h.child);
    RUN_UNTIL(children_count(proc->children) == 0);
}

static void one_that_does_not_heed_TERM_is_killed(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "trap '' TERM; echo up; while :; do sleep 0.02; done");
    RUN_UNTIL(h.used > 0);
    stream_finish(h.stream);
    child_stop(h.child);
    RUN_UNTIL(children_count(proc->children) == 0);
}

static unsigned emptied;

static void on_empty(void)
{
    emptied++;
}

static void all_are_stopped_and_the_last_one_is_told(void **state)
{
    (void)state;
    heard_t h[3];
    emptied = 0;
    start_shell(&h[0], "trap '' TERM; echo up; while :; do sleep 0.02; done");
    start_shell(&h[1], "echo up; exec sleep 1000");
    start_shell(&h[2], "echo up; sleep 1000 & wait");
    RUN_UNTIL(h[0].used > 0 && h[1].used > 0 && h[2].used > 0);
    children_on_empty(on_empty);
    assert_int_equal(emptied, 0);
    children_stop(proc->children, false);
    RUN_UNTIL(emptied == 1);
    for (size_t i = 0; i < 3; i++)
        run_to_the_end(&h[i]);
    children_on_empty(on_empty);
    assert_int_equal(emptied, 2);
}

static pid_t number_in(const char *text)
{
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    assert_true(pid > 1);
    return pid;
}

static void what_left_its_group_and_session_ends_with_it(void **state)
{
    (void)state;
    heard_t h;
    start_shell(&h, "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2");
    run_to_the_end(&h);
    assert_false(is_alive(number_in(h.out)));
}

static void a_minder_that_is_killed_takes_everything_along(void **state)
{
    (void)state;
    heard_t h;
    pid_t minder;
    emptied = 0;
    start_shell(&h, "setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000");
    RUN_UNTIL(h.used > 0 && h.is_started);
    pid_t command = (pid_t)child_pid(h.child), away = number_in(h.out);
    assert_int_equal(kin_children(getpid(), &minder, 1), 1);
    assert_int_equal(kill(minder, SIGKILL), 0);
    run_to_the_end(&h);
    assert_non_null(strstr(h.how, "lost its minder (killed by signal 9"));
    children_on_empty(on_empty);
    RUN_UNTIL(emptied == 1);
    assert_false(is_alive(command));
    assert_false(is_alive(away));
}

/* The life of a process that owns a child; killed from outside. */
_Noreturn static void owner_main(int told)
{
    heard_t h;
    void *state = NULL;
    child_begin(&state);
    start_shell(&h, "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 1; done' & "
                    "while :; do sleep 1; done");
    while (h.used == 0 || !h.is_started)
        ev_run(proc->loop, EVRUN_ONCE);
    pid_t pids[] = {(pid_t)child_pid(h.child), number_in(h.out)};
    ssize_t n = write(told, pids, sizeof(pids));
    while (n > 0)
        pause();
    _exit(1);
}

/* The owner's orphans become ours, so that all of them have ended when we have no child any more. */
static void nothing_outlives_an_owner_that_is_killed(void **state)
{
    (void)state;
    int told[2];
    pid_t pids[2];
    assert_int_equal(pipe(told), 0);
    pid_t owner = fork();
    if (owner == 0)
        owner_main(told[1]);
    assert_true(owner > 0);
    assert_int_equal(read(told[0], pids, sizeof(pids)), sizeof(pids));
    assert_true(is_alive(pids[0]) && is_alive(pids[1]));
    assert_int_equal(kill(owner, SIGKILL), 0);
    RUN_UNTIL(waitpid(-1, NULL, WNOHANG) < 0);
    assert_int_equal(errno, ECHILD);
    assert_false(is_alive(pids[0]));
    assert_false(is_alive(pids[1]));
    close(told[0]);
    close(told[1]);
}

static void a_hundred_come_and_go(void **state)
{
    (void)state;
    static heard_t h[100];
    const char *const argv[] = {"cat", NULL};
    weir_child_spec_t spec = spec_of(argv);
    spec.stop_timeout_ms = 5000;
    for (size_t i = 0; i < 100; i++)
        start(&h[i], &spec);
    for (size_t i = 0; i < 100; i++) {
        stream_finish(h[i].stream);
        child_stop(h[i].child);
    }
    RUN_UNTIL(children_count(proc->children) == 0);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, child_begin, child_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_exit_status_is_told),
        SCENE(the_signal_that_killed_it_is_told),
        SCENE(a_command_that_cannot_be_run_is_told_and_was_never_started),
        SCENE(a_child_that_cannot_be_started_or_watched_leaves_no_stream),
        SCENE(a_folder_and_a_user_that_are_not_there_are_told),
        SCENE(what_it_wrote_before_it_exited_is_not_lost),
        SCENE(it_has_its_environment_and_its_folder),
        SCENE(it_has_three_descriptors_and_no_signal_is_blocked_or_ignored),
        SCENE(it_has_its_limits),
        SCENE(messages_go_in_and_come_out),
        SCENE(what_it_says_on_stderr_is_logged_by_the_line),
        SCENE(a_flood_on_stderr_is_counted_and_not_logged),
        SCENE(one_that_goes_on_when_its_stdin_is_closed_gets_TERM),
        SCENE(one_that_does_not_heed_TERM_is_killed),
        SCENE(all_are_stopped_and_the_last_one_is_told),
        SCENE(what_left_its_group_and_session_ends_with_it),
        SCENE(a_minder_that_is_killed_takes_everything_along),
        SCENE(nothing_outlives_an_owner_that_is_killed),
        SCENE(a_hundred_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
