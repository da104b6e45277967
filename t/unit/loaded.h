/* loaded.h: modules as they were built, in a test's process. */
#ifndef T_LOADED_H
#define T_LOADED_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"
#include "modules.h"
#include "proc.h"

/* Load build/modules/NAME.so into proc->modules. */
static inline const weir_module_t *module_loaded(const char *name)
{
    char file[128];
    snprintf(file, sizeof(file), "build/modules/%s.so", name);
    void *handle = dlopen(file, RTLD_NOW);
    module_t *module = calloc(1, sizeof(*module));
    if (proc->modules == NULL)
        proc->modules = modules_new();
    if (handle == NULL || module == NULL || proc->modules == NULL) {
        fprintf(stderr, "%s\n", handle == NULL ? dlerror() : "no memory");
        abort();
    }
    module->desc = dlsym(handle, "weir_module");
    module->next = proc->modules->first;
    proc->modules->first = module;
    return module->desc;
}

static inline void modules_forgotten(void)
{
    codecs_free(proc->codecs);
    proc->codecs = NULL;
    if (proc->modules != NULL)
        modules_free(proc->modules);
    proc->modules = NULL;
}

#endif
