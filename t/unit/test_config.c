/* test_config.c: a configuration as a whole: what the design shows is read, what contradicts itself is refused where it stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LISTENER                                                                                                       \
    "modules: [http, pool]\nlisteners:\n  edge:\n    transport: http\n    listen: 127.0.0.1:8080\n    routes: [ { "    \
    "path: /mcp, upstream: u } ]\n"
#define UPSTREAM "upstreams:\n  u:\n    transport: http\n    servers: [ { url: \"http://a/\" } ]\n    chain: [ pool ]\n"

/* Section 5 of the design. */
static const char full[] =
    "workers: auto                      # one per core\n"
    "keepers: 1\n"
    "drain_timeout: 60s\n"
    "log: { level: info, file: stderr }\n"
    "access_log: { file: /var/log/weir/access.log, format: json }\n"
    "admin: { listen: 127.0.0.1:9901 }\n"
    "session_keys: /etc/weir/session.keys\n"
    "module_path: /usr/lib/weir/modules\n"
    "modules: [http, sse, ws, tcp, stdio, batch, compress, codec_lz4, codec_zstd, codec_gzip, pool, breaker]\n"
    "listeners:\n"
    "  edge:\n"
    "    transport: http\n"
    "    listen: 0.0.0.0:8443\n"
    "    tls: { certificate: edge.pem, key: edge.key }\n"
    "    allowed_origins: [https://app.example]\n"
    "    routes:\n"
    "      - { path: /mcp,        upstream: everything }\n"
    "      - { path: /search/mcp, upstream: search }\n"
    "upstreams:\n"
    "  everything:\n"
    "    transport: stdio\n"
    "    command: [npx, -y, \"@modelcontextprotocol/server-everything\"]\n"
    "    chain:\n"
    "      - breaker\n"
    "      - pool: { min: 2, max: 8 }\n"
    "      - batch: { max_delay: 0 }\n"
    "  search:\n"
    "    transport: http\n"
    "    servers:\n"
    "      - { url: \"http://10.0.0.11:3000/mcp\", weight: 2 }\n"
    "      - { url: \"http://10.0.0.12:3000/mcp\" }\n"
    "    chain:\n"
    "      - breaker: { failure_threshold: 5, success_threshold: 2, timeout: 30s }\n"
    "      - pool: { strategy: adaptive, min: 10, max: 100 }\n"
    "  far_edge:\n"
    "    transport: tcp\n"
    "    framing: mux\n"
    "    servers: [ { address: \"10.1.0.2:9000\" } ]\n"
    "    chain:\n"
    "      - breaker\n"
    "      - pool: { strategy: least_latency, min: 2, max: 8 }\n"
    "      - batch: { max_messages: 100, max_bytes: 64KiB, max_delay: 10ms }\n"
    "      - compress: { codec: lz4 }\n";

/* ---- arrangement ---- */

static config_t *parse(const char *text, const char *file)
{
    config_t *config = NULL;
    weir_error_t err = {""};
    if (config_parse(text, file, &config, &err) != WEIR_OK)
        fail_msg("%s", err.text);
    return config;
}

/* The error's beginning, "line:column: story". */
static void assert_refused(const char *text, const char *story)
{
    config_t *config = NULL;
    weir_error_t err = {""};
    char expected[WEIR_ERROR_MAX];
    snprintf(expected, sizeof(expected), "weir.yaml:%s", story);
    assert_int_equal(config_parse(text, "weir.yaml", &config, &err), WEIR_EFAIL);
    assert_null(config);
    if (strncmp(err.text, expected, strlen(expected)) != 0)
        fail_msg("%s\nwas told \"%s\", not \"%s\"", text, err.text, expected);
    assert_int_equal(config_parse(text, "weir.yaml", &config, NULL), WEIR_EFAIL);
}

static const conf_upstream_t *upstream_named(const config_t *config, const char *name)
{
    for (size_t i = 0; i < config->nupstreams; i++)
        if (strcmp(config->upstreams[i].name, name) == 0)
            return &config->upstreams[i];
    fail_msg("there is no upstream %s", name);
    return NULL;
}

/* ---- what is read ---- */

