/* modules.h: loading modules. A module is loaded once in a process and never unloaded; a new set means a new process (workers)
 * or one more module in a living one (a keeper whose configuration grew).
 */
#ifndef MODULES_H
#define MODULES_H

#include <weir/module.h>

#include "config.h"

typedef struct module {
    const weir_module_t *desc;
    const char *file;
    struct module *next;
} module_t;

typedef struct modules {
    module_t *first; /* in the order of their names */
    char *own;       /* the folder that belongs to this program, once looked for */
} modules_t;

modules_t *modules_new(void);
void modules_free(modules_t *modules);

/* Load all that the configuration names and that is not loaded yet. The error names the file, both ABI versions, or the path
 * that was searched. */
int modules_load(modules_t *modules, const config_t *config, weir_error_t *err);

/* A loaded module by the name the configuration uses, or NULL. */
const weir_module_t *modules_find(const modules_t *modules, const char *name);

/* Where modules are looked for: the configuration's module_path, then the folder that belongs to this program, or else the one
 * configure was told. `dirs` gets up to `max` folders. */
size_t modules_path(modules_t *modules, const config_t *config, const char **dirs, size_t max);

/* Load every module found on the path (for `weir modules` and `weir schema`). One that cannot be loaded does not keep the others
 * out: the error is that of the first. */
int modules_load_all(modules_t *modules, const config_t *config, weir_error_t *err);

#endif
