/* config_options.c: the core's own options: what may stand in each map of the configuration, its default and its range. */
#include "config.h"

#include <stddef.h>

#define TOP(member) offsetof(config_t, member)
#define DAY_MS 86400000.0
#define END                                                                                                            \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug", NULL};
static const char *const version_names[] = {"1.2", "1.3", NULL};
static const char *const format_names[] = {"json", NULL};

const weir_option_t conf_top_options[] = {
    {"keepers", WEIR_TYPE_INT, TOP(keepers), "1", 1, 16, NULL, false,
     "processes that own stdio children and legacy sessions"},
    {"drain_timeout", WEIR_TYPE_DURATION, TOP(drain_timeout_ms), "60s", 0, DAY_MS, NULL, false,
     "how long old workers may finish what they serve after a reload or QUIT"},
    {"worker_connections", WEIR_TYPE_INT, TOP(worker_connections), "65536", 1, 1048576, NULL, false,
     "clients that one worker serves at once"},
    {"user", WEIR_TYPE_STRING, TOP(user), NULL, 0, 0, NULL, false,
     "the user that workers and keepers run as when weir is started by root"},
    {"pid_file", WEIR_TYPE_PATH, TOP(pid_file), NULL, 0, 0, NULL, false,
     "where the master's pid is written, for `weir -s`"},
    {"session_keys", WEIR_TYPE_PATH, TOP(session_keys), NULL, 0, 0, NULL, false,
     "secrets of session tokens, one a line; the first seals, all open. Absent: made at start"},
    {"module_path", WEIR_TYPE_STRINGS, TOP(module_path), NULL, 0, 0, NULL, false, "folders to look for modules in"},
    {"modules", WEIR_TYPE_STRINGS, TOP(modules), NULL, 0, 0, NULL, true, "the modules to load, by name"},
    END,
};

const weir_option_t conf_top_sections[] = {
    {.name = "workers",
     .type = WEIR_TYPE_STRING,
     .fallback = "auto",
     .doc = "processes that serve clients: a number from 1 to 256, or auto: one per core"},
    {.name = "log", .doc = "the error log"},
    {.name = "access_log", .doc = "one line per exchange"},
    {.name = "admin", .doc = "/healthz, /readyz, /status and /metrics for operators"},
    {.name = "listeners", .doc = "where clients arrive"},
    {.name = "upstreams", .doc = "named groups of servers"},
    END,
};

const weir_option_t conf_log_options[] = {
    {"level", WEIR_TYPE_ENUM, TOP(log_level), "info", 0, 0, level_names, false, "the least important lines to write"},
    {"file", WEIR_TYPE_PATH, TOP(log_file), NULL, 0, 0, NULL, false, "a file; absent or stderr: standard error"},
    END,
};

const weir_option_t conf_access_options[] = {
    {"file", WEIR_TYPE_PATH, TOP(access_file), NULL, 0, 0, NULL, true, "the file that lines are appended to"},
    {"format", WEIR_TYPE_ENUM, TOP(access_format), "json", 0, 0, format_names, false, "how a line is written"},
    {"buffer", WEIR_TYPE_SIZE, TOP(access_buffer), "64KiB", 4096, 16777216, NULL, false,
     "lines are gathered up to this size before they are written"},
    {"flush", WEIR_TYPE_DURATION, TOP(access_flush_ms), "1s", 1, 60000, NULL, false, "and no longer than this"},
    END,
};

const weir_option_t conf_admin_options[] = {
    {"listen", WEIR_TYPE_STRING, TOP(admin_listen), NULL, 0, 0, NULL, true, "an address, as 127.0.0.1:9901"},
    END,
};

#define LISTENER(member) offsetof(conf_listener_t, member)
const weir_option_t conf_listener_options[] = {
    {"transport", WEIR_TYPE_STRINGS, LISTENER(transports), NULL, 0, 0, NULL, true,
     "the transport, or several that share the port"},
    {"listen", WEIR_TYPE_STRINGS, LISTENER(listen), NULL, 0, 0, NULL, true,
     "addresses: 127.0.0.1:8080, [::1]:8080, :8080 (all), unix:/run/weir.sock"},
    {"max_exchanges", WEIR_TYPE_INT, LISTENER(max_exchanges), "256", 1, 65535, NULL, false,
     "exchanges that one client on a stream may have in flight; then nothing more is read from it"},
    {"max_in_flight", WEIR_TYPE_SIZE, LISTENER(max_in_flight), "16MiB", 4096, 1073741824, NULL, false,
     "bytes of requests that one client on a stream may have in flight: at 0.8 of it nothing more is read from it, "
     "until less "
     "than 0.3 is left"},
    {"max_batch", WEIR_TYPE_INT, LISTENER(max_batch), "100", 0, 65535, NULL, false,
     "messages in one JSON-RPC batch of a client, which revision 2025-03-26 has; 0: none are taken"},
    END,
};