static void the_configuration_of_the_design_is_read(void **state)
{
    (void)state;
    config_t *config = parse(full, "/etc/weir/weir.yaml");
    assert_true(config->workers == 0 && config->keepers == 1 && config->drain_timeout_ms == 60000);
    assert_null(config->log_file);
    assert_string_equal(config->access_file, "/var/log/weir/access.log");
    assert_string_equal(config->admin_listen, "127.0.0.1:9901");
    assert_string_equal(config->session_keys, "/etc/weir/session.keys");
    assert_string_equal(config->module_path.items[0], "/usr/lib/weir/modules");
    assert_int_equal(config->modules.count, 12);
    assert_int_equal(config->nlisteners, 1);
    const conf_listener_t *edge = &config->listeners[0];
    assert_string_equal(edge->name, "edge");
    assert_string_equal(edge->transports.items[0], "http");
    assert_string_equal(edge->listen.items[0], "0.0.0.0:8443");
    assert_int_equal(edge->ntls, 1);
    assert_string_equal(edge->tls[0].certificate, "/etc/weir/edge.pem");
    assert_string_equal(edge->tls[0].key, "/etc/weir/edge.key");
    assert_int_equal(edge->nroutes, 2);
    assert_string_equal(edge->routes[1].path, "/search/mcp");
    assert_string_equal(edge->routes[1].upstream, "search");
    assert_null(edge->routes[1].host);
    assert_int_equal(config->nupstreams, 3);
    config_free(config);
}

static void an_upstream_has_its_chain_in_order_and_its_servers(void **state)
{
    (void)state;
    config_t *config = parse(full, "/etc/weir/weir.yaml");
    const conf_upstream_t *search = upstream_named(config, "search"), *far = upstream_named(config, "far_edge");
    assert_string_equal(search->transport, "http");
    assert_int_equal(search->nservers, 2);
    assert_true(search->servers[0].weight == 2 && search->servers[1].weight == 1);
    assert_string_equal(node_get(search->servers[1].node, "url")->text.p, "http://10.0.0.12:3000/mcp");
    assert_int_equal(search->nchain, 2);
    assert_string_equal(search->chain[0].module, "breaker");
    assert_string_equal(node_get(search->chain[0].options, "timeout")->text.p, "30s");
    assert_int_equal(search->chain[1].line, 34);
    assert_int_equal(search->chain[1].column, 9);
    assert_int_equal(far->nchain, 4);
    assert_string_equal(far->chain[0].module, "breaker");
    assert_null(far->chain[0].options);
    assert_string_equal(far->chain[3].module, "compress");
    assert_string_equal(node_get(far->node, "framing")->text.p, "mux");
    assert_true(far->reply_timeout_ms == 300000);
    config_free(config);
}

static void what_is_not_said_has_its_default(void **state)
{
    (void)state;
    config_t *config = parse(LISTENER UPSTREAM, "weir.yaml");
    assert_true(config->workers == 0 && config->keepers == 1 && config->worker_connections == 65536);
    assert_null(config->user);
    assert_null(config->access_file);
    assert_null(config->admin_listen);
    assert_null(config->session_keys);
    assert_int_equal(config->listeners[0].ntls, 0);
    assert_true(config->upstreams[0].session_idle_ms == 1800000);
    assert_true(config->upstreams[0].buffer_limit == 262144);
    config_free(config);
    config = parse("workers: ~\nlog: ~\naccess_log:\nadmin: ~\n" LISTENER "    tls: ~\n" UPSTREAM "    sessions: ~\n",
                   "weir.yaml");
    assert_true(config->workers == 0);
    config_free(config);
}

static void the_sections_are_read(void **state)
{
    (void)state;
    config_t *config =
        parse("workers: 256\nuser: nobody\nlog: { level: warn, file: log/weir.log }\naccess_log: { file: a, buffer: "
              "4KiB, flush: 2s }\n"
              "modules: pool\n"
              "listeners:\n  a:\n    transport: [http, sse]\n    listen: [\":80\", \"unix:/run/w\"]\n"
              "    tls: [ { certificate: a }, { certificate: b, key: c, min_version: \"1.3\" } ]\n"
              "    routes: [ { path: /, host: a.example, upstream: u }, { path: /, upstream: u } ]\n" UPSTREAM
              "    sessions: { idle_timeout: 1h, event_log: 0 }\n",
              "/w/weir.yaml");
    assert_true(config->workers == 256);
    assert_string_equal(config->user, "nobody");
    assert_string_equal(config->log_file, "/w/log/weir.log");
    assert_true(config->access_buffer == 4096 && config->access_flush_ms == 2000);
    const conf_listener_t *l = &config->listeners[0];
    assert_int_equal(l->transports.count, 2);
    assert_int_equal(l->listen.count, 2);
    assert_int_equal(l->ntls, 2);
    assert_null(l->tls[0].key);
    assert_int_equal(l->tls[0].min_version, 0);
    assert_int_equal(l->tls[1].min_version, 1);
    assert_string_equal(l->routes[0].host, "a.example");
    assert_true(config->upstreams[0].session_idle_ms == 3600000 && config->upstreams[0].event_log == 0);
    config_free(config);
}

