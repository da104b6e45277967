/* cli.h: what the command line asks for. Everything points into argv. */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_command {
    CLI_SERVE,
    CLI_CHECK,
    CLI_SIGNAL,
    CLI_RUN,
    CLI_CONNECT,
    CLI_STATUS,
    CLI_MODULES,
    CLI_SCHEMA,
    CLI_COMMAND,
    CLI_VERSION,
    CLI_BUILD,
    CLI_HELP,
    CLI_WRONG, /* said on stderr already */
} cli_command_t;

typedef struct cli {
    cli_command_t command;
    const char *file; /* -c, or the installed configuration */
    bool is_file_given;
    bool is_daemon;
    int signal;                       /* of CLI_SIGNAL */
    bool is_json;                     /* of CLI_STATUS */
    uint64_t watch_ms;                /* likewise: look again and again, so often; 0: once */
    const char *module;               /* of CLI_MODULES, or NULL; of CLI_COMMAND */
    const char *word, *target;        /* of CLI_COMMAND: what it is told, and about which upstream or server */
    const char *topic;                /* of CLI_HELP: the command, or NULL */
    const char *listen, *path, *name; /* of CLI_RUN; name may be NULL */
    const char *url;                  /* of CLI_CONNECT */
    char *const *program;             /* likewise: argv of the server, ended by NULL */
} cli_t;

cli_t cli_parse(int argc, char **argv);

void cli_help(const char *topic);

#endif
