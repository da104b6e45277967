/* tool.c: the commands that serve nothing. What they say of the configuration is what the master would find out too: the same
 * parser, the same trial.
 */
#include "tool.h"

#include <errno.h>
#include <ev.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/module.h>

#include "build_config.h"
#include "check.h"
#include "config.h"
#include "pidfile.h"
#include "tryout.h"

int tool_begin(proc_t *context, const cli_t *cli, weir_error_t *err)
{
    *context = (proc_t){.kind = PROC_TOOL};
    proc = context;
    char *text = config_read(cli->file, err);
    if (text == NULL)
        return WEIR_EFAIL;
    config_t *config = NULL;
    int rc = config_parse(text, cli->file, &config, err);
    context->config = config;
    free(text);
    return rc;
}

int tool_end(proc_t *context, int rc, const weir_error_t *err)
{
    if (rc != WEIR_OK)
        fprintf(stderr, "weir: %s\n", err->text);
    config_free(context->config);
    proc = NULL;
    return rc == WEIR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The weir that runs holds its addresses, and this is how its next configuration is checked. Without a pid_file it cannot be told
 * from a stranger. */
static int addresses_check(const config_t *config, weir_error_t *err)
{
    pid_t pid;
    if (check_addresses_are_free(config, err) == WEIR_OK)
        return WEIR_OK;
    if (config->pid_file != NULL && pidfile_read(config->pid_file, &pid, NULL) != WEIR_OK)
        return WEIR_EFAIL;
    if (config->pid_file == NULL)
        fprintf(stderr, "weir: note: %s, or the weir that runs\n", err->text);
    return WEIR_OK;
}

static void warn(const char *text)
{
    fprintf(stderr, "weir: warning: %s\n", text);
}

int tool_check(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc = tryout_run(context.config, &err);
    if (rc == WEIR_OK)
        rc = addresses_check(context.config, &err);
    if (rc == WEIR_OK)
        check_commands(context.config, warn);
    if (rc == WEIR_OK)
        printf("configuration %s is fine\n", cli->file);
    return tool_end(&context, rc, &err);
}

static int master_signal(const config_t *config, const char *file, int number, weir_error_t *err)
{
    pid_t pid;
    if (config->pid_file == NULL)
        return weir_error(
            err, "%s has no pid_file, which says where the running weir is found; add pid_file: /run/weir.pid", file);
    if (pidfile_read(config->pid_file, &pid, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (kill(pid, number) != 0)
        return weir_error(err, "cannot signal pid %ld: %s", (long)pid, strerror(errno));
    return WEIR_OK;
}

int tool_signal(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = tool_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc = master_signal(context.config, cli->file, cli->signal, &err);
    return tool_end(&context, rc, &err);
}

int tool_build(void)
{
    printf("weir %s\n", WEIR_VERSION);
    printf("module ABI %d.%d\n", WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    printf("configuration %s\n", WEIR_CONF_FILE);
    printf("modules %s\n", WEIR_MODULE_DIR);
    printf("compiler %s\n", __VERSION__);
    printf("%s, libev %d.%d\n", OpenSSL_version(OPENSSL_VERSION), ev_version_major(), ev_version_minor());
    return EXIT_SUCCESS;
}
