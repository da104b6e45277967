/* main.c: where weir begins and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_config.h"
#include "cli.h"
#include "connect.h"
#include "daemon.h"
#include "master.h"
#include "run.h"
#include "title.h"
#include "tool.h"

static int serve(const char *file, const title_t *title, bool is_daemon)
{
    const master_options_t options = {.file = file, .title = *title, .is_daemon = is_daemon};
    return master_run(&options);
}

static int serve_daemon(const char *file, const title_t *title)
{
    weir_error_t err = {""};
    int status;
    if (daemon_begin(&status, &err))
        return serve(file, title, true);
    if (err.text[0] != '\0')
        fprintf(stderr, "weir: %s\n", err.text);
    return status;
}

/* The file's name is copied: processes show their titles where argv was. */
static int serve_main(const cli_t *cli, const title_t *title)
{
    char *file = strdup(cli->file);
    if (file == NULL) {
        fprintf(stderr, "weir: out of memory\n");
        return EXIT_FAILURE;
    }
    int status = cli->is_daemon ? serve_daemon(file, title) : serve(file, title, false);
    free(file);
    return status;
}

static int version(void)
{
    printf("weir %s\n", WEIR_VERSION);
    return EXIT_SUCCESS;
}

static int help(const cli_t *cli)
{
    cli_help(cli->topic);
    return EXIT_SUCCESS;
}

static int dispatch(const cli_t *cli, const title_t *title)
{
    switch (cli->command) {
    case CLI_SERVE:
        return serve_main(cli, title);
    case CLI_RUN:
        return run_main(cli, title);
    case CLI_CONNECT:
        return connect_main(cli, title);
    case CLI_CHECK:
        return tool_check(cli);
    case CLI_SIGNAL:
        return tool_signal(cli);
    case CLI_STATUS:
        return tool_status(cli);
    case CLI_MODULES:
        return tool_modules(cli);
    case CLI_SCHEMA:
        return tool_schema(cli);
    case CLI_COMMAND:
        return tool_command(cli);
    case CLI_VERSION:
        return version();
    case CLI_BUILD:
        return tool_build();
    case CLI_HELP:
        return help(cli);
    case CLI_WRONG:
        break;
    }
    return 2;
}

int main(int argc, char **argv)
{
    title_t title = title_room(argc, argv);
    cli_t cli = cli_parse(argc, argv);
    return dispatch(&cli, &title);
}
