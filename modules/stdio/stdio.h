/* stdio.h: what the files of the stdio transport share.
 *
 * A server of this transport is a command; a link is one child that runs it.
 */
#ifndef STDIO_H
#define STDIO_H

#include <weir/module.h>

typedef struct command_options {
    weir_strings_t command;
    weir_map_t env;
    const char *cwd;
    const char *user;
    uint64_t limit_memory;
    int64_t limit_files;
    uint64_t limit_cpu_ms;
    uint64_t start_timeout_ms;
    uint64_t stop_timeout_ms;
} command_options_t;

/* The command of an upstream, and how it fared lately. Owned by the server it is the carrier of. */
typedef struct command {
    const weir_host_t *host;
    weir_server_t *server;
    const command_options_t *options;
    uint32_t started;       /* children so far: the last one's number */
    uint64_t backoff_ms;    /* how long the next child waits; 0: not at all */
    uint64_t backoff_at_ms; /* when it was last made longer */
} command_t;

int command_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err);
void command_close(weir_server_t *server);

/* A child has died young: the next ones wait, longer each time. `has_spoken`: it was not the start that failed. */
void command_failed(command_t *command, uint64_t started_ms, bool has_spoken);

/* A child has lived long enough. */
void command_well(command_t *command);

/* How long a child must live for its start to count as a good one. */
#define COMMAND_WELL_MS 10000

extern const weir_accept_t stdio_accept;
extern const weir_connect_t stdio_connect;

#endif
