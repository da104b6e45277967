/* tool_modules.c: `weir modules` and `weir schema`: what the modules on the path say of themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "describe.h"
#include "modules.h"
#include "schema.h"
#include "suggest.h"
#include "tool.h"

/* Load every module there is; `bad` tells of one that could not be. Without a configuration the folders are those that weir was
 * built with. */
static int modules_begin(proc_t *context, const cli_t *cli, weir_error_t *bad, weir_error_t *err)
{
    if (cli->is_file_given || access(cli->file, R_OK) == 0) {
        if (tool_begin(context, cli, err) != WEIR_OK)
            return WEIR_EFAIL;
    } else {
        *context = (proc_t){.kind = PROC_TOOL};
        proc = context;
    }
    context->modules = modules_new();
    if (context->modules == NULL)
        return weir_error(err, "out of memory");
    (void)modules_load_all(context->modules, context->config, bad);
    return WEIR_OK;
}

static int modules_end(proc_t *context, int rc, const weir_error_t *err)
{
    if (context->modules != NULL)
        modules_free(context->modules);
    return tool_end(context, rc, err);
}

/* What there is has been shown; what could not be loaded is told after it. */
static int told(const weir_error_t *bad, weir_error_t *err)
{
    return bad->text[0] == '\0' ? WEIR_OK : weir_error(err, "%s", bad->text);
}

static int modules_list(const modules_t *modules, const weir_error_t *bad, weir_error_t *err)
{
    if (modules->first == NULL && bad->text[0] == '\0')
        return weir_error(err, "there are no modules; set module_path to the folder that has them");
    for (const module_t *module = modules->first; module != NULL; module = module->next)
        describe_line(stdout, module->desc);
    return told(bad, err);
}

static int module_show(const modules_t *modules, const char *name, const weir_error_t *bad, weir_error_t *err)
{
    const char *nearest = NULL;
    for (const module_t *module = modules->first; module != NULL; module = module->next) {
        if (strcmp(module->desc->name, name) == 0) {
            describe_module(stdout, module->desc, module->file);
            return WEIR_OK;
        }
        nearest = suggest_nearer(weir_slice_str(name), nearest, module->desc->name);
    }
    if (nearest != NULL)
        return weir_error(err, "there is no module '%s'; did you mean '%s'?", name, nearest);
    if (told(bad, err) != WEIR_OK)
        return WEIR_EFAIL;
    return weir_error(err, "there is no module '%s'; `weir modules` lists those there are", name);
}

int tool_modules(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""}, bad = {""};
    int rc = modules_begin(&context, cli, &bad, &err);
    if (rc == WEIR_OK)
        rc = cli->module == NULL ? modules_list(context.modules, &bad, &err)
                                 : module_show(context.modules, cli->module, &bad, &err);
    return modules_end(&context, rc, &err);
}

int tool_schema(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""}, bad = {""};
    int rc = modules_begin(&context, cli, &bad, &err);
    if (rc == WEIR_OK)
        rc = schema_write(stdout, context.modules, &err);
    if (rc == WEIR_OK)
        rc = told(&bad, &err);
    return modules_end(&context, rc, &err);
}
