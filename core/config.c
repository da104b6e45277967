/* config.c: see config.h. The tables of what may stand where are in config_options.c. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "number.h"
#include "suggest.h"

#define FILE_MAX_BYTES (16u << 20)

typedef struct parser {
    config_t *config;
    const config_source_t *source;
    arena_t *arena;
    weir_error_t *err;
} parser_t;

/* Why a file cannot be read, and what one can do. */
static const char *unreadable(int error)
{
    if (error == ENOENT)
        return "there is no such file; -c names another one, and `weir run -- COMMAND` needs none";
    return error == EISDIR ? "it is a folder; -c names a file" : strerror(error);
}

char *config_read(const char *file, weir_error_t *err)
{
    FILE *f = fopen(file, "re");
    if (f == NULL) {
        weir_error(err, "cannot read %s: %s", file, unreadable(errno));
        return NULL;
    }
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim(&text, &size, '\0', f);
    int error = errno;
    bool is_bad = ferror(f) != 0, is_cut = n > 0 && !feof(f) && fgetc(f) != EOF;
    fclose(f);
    if (is_bad || is_cut || n > (ssize_t)FILE_MAX_BYTES) {
        weir_error(err, "cannot read %s: %s", file,
                   is_bad   ? unreadable(error)
                   : is_cut ? "it contains NUL"
                            : "it is too large");
        free(text);
        return NULL;
    }
    if (n >= 0)
        return text;
    free(text); /* nothing was read into it */
    return strdup("");
}

static int expect(const parser_t *p, const node_t *node, node_kind_t kind, const char *what)
{
    if (node->kind == kind)
        return WEIR_OK;
    return config_error(p->source, node, p->err, "%s: expected a %s", what, kind == NODE_MAP ? "map" : "list");
}

/* A map that a table of ours reads, beside sections that are read on their own. */
static int read_map_of(const parser_t *p, const node_t *node, const weir_option_t *table, const weir_option_t *sections,
                       void *out, const char *what)
{
    option_set_t keys[] = {{table, NULL, what}, {sections, NULL, what}};
    if (options_check_keys(p->source, keys, 2, node, p->err) != WEIR_OK)
        return WEIR_EFAIL;
    return options_read_some(p->source, p->arena, table, node, out, what, p->err);
}

static int name_check(const parser_t *p, const node_t *item, const char *what)
{
    for (size_t i = 0; i < item->key.n; i++)
        if (!isalnum((unsigned char)item->key.p[i]) && strchr("_-.", item->key.p[i]) == NULL)
            return config_error(p->source, item, p->err,
                                "%s \"%.*s\": a name has letters, digits, `_`, `-` and `.` only", what,
                                WEIR_FMT(item->key));
    return item->key.n > 0 ? WEIR_OK : config_error(p->source, item, p->err, "%s: the name is empty", what);
}

static int parse_one_tls(const parser_t *p, const node_t *node, conf_tls_t *out)
{
    if (expect(p, node, NODE_MAP, "tls") != WEIR_OK)
        return WEIR_EFAIL;
    return read_map_of(p, node, conf_tls_options, NULL, out, "tls");
}

