/* config.h: the configuration: section 5 of the design as typed structs. Knows no module: what belongs to a transport or a chain's
 * module stays a tree (`node`) until that module's option table reads it.
 *
 * A configuration is read once and never changed; it owns all strings and trees that hang on it.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdint.h>

#include <weir/error.h>
#include <weir/option.h>

#include "arena.h"
#include "option.h"
#include "tree.h"

#define CONF_WORKERS_MAX 256

typedef struct conf_route {
    const char *path; /* begins with "/" */
    const char *host; /* NULL: any */
    const char *upstream;
} conf_route_t;

typedef struct conf_tls {
    const char *certificate, *key;
    const char *client_ca; /* NULL: clients show no certificate */
    int min_version;       /* 0: TLS 1.2, 1: TLS 1.3 */
} conf_tls_t;

typedef struct conf_chain_item {
    const char *module;
    const node_t *options; /* NULL: all defaults */
    int line, column;
} conf_chain_item_t;

typedef struct conf_listener {
    const char *name;
    weir_strings_t transports; /* at least one */
    weir_strings_t listen;     /* at least one */
    conf_tls_t *tls;           /* the first is the default certificate */
    size_t ntls;
    conf_route_t *routes;
    size_t nroutes;
    conf_chain_item_t *chain; /* link modules; mostly none */
    size_t nchain;
    int64_t max_exchanges;  /* of one client on a stream transport */
    uint64_t max_in_flight; /* bytes of requests of such a client */
    int64_t max_batch;      /* messages in one JSON-RPC batch */
    const node_t *node;
} conf_listener_t;

typedef struct conf_server {
    int64_t weight;
    const node_t *node;
} conf_server_t;

typedef struct conf_upstream {
    const char *name;
    const char *transport;
    conf_chain_item_t *chain;
    size_t nchain;
    conf_server_t *servers;
    size_t nservers;
    const char *fallback; /* an upstream, or a server of this one; NULL: none */
    uint64_t reply_timeout_ms;
    uint64_t buffer_limit;
    uint64_t max_message;
    uint64_t probe_timeout_ms;  /* for finding out an era */
    uint64_t session_idle_ms;   /* sessions: { idle_timeout } */
    uint64_t session_resume_ms; /* sessions: { resume_timeout } */
    uint64_t event_log;         /* sessions: { event_log }: bytes */
    const node_t *node;
    uint64_t digest; /* of the definition's text; equal digests: unchanged */
} conf_upstream_t;

typedef struct config {
    arena_t *arena;
    config_source_t source;
    const char *file;
    const node_t *node; /* all of it */
    int64_t workers;    /* 0: auto, one per core */
    int64_t keepers;
    uint64_t drain_timeout_ms;
    int64_t worker_connections; /* clients of one worker at once */
    const char *user;
    const char *pid_file;
    int log_level; /* weir_level_t */
    const char *log_file;
    const char *access_file; /* NULL: no access log */
    int access_format;
    uint64_t access_buffer;
    uint64_t access_flush_ms;
    const char *admin_listen;
    const char *session_keys;
    weir_strings_t module_path;
    weir_strings_t modules;
    const node_t *modules_node; /* where they stand */
    conf_listener_t *listeners;
    size_t nlisteners;
    conf_upstream_t *upstreams;
    size_t nupstreams;
} config_t;

/* The core's own options of each map, for reading and for the schema. */
extern const weir_option_t conf_top_options[];
extern const weir_option_t conf_log_options[];
extern const weir_option_t conf_access_options[];
extern const weir_option_t conf_admin_options[];
extern const weir_option_t conf_listener_options[];
extern const weir_option_t conf_tls_options[];
extern const weir_option_t conf_route_options[];
extern const weir_option_t conf_upstream_options[];
extern const weir_option_t conf_session_options[];
extern const weir_option_t conf_server_options[];

/* Keys of maps whose values are maps or lists of their own: they are known, but no table reads them. */
extern const weir_option_t conf_top_sections[];
extern const weir_option_t conf_listener_sections[];
extern const weir_option_t conf_upstream_sections[];

/* Read a file whole; the caller frees the text. NULL with a story. */
char *config_read(const char *file, weir_error_t *err);

/* From the text to a configuration. `file` is named in errors; relative paths begin in its folder. Keys of transports are not
 * looked at here; see options_read_sets(). */
int config_parse(const char *text, const char *file, config_t **out, weir_error_t *err);
void config_free(config_t *config); /* NULL is fine */

/* Where the address of a listener stands. */
const node_t *config_listen_node(const conf_listener_t *listener, size_t i);

/* Whether a process that starts children has to keep the right to change the user. */
bool config_needs_root(const config_t *config);

#endif
