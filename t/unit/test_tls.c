/* test_tls.c: streams in TLS: what they carry, whom either end believes, and what is said when it does not. */
#include "stream_end.h"

#include "address.h"
#include "certificates.h"
#include "stream_inside.h"
#include "target.h"

struct tls_world {
    char folder[64];
    char a_pem[96], a_key[96], b_pem[96], b_key[96];
    char a_pin[48];
    unsigned char secret[TLS_TICKET_SECRET];
    struct tls_server *server;
    int listener;
    uint16_t port;
};

static struct tls_world tls;

static struct tls_server *make_server(unsigned char secret_byte)
{
    weir_error_t err = {""};
    memset(tls.secret, secret_byte, sizeof(tls.secret));
    struct tls_certificate certificates[] = {{tls.a_pem, tls.a_key}, {tls.b_pem, tls.b_key}};
    struct tls_server *server =
        tls_server_new(certificates, 2, TLS1_2_VERSION, secret_byte != 0 ? tls.secret : NULL, &err);
    if (server == NULL)
        fail_msg("%s", err.text);
    return server;
}

static int tls_begin(void **state)
{
    process_begin(state);
    tls = (struct tls_world){.folder = "/tmp/weir-test-XXXXXX"};
    assert_non_null(mkdtemp(tls.folder));
    assert_int_equal(certificate_make(tls.folder, "a", "DNS:a.test,DNS:localhost,IP:127.0.0.1", tls.a_pin), 0);
    assert_int_equal(certificate_make(tls.folder, "b", "DNS:*.b.test", NULL), 0);
    snprintf(tls.a_pem, sizeof(tls.a_pem), "%s/a.pem", tls.folder);
    snprintf(tls.a_key, sizeof(tls.a_key), "%s/a.key", tls.folder);
    snprintf(tls.b_pem, sizeof(tls.b_pem), "%s/b.pem", tls.folder);
    snprintf(tls.b_key, sizeof(tls.b_key), "%s/b.key", tls.folder);
    tls.server = make_server('s');
    char text[ADDRESS_TEXT_MAX];
    struct address at;
    tls.listener = address_listen("127.0.0.1:0", false, 16, NULL);
    assert_int_equal(address_bound(tls.listener, text, sizeof(text)), WEIR_OK);
    assert_int_equal(address_parse(text, &at, NULL), WEIR_OK);
    tls.port = at.port;
    return 0;
}

static int tls_finish(void **state)
{
    close(tls.listener);
    tls_server_free(tls.server);
    unlink(tls.a_pem), unlink(tls.a_key), unlink(tls.b_pem), unlink(tls.b_key);
    rmdir(tls.folder);
    return process_end(state);
}

