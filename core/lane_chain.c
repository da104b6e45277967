/* lane_chain.c: the link modules of an upstream or a listener. What cannot stand where it stands is refused with the reason. */
#include "lane.h"

#include <stdio.h>

#include "option.h"
#include "proc.h"

int lane_chain_begin(lane_chain_t *chain, arena_t *arena, size_t n, struct stats_lanes *stats, weir_error_t *err)
{
    *chain = (lane_chain_t){.stats = stats, .modules = arena_alloc(arena, (n + 1) * sizeof(*chain->modules))};
    return chain->modules == NULL ? weir_error(err, "no memory for a chain") : WEIR_OK;
}

static int refuse(const lane_place_t *place, const conf_chain_item_t *conf, weir_error_t *err)
{
    return weir_error_wrap(err, "%s:%d:%d: %s %s: ", place->config->file, conf->line, conf->column, place->what,
                           place->name);
}

/* Whether it may stand here, behind those that are there. */
static int lane_module_check(const lane_chain_t *chain, const lane_place_t *place, const weir_module_t *module,
                             weir_error_t *err)
{
    uint32_t kind = module->link->flags & (WEIR_LINK_GATHERS | WEIR_LINK_PACKS);
    bool encodes = module->link->flags & place->allowed & WEIR_LINK_ENCODES;
    if ((kind & place->allowed) != kind && !encodes)
        return weir_error(err, "%s cannot work on transport %s: %s", module->name, place->transport,
                          place->why_not != NULL ? place->why_not
                                                 : "it carries messages one by one, not in frames of its own");
    if (encodes && chain->codings.count > 0)
        return weir_error(err, "%s: only one module of a chain offers content codings, and there is one before it",
                          module->name);
    if (!(kind & WEIR_LINK_GATHERS))
        return WEIR_OK;
    if (chain->gatherer != NULL)
        return weir_error(err, "%s stands after %s, and only one module of a chain gathers messages", module->name,
                          chain->gatherer->module->name);
    if (chain->nmodules > 0)
        return weir_error(err, "%s gathers messages and must stand before %s, which packs what was gathered",
                          module->name, chain->modules[0].module->name);
    return WEIR_OK;
}

static int lane_module_make(lane_module_t *item, const lane_place_t *place, const conf_chain_item_t *conf,
                            weir_error_t *err)
{
    const weir_module_t *module = item->module;
    void *options = arena_alloc(place->arena, module->options_size + 1);
    if (options == NULL)
        return weir_error(err, "no memory for the options of %s", module->name);
    if (module->options != NULL && options_read(&place->config->source, place->arena, module->options, conf->options,
                                                options, module->name, err) != WEIR_OK)
        return WEIR_EAGAIN; /* told with its place already */
    size_t where_size = strlen(place->what) + strlen(place->name) + 2;
    char *where = arena_alloc(place->arena, where_size);
    if (where == NULL)
        return weir_error(err, "no memory for %s", module->name);
    snprintf(where, where_size, "%s %s", place->what, place->name);
    item->options = options;
    item->self = item->ops->create(proc->host, where, options, err);
    return item->self != NULL ? WEIR_OK : weir_error_wrap(err, "%s: ", module->name);
}

/* What it offers is asked once, and may be nothing that there is. */
static int lane_module_offer(lane_chain_t *chain, const lane_module_t *item, const lane_place_t *place,
                             weir_error_t *err)
{
    if (!(item->ops->flags & place->allowed & WEIR_LINK_ENCODES) || item->self == NULL)
        return WEIR_OK;
    return item->ops->codings(item->self, &chain->codings, err) == WEIR_OK
               ? WEIR_OK
               : weir_error_wrap(err, "%s: ", item->module->name);
}

int lane_chain_add(lane_chain_t *chain, const lane_place_t *place, const weir_module_t *module,
                   const conf_chain_item_t *conf, weir_error_t *err)
{
    if (lane_module_check(chain, place, module, err) != WEIR_OK)
        return refuse(place, conf, err);
    lane_module_t *item = &chain->modules[chain->nmodules];
    *item = (lane_module_t){.module = module, .ops = module->link, .state_offset = chain->state_size};
    int rc = lane_module_make(item, place, conf, err);
    if (rc != WEIR_OK)
        return rc == WEIR_EAGAIN ? WEIR_EFAIL : refuse(place, conf, err);
    chain->nmodules++;
    if (lane_module_offer(chain, item, place, err) != WEIR_OK)
        return refuse(place, conf, err);
    chain->state_size += (uint32_t)((item->ops->state_size + 15) & ~(size_t)15);
    if (item->ops->flags & WEIR_LINK_GATHERS)
        chain->gatherer = item;
    return WEIR_OK;
}

void lane_chain_end(lane_chain_t *chain)
{
    while (chain->nmodules > 0) {
        lane_module_t *item = &chain->modules[--chain->nmodules];
        item->ops->destroy(item->self);
    }
}
