/* command.c: see command.h. */
#include "command.h"

#include "proc.h"
#include "upstream.h"

#define WORD_MAX_BYTES 64

/* The part before the next slash, which is taken off; the server's name, which comes last, may have slashes of its own. */
static weir_slice_t part_take(weir_slice_t *path)
{
    const char *slash = path->n == 0 ? NULL : memchr(path->p, '/', path->n);
    weir_slice_t part = slash == NULL ? *path : weir_slice(path->p, (size_t)(slash - path->p));
    size_t taken = part.n + (slash != NULL);
    *path = weir_slice(path->p + taken, path->n - taken);
    return part;
}

static upstream_t *upstream_named(weir_slice_t name)
{
    WEIR_LIST_EACH(&proc->upstreams, it) {
        upstream_t *up = WEIR_CONTAINER(it, upstream_t, node);
        if (weir_slice_eq(weir_slice_str(up->pub.name), name))
            return up;
    }
    return NULL;
}

static weir_server_t *server_named(const upstream_t *up, weir_slice_t name)
{
    for (uint32_t i = 0; i < up->pub.nservers; i++)
        if (weir_slice_eq(weir_slice_str(up->servers[i].pub.name), name))
            return &up->servers[i].pub;
    return NULL;
}

static const chain_item_t *item_named(const chain_item_t *items, uint32_t n, weir_slice_t name)
{
    for (uint32_t i = 0; i < n; i++)
        if (items[i].ops->command != NULL && weir_slice_eq(weir_slice_str(items[i].module->name), name))
            return &items[i];
    return NULL;
}

uint16_t command_run(weir_slice_t path, weir_error_t *err)
{
    weir_slice_t module = part_take(&path), word = part_take(&path), upstream = part_take(&path);
    char word_text[WORD_MAX_BYTES];
    upstream_t *up = upstream_named(upstream);
    if (up == NULL)
        return weir_error(err, "there is no upstream %.*s", WEIR_FMT(upstream)), 404;
    const chain_item_t *item = item_named(up->chain, up->nchain, module);
    if (item == NULL)
        item = item_named(up->shadows, up->nshadows, module);
    if (item == NULL)
        return weir_error(err, "upstream %s has no %.*s in its chain that takes commands", up->pub.name,
                          WEIR_FMT(module)),
               404;
    weir_server_t *server = path.n == 0 ? NULL : server_named(up, path);
    if (path.n > 0 && server == NULL)
        return weir_error(err, "upstream %s has no server %.*s", up->pub.name, WEIR_FMT(path)), 404;
    if (word.n >= sizeof(word_text))
        return weir_error(err, "there is no such command"), 400;
    snprintf(word_text, sizeof(word_text), "%.*s", WEIR_FMT(word));
    return item->ops->command(item->self, server, word_text, err) == WEIR_OK ? 200 : 400;
}