static void the_configurations_that_come_with_weir_are_read(void **state)
{
    (void)state;
    glob_t found;
    size_t read = 0;
    assert_int_equal(glob("conf/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strcmp(found.gl_pathv[i], "conf/run.yaml") == 0 || strcmp(found.gl_pathv[i], "conf/connect.yaml") == 0)
            continue; /* has words to be filled in */
        weir_error_t err = {""};
        char *text = config_read(found.gl_pathv[i], &err);
        assert_non_null(text);
        config_free(parse(text, found.gl_pathv[i]));
        free(text);
        read++;
    }
    assert_true(read > 0);
    globfree(&found);
}

/* ---- what is refused ---- */

static void a_mistake_is_told_with_its_place_and_the_nearest_known_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story;
    } cases[] = {
        {"lisetners: {}\n", "1:1: unknown key \"lisetners\" in the configuration; did you mean \"listeners\"?"},
        {"worker: 1\n", "1:1: unknown key \"worker\" in the configuration; did you mean \"workers\"?"},
        {"log: { levle: info }\n" LISTENER, "1:8: unknown key \"levle\" in log; did you mean \"level\"?"},
        {"log: { level: loud }\n" LISTENER,
         "1:15: level of log: expected error, warn, notice, info, debug, found \"loud\""},
        {"[a, b]\n", "1:1: a configuration is a map of keys and values"},
        {"workers: 0\n" LISTENER, "1:10: workers: expected auto, or a number from 1 to 256"},
        {"workers: 257\n" LISTENER, "1:10: workers: expected auto"},
        {"workers: many\n" LISTENER, "1:10: workers: expected auto"},
        {"workers: [1]\n" LISTENER, "1:10: workers: expected auto"},
        {"workers: \" 4\"\n" LISTENER, "1:10: workers: expected auto"},
        {"keepers: 17\n" LISTENER, "1:10: keepers of the configuration: 17 is out of range; it must be from 1 to 16"},
        {"drain_timeout: 5\n" LISTENER, "1:16: drain_timeout of the configuration: expected a duration"},
        {"admin: {}\n" LISTENER, "1:8: admin needs `listen`: "},
        {"admin: { listen: 9901 }\n" LISTENER, "1:18: listen of admin: \"9901\": expected host:port"},
        {"access_log: {}\n" LISTENER, "1:13: access_log needs `file`: "},
        {"access_log: off\n" LISTENER, "1:13: access_log: expected a map of options"},
        {"modules: []\n", "1:1: there is no listener; weir would serve nobody"},
        {"modules: []\nlisteners: {}\n", "2:12: there is no listener"},
        {"modules: []\nlisteners: [a]\n", "2:12: listeners: expected a map"},
        {"listeners: {}\n", "1:1: the configuration needs `modules`: the modules to load, by name"},
        {"modules: []\nupstreams: [a]\n", "2:12: upstreams: expected a map"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(cases[i].text, cases[i].story);
}

static void a_listener_that_leads_nowhere_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *listener, *story;
    } cases[] = {
        {"edge: x", "8:9: a listener: expected a map"},
        {"\"a b\": {}", "8:10: listener \"a b\": a name has letters, digits, `_`, `-` and `.` only"},
        {"\"\": {}", "8:7: listener: the name is empty"},
        {"e: { listen: a:1, routes: [] }", "8:6: a listener needs `transport`"},
        {"e: { transport: http }", "8:6: a listener needs `listen`"},
        {"e: { transport: [], listen: a:1 }", "8:6: listener e: an empty list of transports"},
        {"e: { transport: http, listen: [] }", "8:6: listener e: an empty list of addresses (listen)"},
        {"e: { transport: http, listen: 80 }",
         "8:33: listen of a listener: \"80\": expected host:port, :port or unix:/path"},
        {"e: { transport: http, listen: [\":80\", \"::1:80\"] }",
         "8:41: listen of a listener: \"::1:80\": an IPv6 address is written in brackets"},
        {"e: { transport: http, listen: a:1 }", "8:6: listener e has no routes"},
        {"e: { transport: http, listen: a:1, routes: [] }", "8:46: listener e has no routes"},
        {"e: { transport: http, listen: a:1, routes: ~ }", "8:46: listener e has no routes"},
        {"e: { transport: http, listen: a:1, routes: {} }", "8:46: routes: expected a list"},
        {"e: { transport: http, listen: a:1, routes: [x] }", "8:47: a route: expected a map"},
        {"e: { transport: http, listen: a:1, routes: [{ path: /a }] }", "8:47: a route needs `upstream`"},
        {"e: { transport: http, listen: a:1, routes: [{ path: a, upstream: u }] }",
         "8:55: path of a route: \"a\" must begin with \"/\""},
        {"e: { transport: http, listen: a:1, routes: [{ path: \"\", upstream: u }] }",
         "8:55: path of a route: \"\" must begin"},
        {"e: { transport: http, listen: a:1, routes: [{ path: /, upstream: v }] }", "8:68: there is no upstream \"v\""},
        {"e: { transport: http, listen: a:1, routes: [{ pathh: /, upstream: u }] }",
         "8:49: unknown key \"pathh\" in a route; did you mean \"path\"?"},
        {"e: { transport: http, listen: a:1, routes: [{ path: /, upstream: u }, { path: /, upstream: u }] }",
         "8:73: route / stands here a second time; the first is in line 8"},
        {"e: { transport: http, listen: a:1, routes: [{ path: /, host: A, upstream: u }, { path: /, host: a, upstream: "
         "u }] }",
         "8:82: route a/ stands here a second time"},
        {"e: { transport: http, listen: a:1, tls: [] }", "8:43: tls: an empty list of certificates"},
        {"e: { transport: http, listen: a:1, tls: on }", "8:43: tls: expected a map"},
        {"e: { transport: http, listen: a:1, tls: { key: k } }", "8:43: tls needs `certificate`"},
        {"e: { transport: http, listen: a:1, tls: [{ certificate: c, min_version: 1.1 }] }",
         "8:75: min_version of tls: "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof(text), "%smodules: [http, pool]\nlisteners:\n  %s\n", UPSTREAM, cases[i].listener);
        assert_refused(text, cases[i].story);
    }
}

