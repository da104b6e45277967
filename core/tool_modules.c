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

/* Load every module there is. Without a configuration the folders are those that weir was built with. */
static int modules_begin(proc_t *context, const cli_t *cli, weir_error_t *err)
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
    return modules_load_all(context->modules, context->config, err);
}

static int modules_end(proc_t *context, int rc, const weir_error_t *err)
{
    if (context->modules != NULL)
        modules_free(context->modules);
    return tool_end(context, rc, err);
}

static int modules_list(const modules_t *modules, weir_error_t *err)
{
    if (modules->first == NULL)
        return weir_error(err, "there are no modules; set module_path to the folder that has them");
    for (const module_t *module = modules->first; module != NULL; module = module->next)
        describe_line(stdout, module->desc);
    return WEIR_OK;
}

static int module_show(const modules_t *modules, const char *name, weir_error_t *err)
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
    return weir_error(err, "there is no module '%s'; `weir modules` lists those there are", name);
}

int tool_modules(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = modules_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc =
            cli->module == NULL ? modules_list(context.modules, &err) : module_show(context.modules, cli->module, &err);
    return modules_end(&context, rc, &err);
}

int tool_schema(const cli_t *cli)
{
    proc_t context;
    weir_error_t err = {""};
    int rc = modules_begin(&context, cli, &err);
    if (rc == WEIR_OK)
        rc = schema_write(stdout, context.modules, &err);
    return modules_end(&context, rc, &err);
}
