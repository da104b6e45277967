/* modules.c: see modules.h. What is refused here is told with the file and, for the ABI, both versions. */
#include "modules.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <build_config.h>

#include "suggest.h"

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
    free(modules->own);
    free(modules);
}

const weir_module_t *modules_find(const modules_t *modules, const char *name)
{
    for (const module_t *m = modules->first; m != NULL; m = m->next)
        if (strcmp(m->desc->name, name) == 0)
            return m->desc;
    return NULL;
}

static int module_check(const weir_module_t *desc, const char *file, const char *name, weir_error_t *err)
{
    if (desc->magic != WEIR_MODULE_MAGIC)
        return weir_error(err, "%s: is no weir module (its weir_module begins with 0x%08x)", file, desc->magic);
    if (desc->abi_major != WEIR_ABI_MAJOR)
        return weir_error(err, "%s: built for ABI %u.%u, this weir has %d.%d; build it again with this weir's headers",
                          file, desc->abi_major, desc->abi_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    if (desc->needs_minor > WEIR_ABI_MINOR)
        return weir_error(err, "%s: needs ABI %u.%u or newer, this weir has %d.%d; use a newer weir", file,
                          desc->abi_major, desc->needs_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    if (desc->size < sizeof(*desc))
        return weir_error(
            err, "%s: its descriptor has %u bytes, and that of ABI %d.%d has %zu; begin it with WEIR_MODULE_HEADER",
            file, desc->size, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, sizeof(*desc));
    if (desc->name == NULL || desc->doc == NULL)
        return weir_error(err, "%s: the module has no name or no line of documentation", file);
    if (strcmp(desc->name, name) != 0)
        return weir_error(err, "%s: the module calls itself %s; its file must be named %s.so", file, desc->name,
                          desc->name);
    return WEIR_OK;
}

static int module_add(modules_t *modules, const char *file, const char *name, weir_error_t *err)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return weir_error(err, "%s", dlerror());
    const weir_module_t *desc = dlsym(handle, "weir_module");
    if (desc == NULL)
        return weir_error(err, "%s: exports no symbol weir_module; a module says WEIR_MODULE = { … } once", file);
    if (module_check(desc, file, name, err) != WEIR_OK)
        return WEIR_EFAIL;
    module_t *module = calloc(1, sizeof(*module));
    char *copy = strdup(file);
    if (module == NULL || copy == NULL) {
        free(module);
        free(copy);
        return weir_error(err, "%s: no memory for the module", file);
    }
    module_t **at = &modules->first;
    while (*at != NULL && strcmp((*at)->desc->name, name) < 0)
        at = &(*at)->next;
    *module = (module_t){.desc = desc, .file = copy, .next = *at};
    *at = module;
    return WEIR_OK;
}

/* The modules that belong to this very program: it runs where it was built, or in a tree of bin/ and lib/ that was put somewhere
 * else than configure was told. */
static const char *modules_own(modules_t *modules)
{
    static const char *const places[] = {"build/modules", "../lib/weir/modules"};
    char exe[PATH_MAX], place[PATH_MAX];
    if (modules->own != NULL)
        return modules->own;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(exe, '/');
    for (size_t i = 0; slash != NULL && modules->own == NULL && i < sizeof(places) / sizeof(places[0]); i++)
        if (snprintf(place, sizeof(place), "%.*s/%s", (int)(slash - exe), exe, places[i]) < (int)sizeof(place))
            modules->own = realpath(place, NULL);
    if (modules->own != NULL)
        return modules->own;
    return WEIR_MODULE_DIR;
}

size_t modules_path(modules_t *modules, const config_t *config, const char **dirs, size_t max)
{
    size_t n = 0;
    if (config != NULL)
        for (size_t i = 0; i < config->module_path.count && n < max; i++)
            dirs[n++] = config->module_path.items[i];
    if (n < max)
        dirs[n++] = modules_own(modules);
    return n;
}

/* What stands before ".so"; false for other files. The name is cut in place. */
static bool module_name(char *file)
{
    size_t n = strlen(file);
    if (n < 4 || strcmp(file + n - 3, ".so") != 0)
        return false;
    file[n - 3] = '\0';
    return true;
}

static int module_missing(const char *name, const char **dirs, size_t ndirs, weir_error_t *err)
{
    char near[NAME_MAX + 1] = "";
    for (size_t i = 0; i < ndirs; i++) {
        DIR *d = opendir(dirs[i]);
        for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
            if (module_name(entry->d_name) &&
                suggest_nearer(weir_slice_str(name), near[0] == '\0' ? NULL : near, entry->d_name) == entry->d_name)
                snprintf(near, sizeof(near), "%s", entry->d_name);
        if (d != NULL)
            closedir(d);
    }
    weir_error(err, "there is no %s.so in %s%s", name, dirs[0],
               ndirs > 1 ? " and the other folders of module_path" : "");
    size_t n = strlen(err->text);
    if (near[0] != '\0')
        snprintf(err->text + n, sizeof(err->text) - n, "; did you mean \"%s\"?", near);
    else
        snprintf(err->text + n, sizeof(err->text) - n, "; set module_path to the folder that has it");
    return WEIR_EFAIL;
}

static int module_load(modules_t *modules, const config_t *config, const char *name, weir_error_t *err)
{
    const char *dirs[PATH_DIRS_MAX];
    size_t ndirs = modules_path(modules, config, dirs, PATH_DIRS_MAX);
    for (size_t i = 0; i < ndirs; i++) {
        char file[PATH_MAX];
        if ((size_t)snprintf(file, sizeof(file), "%s/%s.so", dirs[i], name) >= sizeof(file) || access(file, F_OK) != 0)
            continue;
        return module_add(modules, file, name, err);
    }
    return module_missing(name, dirs, ndirs, err);
}

/* Where the configuration names the module is where it is wrong. */
static int modules_fail(const config_t *config, size_t i, weir_error_t *err)
{
    const node_t *node = config->modules_node;
    const node_t *at = node->kind == NODE_LIST ? &node->items[i] : node;
    return weir_error_wrap(err, "%s:%d:%d: modules: ", config->file, at->line, at->column);
}

int modules_load(modules_t *modules, const config_t *config, weir_error_t *err)
{
    for (size_t i = 0; i < config->modules.count; i++) {
        const char *name = config->modules.items[i];
        if (modules_find(modules, name) == NULL && module_load(modules, config, name, err) != WEIR_OK)
            return modules_fail(config, i, err);
    }
    return WEIR_OK;
}

/* A module that cannot be loaded does not hide the others: the first failure is told at the end. */
static void modules_load_dir(modules_t *modules, const config_t *config, const char *dir, weir_error_t *first)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        weir_error_t err = {""};
        if (module_name(entry->d_name) && modules_find(modules, entry->d_name) == NULL &&
            module_load(modules, config, entry->d_name, &err) != WEIR_OK && first->text[0] == '\0')
            *first = err;
    }
    if (d != NULL)
        closedir(d);
}

int modules_load_all(modules_t *modules, const config_t *config, weir_error_t *err)
{
    const char *dirs[PATH_DIRS_MAX];
    size_t ndirs = modules_path(modules, config, dirs, PATH_DIRS_MAX);
    err->text[0] = '\0';
    for (size_t i = 0; i < ndirs; i++)
        modules_load_dir(modules, config, dirs[i], err);
    return err->text[0] == '\0' ? WEIR_OK : WEIR_EFAIL;
}
