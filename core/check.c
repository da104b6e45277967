/* check.c: see check.h. */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "proc.h"
#include "program.h"
#include "user.h"

/* Whether files can be made in the folder of `file`. */
static int folder_check(const char *file, const char *what, weir_error_t *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t n = slash == NULL ? 0 : slash == file ? 1 : (size_t)(slash - file);
    if (n >= sizeof(folder))
        return weir_error(err, "%s: the name is too long", what);
    memcpy(folder, n == 0 ? "." : file, n == 0 ? 1 : n);
    folder[n == 0 ? 1 : n] = '\0';
    if (access(folder, W_OK | X_OK) != 0)
        return weir_error(err, "%s: cannot write %s: %s", what, file, strerror(errno));
    return WEIR_OK;
}

/* Whether a file can be appended to, or made. */
static int file_check(const char *file, const char *what, weir_error_t *err)
{
    struct stat st;
    if (stat(file, &st) != 0 && errno == ENOENT)
        return folder_check(file, what, err);
    if (access(file, W_OK) != 0)
        return weir_error(err, "%s: cannot write %s: %s", what, file, strerror(errno));
    return S_ISDIR(st.st_mode) ? weir_error(err, "%s: %s is a folder", what, file) : WEIR_OK;
}

static int check_files(const config_t *config, weir_error_t *err)
{
    const node_t *root = config->node;
    if (config->log_file != NULL && file_check(config->log_file, "log", err) != WEIR_OK)
        return config_error_at(&config->source, node_get(node_get(root, "log"), "file"), err);
    if (config->access_file != NULL && file_check(config->access_file, "access_log", err) != WEIR_OK)
        return config_error_at(&config->source, node_get(node_get(root, "access_log"), "file"), err);
    if (config->pid_file != NULL && folder_check(config->pid_file, "pid_file", err) != WEIR_OK)
        return config_error_at(&config->source, node_get(root, "pid_file"), err);
    return WEIR_OK;
}

static int check_server_user(const config_t *config, const conf_upstream_t *up, const node_t *at, weir_error_t *err)
{
    user_t user;
    if (user_find(at->text.p, &user, err) != WEIR_OK)
        return config_error_at(&config->source, at, err);
    if (geteuid() == 0 || geteuid() == user.uid)
        return WEIR_OK;
    return config_error(&config->source, at, err, "user: upstream %s: its server cannot run as '%s': %s", up->name,
                        user.name,
                        proc->kind == PROC_KEEPER ? "the keepers gave root up when weir was started; start it again"
                                                  : "weir is not started by root");
}

int check_server_users(const config_t *config, weir_error_t *err)
{
    for (size_t i = 0; i < config->nupstreams; i++) {
        const node_t *at = node_get(config->upstreams[i].node, "user");
        if (at != NULL && at->kind == NODE_SCALAR &&
            check_server_user(config, &config->upstreams[i], at, err) != WEIR_OK)
            return WEIR_EFAIL;
    }
    return WEIR_OK;
}

static const char *text_of(const node_t *node)
{
    return node != NULL && node->kind == NODE_SCALAR ? node->text.p : NULL;
}

/* A name with a slash begins in the command's own folder. */
static int check_command(const config_t *config, const node_t *up, const node_t *program, weir_error_t *err)
{
    char file[PATH_MAX];
    const char *cwd = text_of(node_get(up, "cwd")), *name = program->text.p;
    if (cwd != NULL && name[0] != '/' && strchr(name, '/') != NULL) {
        bool is_below = cwd[0] != '/' && config->source.dir != NULL && config->source.dir[0] != '\0';
        int n = snprintf(file, sizeof(file), "%s%s%s/%s", is_below ? config->source.dir : "", is_below ? "/" : "", cwd,
                         name);
        name = n > 0 && (size_t)n < sizeof(file) ? file : name;
    }
    return program_check(name, text_of(node_get(node_get(up, "env"), "PATH")), err);
}

void check_commands(const config_t *config, void (*tell)(const char *text))
{
    for (size_t i = 0; i < config->nupstreams; i++) {
        weir_error_t err;
        const node_t *up = config->upstreams[i].node, *at = node_get(up, "command");
        if (at != NULL && at->kind == NODE_LIST)
            at = at->items;
        if (text_of(at) == NULL || check_command(config, up, at, &err) == WEIR_OK)
            continue;
        weir_error_wrap(&err, "upstream %s: ", config->upstreams[i].name);
        config_error_at(&config->source, at, &err);
        tell(err.text);
    }
}

static int check_users(const config_t *config, weir_error_t *err)
{
    user_t user;
    if (config->user != NULL && user_find(config->user, &user, err) != WEIR_OK)
        return config_error_at(&config->source, node_get(config->node, "user"), err);
    return check_server_users(config, err);
}

/* Bind it for a moment. `errno` says EADDRINUSE when it was only that. */
static int address_probe(const char *text, weir_error_t *err)
{
    struct address address;
    errno = 0;
    if (address_parse(text, &address, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (address.kind == ADDRESS_UNIX)
        return folder_check(address.host, "listen", err);
    int fd = address_listen(text, false, 1, err);
    if (fd < 0)
        return WEIR_EFAIL;
    close(fd);
    return WEIR_OK;
}

static int check_address(const config_t *config, const node_t *at, const char *text, bool must_be_free,
                         weir_error_t *err)
{
    if (address_probe(text, err) == WEIR_OK || (errno == EADDRINUSE && !must_be_free))
        return WEIR_OK;
    return config_error_at(&config->source, at, err);
}

static int check_addresses(const config_t *config, bool must_be_free, weir_error_t *err)
{
    for (size_t i = 0; i < config->nlisteners; i++) {
        const conf_listener_t *listener = &config->listeners[i];
        for (size_t k = 0; k < listener->listen.count; k++)
            if (check_address(config, config_listen_node(listener, k), listener->listen.items[k], must_be_free, err) !=
                WEIR_OK)
                return WEIR_EFAIL;
    }
    const node_t *admin = node_get(node_get(config->node, "admin"), "listen");
    return config->admin_listen == NULL ? WEIR_OK
                                        : check_address(config, admin, config->admin_listen, must_be_free, err);
}

int check_addresses_are_free(const config_t *config, weir_error_t *err)
{
    return check_addresses(config, true, err);
}

int check_config(const config_t *config, weir_error_t *err)
{
    if (check_users(config, err) != WEIR_OK || check_files(config, err) != WEIR_OK)
        return WEIR_EFAIL;
    return check_addresses(config, false, err);
}
