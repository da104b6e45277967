/* upstream_chain.c: see upstream_chain.h. */
#include "upstream_chain.h"

#include "lane.h"
#include "modules.h"
#include "option.h"
#include "proc.h"
#include "stats.h"

/* Whether a module of the chain works in this process: a kept upstream's chain is cut in two, the modules that have to be where its
 * links are in the keeper, all the others in the worker. A trial makes all of them. */
static bool works_here(const upstream_t *up, const weir_exchange_module_t *ops)
{
    bool is_at_links = ops->flags & (WEIR_OWNS_LINKS | WEIR_SEES_SERVERS);
    if (!(up->connect->flags & WEIR_CONNECT_KEPT) || proc->kind == PROC_TRIAL)
        return true;
    return (proc->kind == PROC_KEEPER) == is_at_links;
}

/* Link modules work where the links are; elsewhere they only know what they count. */
static int chain_link_module(const config_t *config, upstream_t *up, const weir_module_t *module,
                             const conf_chain_item_t *conf, weir_error_t *err)
{
    if (up->link_owner == NULL)
        return weir_error(err,
                          "%s:%d:%d: upstream %s: %s works on links and must stand after the module that owns them "
                          "(pool)",
                          config->file, conf->line, conf->column, up->pub.name, conf->module);
    lane_place_t place = {
        .config = config, .arena = up->arena, .what = "upstream", .name = up->pub.name, .transport = up->transport};
    if (up->connect->link_modules != NULL)
        place.allowed = up->connect->link_modules(up->pub.options, &place.why_not);
    up->pub.has_lanes = true;
    return lane_chain_add(&up->lanes, &place, module, conf, err);
}

/* What may not stand where it stands is refused; what may is a link module, or one that gets an instance. */
static int chain_check(const config_t *config, const upstream_t *up, const conf_chain_item_t *conf,
                       const weir_module_t *module, weir_error_t *err)
{
    if (module == NULL || (module->exchange == NULL && module->link == NULL))
        return weir_error(err, "%s:%d:%d: upstream %s: no loaded module %s can stand in a chain; is it in `modules:`?",
                          config->file, conf->line, conf->column, up->pub.name, conf->module);
    if (up->link_owner != NULL && module->link == NULL)
        return weir_error(err,
                          "%s:%d:%d: upstream %s: %s stands after %s, which owns the links: only link modules may "
                          "follow it",
                          config->file, conf->line, conf->column, up->pub.name, conf->module,
                          up->link_owner->module->name);
    return WEIR_OK;
}

/* One that works in the keeper is a shadow in a worker: asked for its status and commanded there, and never about an exchange. A keeper
 * is asked by nobody, so it makes none of those that work in workers. */
static int chain_instance(const config_t *config, upstream_t *up, const weir_module_t *module,
                          const conf_chain_item_t *conf, weir_error_t *err)
{
    void *options = arena_alloc(up->arena, module->options_size + 1);
    if (options == NULL)
        return weir_error(err, "upstream %s: no memory for the options of %s", up->pub.name, conf->module);
    if (module->options != NULL &&
        options_read(&config->source, up->arena, module->options, conf->options, options, conf->module, err) != WEIR_OK)
        return WEIR_EFAIL;
    bool is_here = works_here(up, module->exchange);
    chain_item_t *item = is_here ? &up->chain[up->nchain] : &up->shadows[up->nshadows];
    *item =
        (chain_item_t){.module = module, .ops = module->exchange, .options = options, .state_offset = up->state_size};
    if (module->exchange->flags & WEIR_OWNS_LINKS)
        up->link_owner = item;
    if (!is_here && proc->kind == PROC_KEEPER)
        return WEIR_OK;
    item->self = module->exchange->create(proc->host, &up->pub, options, err);
    if (item->self == NULL)
        return weir_error_wrap(err, "%s:%d:%d: upstream %s: %s: ", config->file, conf->line, conf->column, up->pub.name,
                               conf->module);
    if (!is_here) {
        up->nshadows++;
        return WEIR_OK;
    }
    up->is_watched = up->is_watched || module->exchange->reply != NULL;
    up->state_size += (uint32_t)((module->exchange->state_size + 15) & ~(size_t)15);
    up->nchain++;
    return WEIR_OK;
}

static int chain_item(const config_t *config, upstream_t *up, const conf_chain_item_t *conf, weir_error_t *err)
{
    const weir_module_t *module = modules_find(proc->modules, conf->module);
    if (chain_check(config, up, conf, module, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (module->link != NULL && (module->exchange == NULL || up->link_owner != NULL))
        return chain_link_module(config, up, module, conf, err);
    return chain_instance(config, up, module, conf, err);
}

int upstream_chain(const config_t *config, upstream_t *up, weir_error_t *err)
{
    up->chain = arena_alloc(up->arena, (up->conf->nchain + 1) * sizeof(*up->chain));
    up->shadows = arena_alloc(up->arena, (up->conf->nchain + 1) * sizeof(*up->shadows));
    if (up->chain == NULL || up->shadows == NULL)
        return weir_error(err, "upstream %s: no memory for its chain", up->pub.name);
    if (lane_chain_begin(&up->lanes, up->arena, up->conf->nchain, &up->stats->lanes, err) != WEIR_OK)
        return weir_error_wrap(err, "upstream %s: ", up->pub.name);
    for (size_t i = 0; i < up->conf->nchain; i++)
        if (chain_item(config, up, &up->conf->chain[i], err) != WEIR_OK)
            return WEIR_EFAIL;
    if (up->link_owner == NULL)
        return config_error(&config->source, node_get(up->conf->node, "chain"), err,
                            "upstream %s: no module of its chain owns links; put a pool at its end", up->pub.name);
    return WEIR_OK;
}