const weir_option_t conf_listener_sections[] = {
    {.name = "tls", .doc = "a certificate and its key, or a list of them chosen by name (SNI)"},
    {.name = "routes", .doc = "which host and path lead to which upstream"},
    {.name = "chain", .doc = "link modules (batch, compress) for what is written to clients, in order"},
    END,
};

#define TLS(member) offsetof(conf_tls_t, member)
const weir_option_t conf_tls_options[] = {
    {"certificate", WEIR_TYPE_PATH, TLS(certificate), NULL, 0, 0, NULL, true,
     "PEM file: the certificate, then its chain"},
    {"key", WEIR_TYPE_PATH, TLS(key), NULL, 0, 0, NULL, false, "PEM file; absent: in the certificate's file"},
    {"client_ca", WEIR_TYPE_PATH, TLS(client_ca), NULL, 0, 0, NULL, false,
     "PEM file: clients must show a certificate that one of these has signed, whichever name they ask for; it says who "
     "they "
     "are (the principal)"},
    {"min_version", WEIR_TYPE_ENUM, TLS(min_version), "1.2", 0, 0, version_names, false, "the oldest TLS to accept"},
    END,
};

#define ROUTE(member) offsetof(conf_route_t, member)
const weir_option_t conf_route_options[] = {
    {"path", WEIR_TYPE_STRING, ROUTE(path), NULL, 0, 0, NULL, true, "the whole path, as /mcp"},
    {"host", WEIR_TYPE_STRING, ROUTE(host), NULL, 0, 0, NULL, false, "the Host that the request names; absent: any"},
    {"upstream", WEIR_TYPE_STRING, ROUTE(upstream), NULL, 0, 0, NULL, true, "where it leads"},
    END,
};

#define UPSTREAM(member) offsetof(conf_upstream_t, member)
const weir_option_t conf_upstream_options[] = {
    {"transport", WEIR_TYPE_STRING, UPSTREAM(transport), NULL, 0, 0, NULL, true, "how its servers are reached"},
    {"reply_timeout", WEIR_TYPE_DURATION, UPSTREAM(reply_timeout_ms), "5m", 1, DAY_MS, NULL, false,
     "the longest silence before an answer, or between two parts of it"},
    {"probe_timeout", WEIR_TYPE_DURATION, UPSTREAM(probe_timeout_ms), "10s", 1, DAY_MS, NULL, false,
     "how long a server may take to say which era it speaks"},
    {"fallback", WEIR_TYPE_STRING, UPSTREAM(fallback), NULL, 0, 0, NULL, false,
     "what serves while its breaker lets nothing through: another upstream, of any transport, or one of its own "
     "servers by "
     "name (10.0.0.12:3000), which then serves nothing else"},
    {"buffer_limit", WEIR_TYPE_SIZE, UPSTREAM(buffer_limit), "256KiB", 4096, 1073741824, NULL, false,
     "bytes that wait for one client, or for one server, before the other side is stopped"},
    {"max_message", WEIR_TYPE_SIZE, UPSTREAM(max_message), "4MiB", 1024, 1073741824, NULL, false,
     "bytes that one message of a server may have, where weir reads its messages one by one"},
    END,
};

const weir_option_t conf_upstream_sections[] = {
    {.name = "servers", .doc = "its members"},
    {.name = "chain", .doc = "the modules that a request passes, in order"},
    {.name = "sessions", .doc = "how legacy sessions are kept"},
    END,
};

const weir_option_t conf_session_options[] = {
    {"idle_timeout", WEIR_TYPE_DURATION, UPSTREAM(session_idle_ms), "30m", 1, 30 * DAY_MS, NULL, false,
     "a session without a request or a stream ends after this"},
    {"resume_timeout", WEIR_TYPE_DURATION, UPSTREAM(session_resume_ms), "10s", 1, DAY_MS, NULL, false,
     "how long a client may stay away from a stream before its request is cancelled"},
    {"event_log", WEIR_TYPE_SIZE, UPSTREAM(event_log), "1MiB", 0, 1073741824, NULL, false,
     "what is kept of a session's streams for Last-Event-ID"},
    END,
};

#define SERVER(member) offsetof(conf_server_t, member)
const weir_option_t conf_server_options[] = {
    {"weight", WEIR_TYPE_INT, SERVER(weight), "1", 1, 1000, NULL, false, "its share of the load"},
    END,
};
