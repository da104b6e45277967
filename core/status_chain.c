/* status_chain.c: see status_chain.h. */
#include "status_chain.h"

#include <jansson.h>

#include "number.h"
#include "proc.h"

/* What a module's `status` callback is given: its members go into `object`. */
#define DEPTH_MAX 8
typedef struct teller {
    weir_status_t pub;
    json_t *object;
    json_t *outer[DEPTH_MAX]; /* of the objects that were entered */
    unsigned depth;
} teller_t;

/* A whole number is written as one. jansson takes neither NaN nor infinity: such a member is left out. */
static void tell_number(weir_status_t *s, const char *name, double value)
{
    bool is_whole = value >= -9007199254740992.0 && value <= 9007199254740992.0 && value == (double)(json_int_t)value;
    json_object_set_new(((teller_t *)s)->object, name, is_whole ? json_integer((json_int_t)value) : json_real(value));
}

static void tell_text(weir_status_t *s, const char *name, const char *value)
{
    json_object_set_new(((teller_t *)s)->object, name, value == NULL ? json_null() : json_string(value));
}

static void tell_enter(weir_status_t *s, const char *name)
{
    teller_t *teller = (teller_t *)s;
    json_t *inner = json_object_get(teller->object, name);
    if (teller->depth++ >= DEPTH_MAX) /* deeper is shown flat */
        return;
    teller->outer[teller->depth - 1] = teller->object;
    if (!json_is_object(inner)) {
        inner = json_object();
        json_object_set_new(teller->object, name, inner);
    }
    teller->object = inner;
}

static void tell_leave(weir_status_t *s)
{
    teller_t *teller = (teller_t *)s;
    if (teller->depth > 0 && --teller->depth < DEPTH_MAX)
        teller->object = teller->outer[teller->depth];
}

/* ---- options ---- */

static json_t *strings_status(const weir_strings_t *strings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < strings->count; i++)
        json_array_append_new(list, json_string(strings->items[i]));
    return list;
}

static json_t *text_status(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

static json_t *unit_status(weir_type_t type, uint64_t value)
{
    char text[32];
    number_write(text, sizeof(text), type, (double)value);
    return json_string(text);
}

static json_t *int_status(const weir_option_t *option, int64_t value)
{
    return option->names != NULL && value < 0 ? json_string(option->names[-1 - value]) : json_integer(value);
}

/* As one would write it in the configuration. Secrets are not shown; maps hold environments, and with them some. */
static json_t *option_status(const weir_option_t *option, const void *options)
{
    const void *at = (const char *)options + option->offset;
    switch (option->type) {
    case WEIR_TYPE_BOOL:
        return json_boolean(*(const bool *)at);
    case WEIR_TYPE_INT:
        return int_status(option, *(const int64_t *)at);
    case WEIR_TYPE_DURATION:
    case WEIR_TYPE_SIZE:
        return unit_status(option->type, *(const uint64_t *)at);
    case WEIR_TYPE_RATIO:
        return json_real(*(const double *)at);
    case WEIR_TYPE_STRING:
    case WEIR_TYPE_PATH:
        return text_status(*(const char *const *)at);
    case WEIR_TYPE_ENUM:
        return json_string(option->names[*(const int *)at]);
    case WEIR_TYPE_STRINGS:
        return strings_status(at);
    case WEIR_TYPE_MAP:
    case WEIR_TYPE_SECRET:
        break;
    }
    return json_null();
}

static json_t *options_status(const weir_module_t *module, const void *options)
{
    json_t *object = json_object();
    for (const weir_option_t *option = module->options; option != NULL && option->name != NULL; option++)
        json_object_set_new(object, option->name, option_status(option, options));
    return object;
}

/* ---- chains ---- */

static teller_t teller_of(json_t *object)
{
    return (teller_t){.pub = {.number = tell_number, .text = tell_text, .enter = tell_enter, .leave = tell_leave},
                      .object = object};
}

static void module_status(json_t *chain, const weir_module_t *module, const void *options, void *self,
                          void (*status)(void *self, weir_status_t *status))
{
    json_t *object = json_object();
    teller_t teller = teller_of(object);
    json_object_set_new(object, "module", json_string(module->name));
    json_object_set_new(object, "options", options_status(module, options));
    if (status != NULL)
        status(self, &teller.pub);
    json_array_append_new(chain, object);
}

static void item_status(json_t *chain, const chain_item_t *item)
{
    module_status(chain, item->module, item->options, item->self, item->ops->status);
}

static void lane_status(json_t *chain, const lane_module_t *item)
{
    module_status(chain, item->module, item->options, item->self, item->ops->status);
}

/* As it is configured: the modules of exchanges, those of links, and the shadows of what works in a keeper stand in lists of their
 * own, each in the order of the chain. */
json_t *upstream_chain_status(const upstream_t *up)
{
    json_t *chain = json_array();
    uint32_t here = 0, lane = 0, shadow = 0;
    for (size_t i = 0; i < up->conf->nchain; i++) {
        const char *name = up->conf->chain[i].module;
        if (here < up->nchain && strcmp(up->chain[here].module->name, name) == 0)
            item_status(chain, &up->chain[here++]);
        else if (shadow < up->nshadows && strcmp(up->shadows[shadow].module->name, name) == 0)
            item_status(chain, &up->shadows[shadow++]);
        else if (lane < up->lanes.nmodules)
            lane_status(chain, &up->lanes.modules[lane++]);
    }
    return chain;
}

json_t *listener_chain_status(const weir_listener_t *listener)
{
    json_t *chain = json_array();
    for (uint32_t i = 0; i < listener->lanes.nmodules; i++)
        lane_status(chain, &listener->lanes.modules[i]);
    return chain;
}

/* ---- transports ---- */

static json_t *told_only(json_t *object)
{
    if (json_object_size(object) > 0)
        return object;
    json_decref(object);
    return NULL;
}

json_t *upstream_transports_status(upstream_t *up)
{
    json_t *all = json_object(), *object = json_object();
    teller_t teller = teller_of(object);
    if (up->connect->status != NULL)
        up->connect->status(proc->host, &up->pub, &teller.pub);
    json_object_set_new(all, up->transport, told_only(object));
    return told_only(all);
}

json_t *listener_transports_status(const weir_listener_t *listener)
{
    json_t *all = json_object();
    size_t i = 0;
    for (const weir_listener_t *face = listener; face != NULL; face = face->sibling, i++) {
        json_t *object = json_object();
        teller_t teller = teller_of(object);
        if (face->accept->status != NULL)
            face->accept->status(face->self, &teller.pub);
        json_object_set_new(all, listener->conf->transports.items[i], told_only(object));
    }
    return told_only(all);
}
