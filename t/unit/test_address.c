/* test_address.c: addresses as people write them, and listening on them. */
#include "loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"

static void assert_inet(const char *text, const char *host, uint16_t port)
{
    struct address address;
    weir_error_t err;
    if (address_parse(text, &address, &err) != WEIR_OK)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(address.kind, ADDRESS_INET);
    assert_string_equal(address.host, host);
    assert_int_equal(address.port, port);
}

static void every_way_to_write_an_address_is_understood(void **state)
{
    (void)state;
    assert_inet("127.0.0.1:80", "127.0.0.1", 80);
    assert_inet("[::1]:8080", "::1", 8080);
    assert_inet(":8080", "", 8080);
    assert_inet("localhost:0", "localhost", 0);
    struct address address;
    assert_int_equal(address_parse("unix:/run/weir.sock", &address, NULL), WEIR_OK);
    assert_int_equal(address.kind, ADDRESS_UNIX);
    assert_string_equal(address.host, "/run/weir.sock");
}

static void assert_refused(const char *text, const char *because)
{
    struct address address;
    weir_error_t err = {""};
    assert_int_equal(address_parse(text, &address, &err), WEIR_EFAIL);
    if (strstr(err.text, because) == NULL)
        fail_msg("%s was refused with \"%s\", not because of \"%s\"", text, err.text, because);
}

static void what_is_no_address_is_refused_with_its_reason(void **state)
{
    (void)state;
    assert_refused("8080", "expected host:port");
    assert_refused("::1:8080", "in brackets");
    assert_refused("[::1]8080", "[address]:port");
    assert_refused("[::1", "[address]:port");
    assert_refused("[fe80]:80", "no IPv6 address");
    assert_refused("host:", "port");
    assert_refused("host:65536", "port");
    assert_refused("host:80x", "port");
    assert_refused("host:-1", "port");
    assert_refused("unix:", "path");
    char longest[400] = "unix:/";
    memset(longest + 6, 'a', 300);
    assert_refused(longest, "longer");
    memcpy(longest, "aaaaaa", 6);
    strcat(longest, ":80");
    assert_refused(longest, "longer");
}

static void a_listening_socket_tells_its_real_port(void **state)
{
    (void)state;
    weir_error_t err = {""};
    char text[ADDRESS_TEXT_MAX];
    int fd = address_listen("127.0.0.1:0", true, 16, &err);
    assert_true(fd >= 0);
    assert_int_equal(address_bound(fd, text, sizeof(text)), WEIR_OK);
    assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
    assert_string_not_equal(text, "127.0.0.1:0");
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

    /* What it tells can be listened on again, with SO_REUSEPORT. */
    int second = address_listen(text, true, 16, &err);
    assert_true(second >= 0);
    close(second);
    close(fd);
}

static void all_addresses_are_one_socket_that_keeps_its_form(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    int fd = address_listen(":0", true, 16, NULL);
    assert_true(fd >= 0);
    assert_int_equal(address_bound(fd, text, sizeof(text)), WEIR_OK);
    int second = address_listen(text, true, 16, NULL);
    assert_true(second >= 0);
    close(second);
    close(fd);
}

static void an_address_that_is_taken_is_said_so(void **state)
{
    (void)state;
    weir_error_t err = {""};
    char text[ADDRESS_TEXT_MAX];
    int fd = address_listen("127.0.0.1:0", false, 16, NULL);
    assert_int_equal(address_bound(fd, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_listen(text, false, 16, &err), -1);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.text, "another program listens there"));
    close(fd);
}

static void a_socket_file_that_was_left_behind_is_replaced_and_a_live_one_is_not(void **state)
{
    (void)state;
    char folder[] = "/tmp/weir-test-XXXXXX", path[64], text[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/s", folder);
    snprintf(text, sizeof(text), "unix:%s", path);
    int fd = address_listen(text, false, 16, NULL);
    assert_true(fd >= 0);
    assert_int_equal(address_listen(text, false, 16, NULL), -1);
    char bound[ADDRESS_TEXT_MAX];
    assert_int_equal(address_bound(fd, bound, sizeof(bound)), WEIR_OK);
    assert_string_equal(bound, text);
    close(fd);
    fd = address_listen(text, false, 16, NULL);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    rmdir(folder);
}

static void an_ordinary_file_is_never_taken_for_a_stale_socket(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-test-XXXXXX", text[64];
    int file = mkstemp(path);
    snprintf(text, sizeof(text), "unix:%s", path);
    assert_int_equal(address_listen(text, false, 16, NULL), -1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    close(file);
    unlink(path);
}

static void text_of(const char *host, uint16_t port, const char *expected)
{
    struct sockaddr_storage sa;
    socklen_t len;
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(address_number(host, port, &sa, &len), WEIR_OK);
    assert_int_equal(address_text((struct sockaddr *)&sa, len, text, sizeof(text)), strlen(expected));
    assert_string_equal(text, expected);
}

static void addresses_are_written_as_they_are_read(void **state)
{
    (void)state;
    text_of("10.0.0.1", 80, "10.0.0.1:80");
    text_of("::1", 80, "[::1]:80");
    text_of("::ffff:10.0.0.1", 80, "10.0.0.1:80");
    text_of("unix:/a/b", 0, "unix:/a/b");
    struct sockaddr_storage sa;
    socklen_t len;
    assert_int_equal(address_number("example.org", 80, &sa, &len), WEIR_EFAIL);
    assert_int_equal(address_number("", 80, &sa, &len), WEIR_EFAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_an_address_is_understood),
        cmocka_unit_test(what_is_no_address_is_refused_with_its_reason),
        cmocka_unit_test(a_listening_socket_tells_its_real_port),
        cmocka_unit_test(all_addresses_are_one_socket_that_keeps_its_form),
        cmocka_unit_test(an_address_that_is_taken_is_said_so),
        cmocka_unit_test(a_socket_file_that_was_left_behind_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(an_ordinary_file_is_never_taken_for_a_stale_socket),
        cmocka_unit_test(addresses_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
