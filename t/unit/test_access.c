/* test_access.c: lines of the access log: what they say, that each is JSON, and that none is lost. */
#include "loop.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"

#define BUFFER 4096

static char folder[] = "/tmp/weir-access-XXXXXX";
static char file[64], rotated[64];
static config_t config;

static int folder_make(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/access.log", folder);
    snprintf(rotated, sizeof(rotated), "%s/access.log.1", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int access_begin(void **state)
{
    weir_error_t err;
    process_begin(state);
    config = (config_t){.access_file = file, .access_buffer = BUFFER, .access_flush_ms = 60000};
    proc->access = access_open(&config, &err);
    if (proc->access == NULL)
        fail_msg("%s", err.text);
    return 0;
}

static int access_end(void **state)
{
    access_close(proc->access);
    unlink(file);
    unlink(rotated);
    return process_end(state);
}

/* What a file holds, NUL-terminated; good until the next call. */
static const char *text_of(const char *path)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static size_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static access_record_t a_call(void)
{
    return (access_record_t){
        .listener = "edge",
        .upstream = "search",
        .server = "10.0.0.11:3000",
        .peer = WEIR_LIT("192.0.2.7"),
        .verb = WEIR_VERB_MESSAGE,
        .method = WEIR_LIT("tools/call"),
        .name = WEIR_LIT("find"),
        .trace = WEIR_LIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .reason = "",
        .outcome = {.status = 200, .us = 1234, .bytes_in = 250, .bytes_out = INT64_MAX},
    };
}

/* The one line that the log has, as JSON. */
static json_t *only_line(void)
{
    json_error_t why;
    access_flush(proc->access);
    const char *text = text_of(file), *end = strchr(text, '\n');
    assert_true(end != NULL && end[1] == '\0');
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (line == NULL)
        fail_msg("%s:\n%s", why.text, text);
    assert_int_equal(truncate(file, 0), 0);
    return line;
}

static const char *member(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text == NULL ? "(absent)" : text;
}

/* ---- what a line says ---- */

static void a_line_says_what_was_asked_and_how_it_ended(void **state)
{
    (void)state;
    access_record_t call = a_call();
    access_log(&call);
    json_t *line = only_line();
    assert_string_equal(member(line, "listener"), "edge");
    assert_string_equal(member(line, "peer"), "192.0.2.7");
    assert_string_equal(member(line, "verb"), "POST");
    assert_string_equal(member(line, "method"), "tools/call");
    assert_string_equal(member(line, "name"), "find");
    assert_string_equal(member(line, "upstream"), "search");
    assert_string_equal(member(line, "server"), "10.0.0.11:3000");
    assert_string_equal(member(line, "trace_id"), "0af7651916cd43dd8448eb211c80319c");
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(line, "bytes_in")), 250);
    assert_true(json_integer_value(json_object_get(line, "bytes_out")) == INT64_MAX);
    assert_int_equal(json_integer_value(json_object_get(line, "us")), 1234);
    assert_null(json_object_get(line, "reason"));
    json_decref(line);
}

static void what_there_is_not_is_not_said(void **state)
{
    (void)state;
    access_record_t refused = {
        .listener = "edge", .verb = WEIR_VERB_LISTEN, .reason = "bad_origin", .outcome = {.status = 403}};
    access_log(&refused);
    json_t *line = only_line();
    assert_string_equal(member(line, "verb"), "GET");
    assert_string_equal(member(line, "reason"), "bad_origin");
    static const char *const absent[] = {"peer", "method", "name", "upstream", "server", "trace_id"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(json_object_get(line, absent[i]));
    json_decref(line);
}

/* A client's name stood between its JSON quotes and stays as it was written; a server's is of the configuration. */
static void a_text_is_what_it_was(void **state)
{
    (void)state;
    access_record_t call = a_call();
    call.name = WEIR_LIT("caf\xc3\xa9 \\\"\\u00e9\\ud83d\\ude00\\n \xf0\x9f\x98\x80");
    call.server = "a\"b\\c";
    access_log(&call);
    json_t *line = only_line();
    assert_string_equal(member(line, "name"), "caf\xc3\xa9 \"\xc3\xa9\xf0\x9f\x98\x80\n \xf0\x9f\x98\x80");
    assert_string_equal(member(line, "server"), "a\"b\\c");
    json_decref(line);
}

/* Texts are cut wherever a bound of theirs falls, and a peer may send anything. */
static void whatever_a_text_is_the_line_is_json(void **state)
{
    (void)state;
    static const char bytes[] = "abcdefgh\"\\u12dD89Aaf/\n\t\x01\x7f\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff";
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char text[300];
        size_t n = (size_t)(rand() % (round % 50 == 0 ? 300 : 24));
        for (size_t i = 0; i < n; i++)
            text[i] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
        access_record_t call = a_call();
        call.method = call.name = call.peer = weir_slice(text, n);
        access_log(&call);
        json_decref(only_line());
    }
}

/* ---- when lines are written ---- */

static void lines_wait_until_the_buffer_is_full_and_are_whole_then(void **state)
{
    (void)state;
    access_record_t call = a_call();
    size_t lines = 0;
    while (size_of(file) == 0) {
        access_log(&call);
        lines++;
    }
    size_t size = size_of(file);
    const char *text = text_of(file);
    assert_in_range(size, BUFFER, BUFFER + size / lines);
    assert_int_equal(text[size - 1], '\n');
    for (; *text != '\0'; text++)
        lines -= *text == '\n';
    assert_int_equal(lines, 0);
}

static void lines_wait_no_longer_than_flush(void **state)
{
    (void)state;
    weir_error_t err;
    access_close(proc->access);
    config.access_flush_ms = 1;
    proc->access = access_open(&config, &err);
    access_record_t call = a_call();
    access_log(&call);
    assert_int_equal(size_of(file), 0);
    RUN_UNTIL(size_of(file) > 0);
}

static void a_line_of_before_the_rotation_is_in_the_old_file(void **state)
{
    (void)state;
    weir_error_t err;
    access_record_t call = a_call();
    access_log(&call);
    assert_int_equal(rename(file, rotated), 0);
    assert_int_equal(access_reopen(proc->access, &err), WEIR_OK);
    size_t before = size_of(rotated);
    assert_true(before > 0);
    assert_int_equal(size_of(file), 0);
    access_log(&call);
    json_decref(only_line());
    assert_int_equal(size_of(rotated), before);
}

static void what_waits_at_the_end_is_written(void **state)
{
    (void)state;
    access_record_t call = a_call();
    access_log(&call);
    access_close(proc->access);
    proc->access = NULL;
    assert_true(size_of(file) > 0);
}

static void where_there_is_no_access_log_nothing_happens(void **state)
{
    (void)state;
    weir_error_t err;
    access_close(proc->access);
    config.access_file = NULL;
    proc->access = access_open(&config, &err);
    assert_null(proc->access);
    access_record_t call = a_call();
    access_log(&call);
    assert_int_equal(size_of(file), 0);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, access_begin, access_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_line_says_what_was_asked_and_how_it_ended),
        SCENE(what_there_is_not_is_not_said),
        SCENE(a_text_is_what_it_was),
        SCENE(whatever_a_text_is_the_line_is_json),
        SCENE(lines_wait_until_the_buffer_is_full_and_are_whole_then),
        SCENE(lines_wait_no_longer_than_flush),
        SCENE(a_line_of_before_the_rotation_is_in_the_old_file),
        SCENE(what_waits_at_the_end_is_written),
        SCENE(where_there_is_no_access_log_nothing_happens),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
