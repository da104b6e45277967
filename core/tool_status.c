/* tool_status.c: `weir status`, and commands to modules: asks the running weir at its `admin:` address, and shows the answer. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config.h"
#include "status_table.h"
#include "tool.h"
#include "visit.h"
#include "watch.h"

static int json_print(const json_t *status, weir_error_t *err)
{
    int rc = json_dumpf(status, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    return rc == 0 && putchar('\n') == '\n' ? WEIR_OK : weir_error(err, "cannot write the status");
}

static int table_print(const json_t *status, weir_error_t *err)
{
    const table_frame_t frame = {.now = status};
    return table_write(stdout, &frame) == WEIR_OK ? WEIR_OK : weir_error(err, "cannot write the status");
}

static int status_print(const config_t *config, bool is_json, weir_error_t *err)
{
    json_t *status = watch_look(config, err);
    if (status == NULL)
        return WEIR_EFAIL;
    int rc = is_json ? json_print(status, err) : table_print(status, err);
    json_decref(status);
    return rc;
}

int tool_status(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK && cli->watch_ms > 0)
        rc = watch_run(context.config, cli->watch_ms, &err);
    else if (rc == WEIR_OK)
        rc = status_print(context.config, cli->is_json, &err);
    return tool_end(&context, rc, &err);
}

static int command_send(const config_t *config, const cli_t *cli, weir_error_t *err)
{
    char path[1024];
    const char *words[] = {cli->module, cli->word, cli->target};
    for (size_t i = 0; i < 3; i++)
        if (words[i][strcspn(words[i], " \t\r\n?#%")] != '\0')
            return weir_error(err, "'%s' is no name of a module, a command or a server", words[i]);
    int n = snprintf(path, sizeof(path), COMMAND_PATH "%s/%s/%s", words[0], words[1], words[2]);
    if (n < 0 || (size_t)n >= sizeof(path))
        return weir_error(err, "the command is too long");
    return visit_post(config, path, err);
}

int tool_command(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc = command_send(context.config, cli, &err);
    return tool_end(&context, rc, &err);
}