static void accept_end(struct end *end, struct tls_server *server)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd = -1;
    RUN_UNTIL((fd = accept4(tls.listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    own(end, stream_accept(fd, (struct sockaddr *)&peer, len, server, NULL));
}

/* Connect `client` to the TLS listener as target says, until it stands or is broken. */
static void tls_dial(struct end *client, struct end *server, struct target *target)
{
    client->stream = stream_connect_target(target, &events, client, NULL);
    assert_non_null(client->stream);
    accept_end(server, tls.server);
    RUN_UNTIL(client->connected + client->broken > 0);
}

static struct target *tls_target(const char *host, const char *ca, const char *pin, bool verify)
{
    weir_error_t err = {""};
    struct target *target =
        target_new(host, tls.port, true,
                   &(weir_reach_t){.ca = ca, .pin = pin, .verify = verify, .connect_timeout_ms = 2000}, &err);
    if (target == NULL)
        fail_msg("%s", err.text);
    return target;
}

static void tls_connected(struct end *client, struct end *server)
{
    struct target *target = tls_target("127.0.0.1", tls.a_pem, NULL, true);
    tls_dial(client, server, target);
    assert_string_equal(client->why, "");
    target_free(target);
}

static void tls_carries_much_in_both_directions_at_once(void **state)
{
    (void)state;
    struct end client = {0}, server = {0};
    tls_connected(&client, &server);
    assert_true(stream_is_tls(client.stream));
    size_t n = 3000000;
    write_pattern(&client, n);
    write_pattern(&server, n);
    RUN_UNTIL(client.n == n && server.n == n);
    assert_pattern(&client, n);
    assert_pattern(&server, n);
    stream_finish(client.stream);
    client.stream = NULL;
    RUN_UNTIL(server.ended == 1);
    drop(&client);
    drop(&server);
    ev_run(proc->loop, EVRUN_NOWAIT);
}

static void small_and_large_chunks_cross_a_full_tls_stream_in_order(void **state)
{
    (void)state;
    struct end client = {0}, server = {0};
    tls_connected(&client, &server);
    stream_pause(server.stream, true);
    size_t n = 6000000, written = 0;
    weir_buf_t *buf = pattern(n);
    for (size_t i = 0; written < n; i++) {
        size_t sizes[] = {100, 5000, 3, 20000, 4095, 17};
        size_t size = sizes[i % 6] < n - written ? sizes[i % 6] : n - written;
        weir_chunk_t chunk = {.bytes = weir_slice(buf->data + written, size), .buf = i % 2 ? buf : NULL};
        assert_int_not_equal(stream_write(client.stream, &chunk, 1), WEIR_ECLOSED);
        written += size;
    }
    buf_unref(buf);
    stream_pause(server.stream, false);
    RUN_UNTIL(server.n == n);
    assert_pattern(&server, n);
    drop(&client);
    drop(&server);
}

static void small_chunks_of_one_write_are_one_record(void **state)
{
    (void)state;
    struct end client = {0}, server = {0};
    tls_connected(&client, &server);
    weir_chunk_t chunks[] = {{.bytes = WEIR_LIT("head")}, {.bytes = WEIR_LIT(" and ")}, {.bytes = WEIR_LIT("body")}};
    assert_int_equal(stream_write(client.stream, chunks, 3), WEIR_OK);
    RUN_UNTIL(server.readable > 0);
    assert_int_equal(server.n, 13); /* one SSL_read() never crosses a record */
    drop(&client);
    drop(&server);
}

static void bytes_inside_openssl_are_offered_though_the_fd_is_silent(void **state)
{
    (void)state;
    struct end client = {0}, server = {.read_size = 1};
    tls_connected(&client, &server);
    assert_int_equal(write_text(&client, "0123456789"), WEIR_OK);
    RUN_UNTIL(server.n == 10);
    stream_pause(server.stream, true);
    assert_int_equal(write_text(&client, "0123456789"), WEIR_OK);
    ev_run(proc->loop, EVRUN_NOWAIT);
    stream_pause(server.stream, false);
    RUN_UNTIL(server.n == 20);
    drop(&client);
    drop(&server);
}

static void refused(const char *host, const char *ca, const char *pin, bool verify, const char *because)
{
    struct end client = {0}, server = {0};
    struct target *target = tls_target(host, ca, pin, verify);
    tls_dial(&client, &server, target);
    assert_int_equal(client.connected, 0);
    if (strstr(client.why, because) == NULL)
        fail_msg("refused with \"%s\", not because of \"%s\"", client.why, because);
    target_free(target);
    drop(&client);
    drop(&server);
}

static void accepted(const char *host, const char *ca, const char *pin, bool verify)
{
    struct end client = {0}, server = {0};
    struct target *target = tls_target(host, ca, pin, verify);
    tls_dial(&client, &server, target);
    assert_string_equal(client.why, "");
    assert_int_equal(client.connected, 1);
    target_free(target);
    drop(&client);
    drop(&server);
}

static void a_server_is_verified_by_authority_name_and_pin(void **state)
{
    (void)state;
    accepted("127.0.0.1", tls.a_pem, NULL, true);
    accepted("localhost", tls.a_pem, NULL, true);
    accepted("127.0.0.1", NULL, NULL, false);
    accepted("127.0.0.1", NULL, tls.a_pin, false);
    accepted("127.0.0.1", tls.a_pem, tls.a_pin, true);
    refused("127.0.0.1", NULL, NULL, true, "not trusted: self-signed certificate");
    refused("127.0.0.1", tls.b_pem, NULL, true, "not trusted");
    refused("127.0.0.1", NULL, "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false, "not the one of `pin`");
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    tls_server_free(tls.server);
    struct tls_certificate certificate = {tls.b_pem, tls.b_key};
    tls.server = tls_server_new(&certificate, 1, TLS1_3_VERSION, NULL, NULL);
    refused("127.0.0.1", tls.b_pem, NULL, true, "IP address mismatch");
    refused("localhost", tls.b_pem, NULL, true, "ostname mismatch");
}

static bool peer_has_name(const struct end *client, const char *name)
{
    return X509_check_host(SSL_get0_peer_certificate(client->stream->ssl), name, 0, 0, NULL) == 1;
}

/* The name asked for is not the one connected to, so the handshake is driven by an SSL of our own. */
static void assert_certificate_for(const char *asked, const char *expected)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    SSL_set_fd(ssl, fds[0]);
    SSL_set_connect_state(ssl);
    if (asked != NULL)
        SSL_set_tlsext_host_name(ssl, asked);
    struct end server = {0};
    struct sockaddr unnamed = {.sa_family = AF_UNIX};
    own(&server, stream_accept(fds[1], &unnamed, sizeof(unnamed.sa_family), tls.server, NULL));
    RUN_UNTIL(SSL_do_handshake(ssl) == 1);
    assert_int_equal(X509_check_host(SSL_get0_peer_certificate(ssl), expected, 0, 0, NULL), 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[0]);
    drop(&server);
}

static void the_name_that_is_asked_for_chooses_the_certificate(void **state)
{
    (void)state;
    assert_certificate_for("a.test", "a.test");
    assert_certificate_for("www.b.test", "www.b.test");
    assert_certificate_for("unknown.test", "a.test");
    assert_certificate_for(NULL, "a.test");
}

static bool is_resumed(struct target *target)
{
    struct end client = {0}, server = {0};
    tls_dial(&client, &server, target);
    assert_string_equal(client.why, "");
    assert_true(peer_has_name(&client, "a.test"));
    bool resumed = SSL_session_reused(client.stream->ssl) == 1;
    /* The ticket of TLS 1.3 comes with the first bytes. */
    assert_int_equal(write_text(&client, "x"), WEIR_OK);
    RUN_UNTIL(server.n == 1);
    assert_int_equal(write_text(&server, "y"), WEIR_OK);
    RUN_UNTIL(client.n == 1);
    drop(&client);
    drop(&server);
    return resumed;
}

static void sessions_resume_in_every_process_with_the_same_secret_and_in_no_other(void **state)
{
    (void)state;
    struct target *target = tls_target("127.0.0.1", tls.a_pem, tls.a_pin, true);
    assert_false(is_resumed(target));
    assert_true(is_resumed(target));
    tls_server_free(tls.server);
    tls.server = make_server('s'); /* another worker */
    assert_true(is_resumed(target));
    tls_server_free(tls.server);
    tls.server = make_server('t'); /* another machine */
    assert_false(is_resumed(target));
    assert_true(is_resumed(target));
    tls_server_free(tls.server);
    tls.server = make_server(0); /* resumption is off */
    assert_false(is_resumed(target));
    assert_false(is_resumed(target));
    target_free(target);
}

static void plain_bytes_on_a_tls_port_break_the_stream_with_the_reason(void **state)
{
    (void)state;
    struct end client = {0}, server = {0};
    dial(&client, "127.0.0.1", tls.port, 1000);
    accept_end(&server, tls.server);
    RUN_UNTIL(client.connected == 1);
    assert_int_equal(write_text(&client, "GET / HTTP/1.1\r\n\r\n"), WEIR_OK);
    RUN_UNTIL(server.broken == 1);
    assert_non_null(strstr(server.why, "TLS handshake failed"));
    drop(&client);
    drop(&server);
}

static void a_server_that_does_not_answer_the_handshake_is_given_up(void **state)
{
    (void)state;
    struct end client = {0};
    weir_error_t err = {""};
    struct target *target = target_new("127.0.0.1", tls.port, true, &(weir_reach_t){.connect_timeout_ms = 50}, &err);
    client.stream = stream_connect_target(target, &events, &client, &err);
    RUN_UNTIL(client.broken == 1);
    assert_non_null(strstr(client.why, "no answer within connect_timeout (50 ms)"));
    target_free(target);
    drop(&client);
}

static void server_fails(const char *certificate, const char *key, const char *expected)
{
    weir_error_t err = {""};
    struct tls_certificate pair = {certificate, key};
    assert_null(tls_server_new(&pair, 1, TLS1_2_VERSION, NULL, &err));
    if (strstr(err.text, expected) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, expected);
}

static void files_that_do_not_fit_are_named(void **state)
{
    (void)state;
    server_fails("/nonexistent.pem", tls.a_key, "certificate /nonexistent.pem: No such file");
    server_fails(tls.a_pem, "/nonexistent.key", "key /nonexistent.key: No such file");
    server_fails(tls.a_pem, tls.b_key, "b.key does not match the certificate");
    server_fails(tls.a_key, tls.a_key, "no PEM block");
    weir_error_t err = {""};
    assert_null(target_new("h", 1, true,
                           &(weir_reach_t){.ca = "/nonexistent.ca", .verify = true, .connect_timeout_ms = 1000}, &err));
    assert_non_null(strstr(err.text, "/nonexistent.ca: No such file"));
    assert_null(
        target_new("h", 1, true, &(weir_reach_t){.pin = "abc", .verify = true, .connect_timeout_ms = 1000}, &err));
    assert_non_null(strstr(err.text, "pin \"abc\""));
}

#define TLS(name) cmocka_unit_test_setup_teardown(name, tls_begin, tls_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS(tls_carries_much_in_both_directions_at_once),
        TLS(small_and_large_chunks_cross_a_full_tls_stream_in_order),
        TLS(small_chunks_of_one_write_are_one_record),
        TLS(bytes_inside_openssl_are_offered_though_the_fd_is_silent),
        TLS(a_server_is_verified_by_authority_name_and_pin),
        TLS(a_certificate_for_another_name_is_refused),
        TLS(the_name_that_is_asked_for_chooses_the_certificate),
        TLS(sessions_resume_in_every_process_with_the_same_secret_and_in_no_other),
        TLS(plain_bytes_on_a_tls_port_break_the_stream_with_the_reason),
        TLS(a_server_that_does_not_answer_the_handshake_is_given_up),
        TLS(files_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