static void an_upstream_that_cannot_serve_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *upstream, *story;
    } cases[] = {
        {"u: x", "8:6: an upstream: expected a map"},
        {"a/b: {}", "8:8: upstream \"a/b\": a name has letters"},
        {"u: { chain: [pool] }", "8:6: an upstream needs `transport`"},
        {"u: { transport: http }", "8:6: upstream u has no chain; the shortest is chain: [ pool ]"},
        {"u: { transport: http, chain: pool }", "8:32: chain: expected a list"},
        {"u: { transport: http, chain: [[pool]] }", "8:33: chain: expected the name of a module"},
        {"u: { transport: http, chain: [{ a: 1, b: 2 }] }", "8:33: chain: expected the name of a module"},
        {"u: { transport: http, chain: [\"\"] }", "8:33: chain: expected the name of a module"},
        {"u: { transport: http, servers: x, chain: [] }", "8:34: servers: expected a list"},
        {"u: { transport: http, servers: [x], chain: [] }", "8:35: a server: expected a map"},
        {"u: { transport: http, servers: [{ weight: 0 }], chain: [] }",
         "8:45: weight of a server: 0 is out of range; it must be from 1 to 1000"},
        {"u: { transport: http, sessions: { idle: 1s }, chain: [] }", "8:37: unknown key \"idle\" in sessions"},
        {"u: { transport: http, reply_timeout: 0, chain: [] }",
         "8:40: reply_timeout of an upstream: 0 is out of range; it must be from 1ms to 1d"},
        {"u: { transport: http, buffer_limit: 1KiB, chain: [] }",
         "8:39: buffer_limit of an upstream: 1KiB is out of range; it must be from 4KiB to 1GiB"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof(text), "%supstreams:\n  %s\n", LISTENER, cases[i].upstream);
        assert_refused(text, cases[i].story);
    }
    assert_refused(LISTENER "upstreams: { v: { transport: http, chain: [] } }\n", "6:39: there is no upstream \"u\"");
    assert_refused(LISTENER, "6:39: there is no upstream \"u\"");
}

static void a_misspelled_upstream_is_told_the_nearest(void **state)
{
    (void)state;
    assert_refused(
        "modules: []\nlisteners:\n  e: { transport: http, listen: \":1\", routes: [{ path: /, upstream: serach }] }\n"
        "upstreams: { search: { transport: http, chain: [] }, other: { transport: http, chain: [] } }\n",
        "3:69: there is no upstream \"serach\"; did you mean \"search\"?");
}

static void every_beginning_of_a_good_configuration_is_read_or_refused(void **state)
{
    (void)state;
    char text[sizeof(full)];
    for (size_t n = 0; n < sizeof(full) - 1; n++) {
        memcpy(text, full, n);
        text[n] = '\0';
        config_t *config = NULL;
        weir_error_t err = {""};
        if (config_parse(text, "weir.yaml", &config, &err) == WEIR_OK)
            config_free(config);
        else
            assert_true(strncmp(err.text, "weir.yaml:", 10) == 0 && strlen(err.text) > 20);
    }
}