static int parse_tls(const parser_t *p, const node_t *node, conf_listener_t *l)
{
    if (node == NULL || node_is_null(node))
        return WEIR_OK;
    const node_t *items = node->kind == NODE_LIST ? node->items : node;
    l->ntls = node->kind == NODE_LIST ? node->count : 1;
    if (l->ntls == 0) /* it must not quietly mean: no TLS */
        return config_error(p->source, node, p->err,
                            "tls: an empty list of certificates; leave tls away to serve without it");
    l->tls = arena_alloc(p->arena, l->ntls * sizeof(*l->tls) + 1);
    if (l->tls == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < l->ntls; i++)
        if (parse_one_tls(p, &items[i], &l->tls[i]) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

static int check_upstream_name(const parser_t *p, const node_t *at, const char *name)
{
    const char *nearest = NULL;
    for (size_t i = 0; i < p->config->nupstreams; i++) {
        if (strcmp(p->config->upstreams[i].name, name) == 0)
            return WEIR_OK;
        nearest = suggest_nearer(weir_slice_str(name), nearest, p->config->upstreams[i].name);
    }
    if (nearest == NULL)
        return config_error(p->source, at, p->err, "there is no upstream \"%s\"", name);
    return config_error(p->source, at, p->err, "there is no upstream \"%s\"; did you mean \"%s\"?", name, nearest);
}

static int parse_route(const parser_t *p, const node_t *node, conf_route_t *out)
{
    if (expect(p, node, NODE_MAP, "a route") != WEIR_OK ||
        read_map_of(p, node, conf_route_options, NULL, out, "a route") != WEIR_OK)
        return WEIR_EFAIL;
    if (out->path[0] != '/')
        return config_error(p->source, node_get(node, "path"), p->err, "path of a route: \"%s\" must begin with \"/\"",
                            out->path);
    return check_upstream_name(p, node_get(node, "upstream"), out->upstream);
}

static bool hosts_equal(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || weir_slice_ieq(weir_slice_str(a), weir_slice_str(b)));
}

/* A route that says what an earlier one said would never be taken. */
static int check_route_is_new(const parser_t *p, const node_t *list, const conf_listener_t *l, size_t i)
{
    const conf_route_t *route = &l->routes[i];
    for (size_t j = 0; j < i; j++)
        if (strcmp(l->routes[j].path, route->path) == 0 && hosts_equal(l->routes[j].host, route->host))
            return config_error(p->source, &list->items[i], p->err,
                                "route %s%s stands here a second time; the first is in line %d",
                                route->host == NULL ? "" : route->host, route->path, list->items[j].line);
    return WEIR_OK;
}

static int parse_routes(const parser_t *p, const node_t *node, conf_listener_t *l)
{
    if (node == NULL || node_is_null(node) || (node->kind == NODE_LIST && node->count == 0))
        return config_error(p->source, node == NULL ? l->node : node, p->err,
                            "listener %s has no routes; add routes: [ { path: /mcp, upstream: … } ]", l->name);
    if (expect(p, node, NODE_LIST, "routes") != WEIR_OK)
        return WEIR_EFAIL;
    l->nroutes = node->count;
    l->routes = arena_alloc(p->arena, (l->nroutes + 1) * sizeof(*l->routes));
    if (l->routes == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < l->nroutes; i++)
        if (parse_route(p, &node->items[i], &l->routes[i]) != WEIR_OK || check_route_is_new(p, node, l, i) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

/* An address, or a list of them. Whether it can be listened on is found out when it is. */
static int check_addresses(const parser_t *p, const node_t *node, const char *what)
{
    size_t n = node->kind == NODE_LIST ? node->count : 1;
    for (size_t i = 0; i < n; i++) {
        const node_t *at = node->kind == NODE_LIST ? &node->items[i] : node;
        struct address address;
        weir_error_t err = {""};
        if (address_parse(at->text.p, &address, &err) != WEIR_OK)
            return config_error(p->source, at, p->err, "listen of %s: %s", what, err.text);
    }
    return WEIR_OK;
}

/* `pool`, or `pool: { min: 2 }`. */
static int parse_chain_item(const parser_t *p, const node_t *node, conf_chain_item_t *out)
{
    out->line = node->line;
    out->column = node->column;
    if (node->kind == NODE_SCALAR && node->text.n > 0) {
        out->module = node->text.p;
        return WEIR_OK;
    }
    if (node->kind != NODE_MAP || node->count != 1)
        return config_error(p->source, node, p->err,
                            "chain: expected the name of a module, or one name with its options, as pool: { max: 8 }");
    out->module = node->items[0].key.p;
    out->options = &node->items[0];
    return WEIR_OK;
}

static int parse_chain(const parser_t *p, const node_t *node, conf_chain_item_t **chain, size_t *nchain)
{
    if (expect(p, node, NODE_LIST, "chain") != WEIR_OK)
        return WEIR_EFAIL;
    *nchain = node->count;
    *chain = arena_alloc(p->arena, (node->count + 1) * sizeof(**chain));
    if (*chain == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < node->count; i++)
        if (parse_chain_item(p, &node->items[i], &(*chain)[i]) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

static int parse_listener(const parser_t *p, const node_t *node, conf_listener_t *l)
{
    if (name_check(p, node, "listener") != WEIR_OK || expect(p, node, NODE_MAP, "a listener") != WEIR_OK)
        return WEIR_EFAIL;
    l->name = node->key.p;
    l->node = node;
    if (options_read_some(p->source, p->arena, conf_listener_options, node, l, "a listener", p->err) != WEIR_OK)
        return WEIR_EFAIL;
    if (l->transports.count == 0 || l->listen.count == 0)
        return config_error(p->source, node, p->err, "listener %s: an empty list of %s", l->name,
                            l->listen.count == 0 ? "addresses (listen)" : "transports");
    const node_t *chain = node_get(node, "chain");
    if (check_addresses(p, node_get(node, "listen"), "a listener") != WEIR_OK ||
        parse_tls(p, node_get(node, "tls"), l) != WEIR_OK ||
        (chain != NULL && parse_chain(p, chain, &l->chain, &l->nchain) != WEIR_OK))
        return WEIR_EFAIL;
    return parse_routes(p, node_get(node, "routes"), l);
}

static int parse_servers(const parser_t *p, const node_t *node, conf_upstream_t *up)
{
    if (node == NULL || node_is_null(node))
        return WEIR_OK;
    if (expect(p, node, NODE_LIST, "servers") != WEIR_OK)
        return WEIR_EFAIL;
    up->nservers = node->count;
    up->servers = arena_alloc(p->arena, (up->nservers + 1) * sizeof(*up->servers));
    if (up->servers == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < up->nservers; i++) {
        if (expect(p, &node->items[i], NODE_MAP, "a server") != WEIR_OK ||
            options_read_some(p->source, p->arena, conf_server_options, &node->items[i], &up->servers[i], "a server",
                              p->err) != WEIR_OK)
            return WEIR_EFAIL;
        up->servers[i].node = &node->items[i];
    }
    return WEIR_OK;
}

/* FNV-1a over the tree's words and shape: white space, comments and quotes do not count, the order of keys does. */
static uint64_t digest_bytes(uint64_t hash, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)p[i]) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

static uint64_t digest_node(uint64_t hash, const node_t *node)
{
    char kind = node_is_null(node) ? '-' : (char)('0' + node->kind); /* a quoted "~" is not nothing */
    hash = digest_bytes(hash, &kind, 1);
    hash = digest_bytes(hash, node->key.p, node->key.n);
    hash = digest_bytes(hash, node->text.p, node->text.n);
    for (size_t i = 0; i < node->count; i++)
        hash = digest_node(hash, &node->items[i]);
    return digest_bytes(hash, &kind, 1);
}

static int parse_upstream(const parser_t *p, const node_t *node, conf_upstream_t *up)
{
    if (name_check(p, node, "upstream") != WEIR_OK || expect(p, node, NODE_MAP, "an upstream") != WEIR_OK)
        return WEIR_EFAIL;
    up->name = node->key.p;
    up->node = node;
    up->digest = digest_node(0xcbf29ce484222325u, node);
    if (options_read_some(p->source, p->arena, conf_upstream_options, node, up, "an upstream", p->err) != WEIR_OK ||
        read_map_of(p, node_get(node, "sessions"), conf_session_options, NULL, up, "sessions") != WEIR_OK ||
        parse_servers(p, node_get(node, "servers"), up) != WEIR_OK)
        return WEIR_EFAIL;
    const node_t *chain = node_get(node, "chain");
    if (chain == NULL)
        return config_error(p->source, node, p->err, "upstream %s has no chain; the shortest is chain: [ pool ]",
                            up->name);
    return parse_chain(p, chain, &up->chain, &up->nchain);
}

static int parse_upstreams(const parser_t *p, const node_t *node)
{
    config_t *config = p->config;
    if (node == NULL)
        return WEIR_OK;
    if (expect(p, node, NODE_MAP, "upstreams") != WEIR_OK)
        return WEIR_EFAIL;
    config->upstreams = arena_alloc(p->arena, (node->count + 1) * sizeof(*config->upstreams));
    if (config->upstreams == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < node->count; i++, config->nupstreams++)
        if (parse_upstream(p, &node->items[i], &config->upstreams[i]) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

static int parse_listeners(const parser_t *p, const node_t *root)
{
    config_t *config = p->config;
    const node_t *node = node_get(root, "listeners");
    if (node == NULL || node->count == 0)
        return config_error(p->source, node == NULL ? root : node, p->err,
                            "there is no listener; weir would serve nobody. Add listeners: { edge: { … } }");
    if (expect(p, node, NODE_MAP, "listeners") != WEIR_OK)
        return WEIR_EFAIL;
    config->listeners = arena_alloc(p->arena, (node->count + 1) * sizeof(*config->listeners));
    if (config->listeners == NULL)
        return config_error(p->source, node, p->err, "no memory");
    for (size_t i = 0; i < node->count; i++, config->nlisteners++)
        if (parse_listener(p, &node->items[i], &config->listeners[i]) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

/* `workers: auto`, or a number that the table reads. */
static int parse_workers(const parser_t *p, const node_t *node)
{
    int64_t n;
    if (node == NULL || node_is_null(node) || weir_slice_eq(node->text, WEIR_LIT("auto")))
        return WEIR_OK;
    if (node->kind != NODE_SCALAR || !integer_read(node->text, &n) || n < 1 || n > CONF_WORKERS_MAX)
        return config_error(p->source, node, p->err, "workers: expected auto, or a number from 1 to %d",
                            CONF_WORKERS_MAX);
    p->config->workers = n;
    return WEIR_OK;
}

static int parse_module_path(const parser_t *p, const node_t *node)
{
    weir_strings_t *path = &p->config->module_path;
    const char **dirs = arena_alloc(p->arena, (path->count + 1) * sizeof(*dirs));
    for (size_t i = 0; dirs != NULL && i < path->count; i++) {
        dirs[i] = config_path(p->source, p->arena, weir_slice_str(path->items[i]));
        if (dirs[i] == NULL)
            return config_error(p->source, node, p->err, "no memory");
    }
    if (dirs == NULL)
        return config_error(p->source, node, p->err, "no memory");
    path->items = dirs;
    return WEIR_OK;
}

static int parse_sections(const parser_t *p, const node_t *root)
{
    config_t *config = p->config;
    const node_t *access = node_get(root, "access_log"), *admin = node_get(root, "admin");
    config->modules_node = node_get(root, "modules");
    if (parse_workers(p, node_get(root, "workers")) != WEIR_OK || parse_module_path(p, root) != WEIR_OK ||
        read_map_of(p, node_get(root, "log"), conf_log_options, NULL, config, "log") != WEIR_OK)
        return WEIR_EFAIL;
    const node_t *log_file = node_get(node_get(root, "log"), "file");
    if (log_file != NULL && weir_slice_eq(log_file->text, WEIR_LIT("stderr")))
        config->log_file = NULL;
    if (access != NULL && !node_is_null(access) &&
        read_map_of(p, access, conf_access_options, NULL, config, "access_log") != WEIR_OK)
        return WEIR_EFAIL;
    if (admin != NULL && !node_is_null(admin) &&
        (read_map_of(p, admin, conf_admin_options, NULL, config, "admin") != WEIR_OK ||
         check_addresses(p, node_get(admin, "listen"), "admin") != WEIR_OK))
        return WEIR_EFAIL;
    /* Upstreams before listeners, whose routes name them. */
    if (parse_upstreams(p, node_get(root, "upstreams")) != WEIR_OK)
        return WEIR_EFAIL;
    return parse_listeners(p, root);
}

static const char *folder_of(arena_t *arena, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL)
        return "";
    return arena_strdup(arena, weir_slice(file, slash == file ? 1 : (size_t)(slash - file)));
}

static int parse_config(config_t *config, const char *text, weir_error_t *err)
{
    parser_t p = {.config = config, .source = &config->source, .arena = config->arena, .err = err};
    node_t *root;
    if (yaml_load(config->arena, config->file, weir_slice_str(text), &root, err) != WEIR_OK)
        return WEIR_EFAIL;
    config->node = root;
    if (root->kind != NODE_MAP)
        return config_error(&config->source, root, err, "a configuration is a map of keys and values");
    if (root->count == 0)
        return config_error(&config->source, root, err,
                            "there is nothing in it; a configuration has at least modules, listeners and upstreams");
    if (read_map_of(&p, root, conf_top_options, conf_top_sections, config, "the configuration") != WEIR_OK)
        return WEIR_EFAIL;
    return parse_sections(&p, root);
}

int config_parse(const char *text, const char *file, config_t **out, weir_error_t *err)
{
    arena_t *arena = arena_new(16384);
    config_t *config = arena == NULL ? NULL : arena_alloc(arena, sizeof(*config));
    if (config == NULL) {
        arena_free(arena);
        return weir_error(err, "%s: no memory", file);
    }
    config->arena = arena;
    config->file = arena_strdup(arena, weir_slice_str(file));
    config->source = (config_source_t){config->file, folder_of(arena, file)};
    if (config->file == NULL || config->source.dir == NULL || parse_config(config, text, err) != WEIR_OK) {
        config_free(config);
        return WEIR_EFAIL;
    }
    *out = config;
    return WEIR_OK;
}

void config_free(config_t *config)
{
    if (config != NULL)
        arena_free(config->arena);
}

const node_t *config_listen_node(const conf_listener_t *listener, size_t i)
{
    const node_t *node = node_get(listener->node, "listen");
    return node->kind == NODE_LIST ? &node->items[i] : node;
}

bool config_needs_root(const config_t *config)
{
    for (size_t i = 0; i < config->nupstreams; i++)
        if (node_get(config->upstreams[i].node, "user") != NULL)
            return true;
    return false;
}
