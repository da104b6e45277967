/* modules.c: see modules.h. What is refused here is told with the file and, for the ABI, both versions. */
#include "modules.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <build_config.h>

#define PATH_DIRS_MAX 16

modules_t *modules_new(void)
{
    return calloc(1, sizeof(modules_t));
}

void modules_free(modules_t *modules)
{
    while (modules->first != NULL) {
        module_t *module = modules->first;
        modules->first = module->next;
        free((char *)module->file);
        free(module);
    }
    free(modules->built);
    free(modules);
}

const weir_module_t *modules_find(const modules_t *modules, const char *name)
{
    for (const module_t *m = modules->first; m != NULL; m = m->next)
        if (strcmp(m->desc->name, name) == 0)
            return m->desc;
    return NULL;
}

static int module_check(const weir_module_t *desc, const char *file, weir_error_t *err)
{
    if (desc->magic != WEIR_MODULE_MAGIC)
        return weir_error(err, "%s: is no weir module (its weir_module begins with 0x%08x)", file, desc->magic);
    if (desc->abi_major != WEIR_ABI_MAJOR)
        return weir_error(err, "%s: built for ABI %u.%u, this weir has %d.%d; build it again with this weir's headers",
                          file, desc->abi_major, desc->abi_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    if (desc->needs_minor > WEIR_ABI_MINOR)
        return weir_error(err, "%s: needs ABI %u.%u or newer, this weir has %d.%d; use a newer weir", file,
                          desc->abi_major, desc->needs_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    if (desc->name == NULL || desc->doc == NULL)
        return weir_error(err, "%s: the module has no name or no line of documentation", file);
    return WEIR_OK;
}

static int module_add(modules_t *modules, const char *file, const weir_module_t **out, weir_error_t *err)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return weir_error(err, "%s", dlerror());
    const weir_module_t *desc = dlsym(handle, "weir_module");
    if (desc == NULL)
        return weir_error(err, "%s: exports no symbol weir_module", file);
    if (module_check(desc, file, err) != WEIR_OK)
        return WEIR_EFAIL;
    module_t *module = calloc(1, sizeof(*module));
    char *copy = strdup(file);
    if (module == NULL || copy == NULL) {
        free(module);
        free(copy);
        return weir_error(err, "%s: no memory for the module", file);
    }
    *module = (module_t){.desc = desc, .file = copy, .next = modules->first};
    modules->first = module;
    *out = desc;
    return WEIR_OK;
}

/* The folder of modules beside the program, when it runs where it was built. */
static const char *modules_built(modules_t *modules)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    free(modules->built);
    if (asprintf(&modules->built, "%s/build/modules", exe) < 0)
        modules->built = NULL;
    return modules->built != NULL && access(modules->built, X_OK) == 0 ? modules->built : NULL;
}

size_t modules_path(modules_t *modules, const config_t *config, const char **dirs, size_t max)
{
    size_t n = 0;
    if (config != NULL)
        for (size_t i = 0; i < config->module_path.count && n < max; i++)
            dirs[n++] = config->module_path.items[i];
    const char *built = modules_built(modules);
    if (built != NULL && n < max)
        dirs[n++] = built;
    else if (n < max)
        dirs[n++] = WEIR_MODULE_DIR;
    return n;
}

static int module_load(modules_t *modules, const config_t *config, const char *name, weir_error_t *err)
{
    const char *dirs[PATH_DIRS_MAX];
    size_t ndirs = modules_path(modules, config, dirs, PATH_DIRS_MAX);
    for (size_t i = 0; i < ndirs; i++) {
        char file[PATH_MAX];
        if ((size_t)snprintf(file, sizeof(file), "%s/%s.so", dirs[i], name) >= sizeof(file) || access(file, F_OK) != 0)
            continue;
        const weir_module_t *desc = NULL;
        if (module_add(modules, file, &desc, err) != WEIR_OK)
            return WEIR_EFAIL;
        if (strcmp(desc->name, name) != 0)
            return weir_error(err, "%s: the module calls itself %s", file, desc->name);
        return WEIR_OK;
    }
    return weir_error(err, "modules: no %s.so in %s%s; set module_path to the folder that has it", name, dirs[0],
                      ndirs > 1 ? " and the other folders of module_path" : "");
}

int modules_load(modules_t *modules, const config_t *config, weir_error_t *err)
{
    for (size_t i = 0; i < config->modules.count; i++) {
        const char *name = config->modules.items[i];
        if (modules_find(modules, name) == NULL && module_load(modules, config, name, err) != WEIR_OK)
            return WEIR_EFAIL;
    }
    return WEIR_OK;
}

static int modules_load_dir(modules_t *modules, const config_t *config, const char *dir, weir_error_t *err)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return WEIR_OK;
    int result = WEIR_OK;
    for (struct dirent *entry; result == WEIR_OK && (entry = readdir(d)) != NULL;) {
        size_t n = strlen(entry->d_name);
        if (n < 4 || strcmp(entry->d_name + n - 3, ".so") != 0)
            continue;
        entry->d_name[n - 3] = '\0';
        if (modules_find(modules, entry->d_name) == NULL)
            result = module_load(modules, config, entry->d_name, err);
    }
    closedir(d);
    return result;
}

int modules_load_all(modules_t *modules, const config_t *config, weir_error_t *err)
{
    const char *dirs[PATH_DIRS_MAX];
    size_t ndirs = modules_path(modules, config, dirs, PATH_DIRS_MAX);
    for (size_t i = 0; i < ndirs; i++)
        if (modules_load_dir(modules, config, dirs[i], err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}