/* ---- digests: what tells a keeper that an upstream has not changed ---- */

static uint64_t digest(const char *upstream)
{
    char text[1024];
    snprintf(text, sizeof(text), "%supstreams:\n  u: %s\n", LISTENER, upstream);
    config_t *config = parse(text, "weir.yaml");
    uint64_t value = config->upstreams[0].digest;
    config_free(config);
    return value;
}

static void a_definition_that_says_the_same_has_the_same_digest(void **state)
{
    (void)state;
    uint64_t was = digest("{ transport: stdio, command: [a, b], env: { A: b }, chain: [pool] }");
    assert_true(digest("{ transport: stdio, command: [a, b], env: { A: b }, chain: [pool] }  # a comment") == was);
    assert_true(digest("{ 'transport': \"stdio\", command: [ a , 'b' ],env: { A: b },\n    chain: [pool] }") == was);
    assert_true(
        digest("\n    transport: stdio\n    command:\n      - a\n      - b\n    env:\n      A: b\n    chain: [pool]") ==
        was);
}

static void a_definition_that_says_anything_else_has_another_digest(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{ transport: stdio, command: [a, b], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [a, b], env: { B: b }, chain: [pool] }",
        "{ transport: stdio, command: [a, c], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [ab], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [\"a, b\"], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [[a, b]], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [a, b, \"\"], env: { A: b }, chain: [pool] }",
        "{ transport: stdio, command: [a, b], env: { A: c }, chain: [pool] }",
        "{ transport: stdio, command: [a, b], env: { Ab: \"\" }, chain: [pool] }",
        "{ transport: stdio, command: [a, b], env: { A: b }, chain: [{ pool: { max: 2 } }] }",
        "{ transport: stdio, command: [a, b], env: { A: b }, chain: [pool, pool] }",
        "{ transport: stdio, command: [a, b], env: { A: ~ }, chain: [pool] }",
        "{ transport: stdio, command: [a, b], env: { A: \"~\" }, chain: [pool] }",
        "{ transport: stdio, command: { a: b }, env: { A: b }, chain: [pool] }",
    };
    for (size_t i = 0; i < COUNT(others); i++)
        for (size_t j = 0; j < i; j++)
            if (digest(others[i]) == digest(others[j]))
                fail_msg("the same digest:\n%s\n%s", others[i], others[j]);
}

/* ---- files ---- */

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-test-XXXXXX";
    weir_error_t err = {""};
    int fd = mkstemp(path);
    char *text = config_read(path, &err);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(write(fd, "workers: 1\n", 11), 11);
    text = config_read(path, &err);
    assert_string_equal(text, "workers: 1\n");
    free(text);
    assert_int_equal(write(fd, "\0x", 2), 2);
    assert_null(config_read(path, &err));
    assert_non_null(strstr(err.text, "it contains NUL"));
    assert_int_equal(ftruncate(fd, 17 << 20), 0);
    assert_null(config_read(path, &err));
    close(fd);
    unlink(path);
    assert_null(config_read(path, &err));
    assert_non_null(strstr(err.text, "there is no such file"));
    assert_null(config_read("/tmp", &err));
    assert_non_null(strstr(err.text, "it is a folder"));
}

static void only_a_configuration_with_users_for_children_needs_root(void **state)
{
    (void)state;
    config_t *config = parse(LISTENER UPSTREAM, "weir.yaml");
    assert_false(config_needs_root(config));
    config_free(config);
    config = parse(LISTENER UPSTREAM "    user: nobody\n", "weir.yaml");
    assert_true(config_needs_root(config));
    config_free(config);
    config_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_configuration_of_the_design_is_read),
        cmocka_unit_test(an_upstream_has_its_chain_in_order_and_its_servers),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(the_sections_are_read),
        cmocka_unit_test(the_configurations_that_come_with_weir_are_read),
        cmocka_unit_test(a_mistake_is_told_with_its_place_and_the_nearest_known_key),
        cmocka_unit_test(a_listener_that_leads_nowhere_is_refused),
        cmocka_unit_test(an_upstream_that_cannot_serve_is_refused),
        cmocka_unit_test(a_misspelled_upstream_is_told_the_nearest),
        cmocka_unit_test(every_beginning_of_a_good_configuration_is_read_or_refused),
        cmocka_unit_test(a_definition_that_says_the_same_has_the_same_digest),
        cmocka_unit_test(a_definition_that_says_anything_else_has_another_digest),
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(only_a_configuration_with_users_for_children_needs_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
