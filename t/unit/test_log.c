/* test_log.c: the error log, read back from its file. */
#include "loop.h"

#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static char path[64], text[65536];

static int begin(void **state)
{
    process_begin(state);
    snprintf(path, sizeof(path), "/tmp/weir-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    proc->slot = 3;
    proc->log = log_open(WEIR_LOG_INFO, path, NULL);
    assert_non_null(proc->log);
    return 0;
}

static int end(void **state)
{
    log_close(proc->log);
    unlink(path);
    return process_end(state);
}

static const char *read_log(void)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void a_line_has_time_level_and_process(void **state)
{
    (void)state;
    regex_t line;
    const char *form = "^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z notice "
                       "\\[worker/3 [0-9]+\\] listener edge: 7 clients\n$";
    assert_int_equal(regcomp(&line, form, REG_EXTENDED), 0);
    log_write(WEIR_LOG_NOTICE, "listener %s: %d clients", "edge", 7);
    assert_int_equal(regexec(&line, read_log(), 0, NULL, 0), 0);
    regfree(&line);
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    assert_true(log_is_on(WEIR_LOG_INFO));
    assert_false(log_is_on(WEIR_LOG_DEBUG));
    log_write(WEIR_LOG_DEBUG, "a detail");
    assert_string_equal(read_log(), "");
}

static void control_characters_cannot_forge_a_line(void **state)
{
    (void)state;
    log_write(WEIR_LOG_WARN, "peer said %s", "a\nb\r\x1b[31m\x7f é\tz");
    assert_non_null(strstr(read_log(), "peer said a\\nb\\r\\x1b[31m\\x7f é\tz\n"));
    assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
}

static void a_line_that_is_too_long_is_cut_and_still_one_line(void **state)
{
    (void)state;
    char longest[10000];
    memset(longest, '\x01', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    log_write(WEIR_LOG_WARN, "%s", longest);
    size_t n = strlen(read_log());
    assert_true(n > 4000 && n <= 4096);
    assert_int_equal(text[n - 1], '\n');
}

static void after_reopen_lines_go_to_the_new_file(void **state)
{
    (void)state;
    char old[80];
    snprintf(old, sizeof(old), "%s.1", path);
    log_write(WEIR_LOG_WARN, "before");
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(log_reopen(proc->log, NULL), WEIR_OK);
    log_write(WEIR_LOG_WARN, "after");
    assert_null(strstr(read_log(), "before"));
    assert_non_null(strstr(text, "after"));
    unlink(old);
}

static void a_log_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    weir_error_t err = {""};
    assert_null(log_open(WEIR_LOG_INFO, "/nonexistent/log", &err));
    assert_string_equal(err.text, "cannot open the log /nonexistent/log: there is no such folder");
}

static void a_reader_that_does_not_read_loses_lines_and_is_told_how_many(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(log_reopen(proc->log, NULL), WEIR_OK);
    for (int i = 0; i < 3000; i++)
        log_write(WEIR_LOG_WARN, "line %d %0100d", i, 0); /* far more than a pipe holds; must return */
    while (read(reader, text, sizeof(text)) > 0)
        continue;
    log_write(WEIR_LOG_WARN, "again");
    ssize_t n = read(reader, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "lines were lost"));
    assert_non_null(strstr(text, "again"));
    close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_and_process),
        TEST(what_is_below_the_level_is_not_written),
        TEST(control_characters_cannot_forge_a_line),
        TEST(a_line_that_is_too_long_is_cut_and_still_one_line),
        TEST(after_reopen_lines_go_to_the_new_file),
        TEST(a_log_that_cannot_be_opened_is_named),
        TEST(a_reader_that_does_not_read_loses_lines_and_is_told_how_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
