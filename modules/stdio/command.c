/* command.c: what is to be run, and when again. A command whose children die before they have said anything is not tried in a
 * circle: the wait doubles from 100 ms to 30 s, until one of them lives. One that has spoken and died was ended by what it was
 * asked, and must not make other clients wait for longer than a breath.
 */
#include "stdio.h"

#include <stdlib.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 30000

/* The command's name without its folder. */
static const char *command_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

int command_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    const command_options_t *options = server->options;
    if (options->command.count == 0 || options->command.items[0][0] == '\0')
        return weir_error(err, "`command` is empty; name the program and its arguments: [npx, -y, some-server]");
    command_t *command = calloc(1, sizeof(*command));
    if (command == NULL)
        return weir_error(err, "no memory for a command");
    command->host = host;
    command->server = server;
    command->options = options;
    server->name = command_name(options->command.items[0]);
    server->carrier = command;
    return WEIR_OK;
}

void command_close(weir_server_t *server)
{
    free(server->carrier);
    server->carrier = NULL;
}

void command_failed(command_t *command, uint64_t started_ms, bool has_spoken)
{
    /* Several that were started at the same time and died of the same cause are one failure. */
    if (command->backoff_ms > 0 && (has_spoken || started_ms < command->backoff_at_ms))
        return;
    uint64_t twice = 2 * command->backoff_ms;
    command->backoff_ms = twice < BACKOFF_MIN_MS ? BACKOFF_MIN_MS : twice > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : twice;
    command->backoff_at_ms = command->host->now_ms();
}

void command_well(command_t *command)
{
    command->backoff_ms = 0;
}
