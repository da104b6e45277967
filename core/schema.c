/* schema.c: see schema.h. Small functions that each make one piece of the schema; a piece that could not be made is NULL, and so
 * is all that would have contained it, so that only the root is looked at.
 *
 * A map with a transport has a branch for each transport (if/then), and each branch names all keys that may stand beside it:
 * simpler for an editor than to ask what no branch has evaluated, which not every one can do.
 */
#include "schema.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "number.h"

#define DIALECT "https://json-schema.org/draft/2020-12/schema"
#define NAME_PATTERN "^[A-Za-z0-9_.-]+$"

/* The modules, in the order of their names: the same modules make the same schema. */
typedef struct catalogue {
    const weir_module_t **items;
    size_t count;
} catalogue_t;

typedef bool module_is_t(const weir_module_t *module);

/* Put a member into an object that the caller hands over, and gets back. */
static json_t *put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *typed(const char *type)
{
    return put(json_object(), "type", json_string(type));
}

static json_t *matching(json_t *schema, const char *pattern)
{
    return put(schema, "pattern", json_string(pattern));
}

static json_t *described(json_t *schema, const char *doc)
{
    return doc == NULL ? schema : put(schema, "description", json_string(doc));
}

static json_t *ref(const char *to)
{
    return put(json_object(), "$ref", json_sprintf("#/$defs/%s", to));
}

static json_t *list_of(json_t *items)
{
    return put(put(typed("array"), "minItems", json_integer(1)), "items", items);
}

static json_t *either(json_t *one, json_t *other)
{
    return put(json_object(), "anyOf", add(add(json_array(), one), other));
}

/* --- values --- */

/* YAML makes numbers and booleans of plain words; where a text is asked for, weir takes them as they stand. */
static json_t *text_types(void)
{
    return json_pack("[s, s, s]", "string", "number", "boolean");
}

static json_t *text_value(void)
{
    return put(json_object(), "type", text_types());
}

static json_t *texts_value(void)
{
    return put(put(json_object(), "type", add(text_types(), json_string("array"))), "items", text_value());
}

/* An unquoted 1.2 is a number to an editor, and the word "1.2" to weir. */
static json_t *words_value(const char *const *names)
{
    json_t *words = json_array();
    for (; *names != NULL; names++) {
        words = add(words, json_string(*names));
        json_t *other = json_loads(*names, JSON_DECODE_ANY, NULL);
        if (other != NULL)
            words = add(words, other);
    }
    return put(json_object(), "enum", words);
}

static json_t *integer_value(double min, double max)
{
    json_t *schema = typed("integer");
    if (min == max)
        return schema;
    return put(put(schema, "minimum", json_integer((json_int_t)min)), "maximum", json_integer((json_int_t)max));
}

/* The patterns say what duration_read() and size_read() take; a range cannot be said of a text with a unit. */
static json_t *duration_value(void)
{
    return either(matching(typed("string"), "^([0-9]+(ms|s|m|h|d)|0+)$"), put(json_object(), "const", json_integer(0)));
}

static json_t *size_value(const weir_option_t *o)
{
    return either(integer_value(o->min, o->max), matching(typed("string"), "^[0-9]+(B|KiB|MiB|GiB|k|m)?$"));
}

static json_t *ratio_value(const weir_option_t *o)
{
    json_t *number = typed("number");
    if (o->min != o->max)
        number = put(put(number, "minimum", json_real(o->min)), "maximum", json_real(o->max));
    return either(number, matching(typed("string"), "^[0-9]*\\.?[0-9]+%?$"));
}

static json_t *value_of(const weir_option_t *o)
{
    switch (o->type) {
    case WEIR_TYPE_BOOL:
        return typed("boolean");
    case WEIR_TYPE_INT:
        return o->names == NULL ? integer_value(o->min, o->max)
                                : either(words_value(o->names), integer_value(o->min, o->max));
    case WEIR_TYPE_DURATION:
        return duration_value();
    case WEIR_TYPE_SIZE:
        return size_value(o);
    case WEIR_TYPE_RATIO:
        return ratio_value(o);
    case WEIR_TYPE_STRING:
    case WEIR_TYPE_SECRET:
        return text_value();
    case WEIR_TYPE_PATH:
        return typed("string");
    case WEIR_TYPE_ENUM:
        return words_value(o->names);
    case WEIR_TYPE_STRINGS:
        return texts_value();
    case WEIR_TYPE_MAP:
        return put(typed("object"), "additionalProperties", text_value());
    }
    return json_object();
}

static json_t *default_of(const weir_option_t *o)
{
    if (o->type == WEIR_TYPE_BOOL)
        return json_boolean(strcmp(o->fallback, "true") == 0);
    int64_t number;
    if (o->type == WEIR_TYPE_INT && integer_read(weir_slice_str(o->fallback), &number))
        return json_integer(number);
    return json_string(o->fallback);
}

static json_t *option_schema(const weir_option_t *o)
{
    json_t *schema = described(value_of(o), o->doc);
    return o->fallback == NULL ? schema : put(schema, "default", default_of(o));
}

/* --- maps --- */

static json_t *properties_add(json_t *properties, const weir_option_t *table)
{
    for (; table != NULL && table->name != NULL; table++)
        properties = put(properties, table->name, option_schema(table));
    return properties;
}

static json_t *required_add(json_t *required, const weir_option_t *table)
{
    for (; table != NULL && table->name != NULL; table++)
        if (table->is_required)
            required = add(required, json_string(table->name));
    return required;
}

static json_t *closed(json_t *schema, json_t *properties, json_t *required)
{
    schema = put(put(schema, "properties", properties), "required", required);
    return put(schema, "additionalProperties", json_false());
}

/* A map whose keys are those of one table, or of two. */
static json_t *map_of(const weir_option_t *table, const weir_option_t *more)
{
    return closed(typed("object"), properties_add(properties_add(json_object(), table), more),
                  required_add(required_add(json_array(), table), more));
}

static json_t *named_map_of(const char *what, bool is_needed)
{
    json_t *schema = put(typed("object"), "propertyNames", matching(json_object(), NAME_PATTERN));
    return put(put(schema, "minProperties", json_integer(is_needed ? 1 : 0)), "additionalProperties", ref(what));
}

static const char *doc_of(const weir_option_t *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table->doc;
    return NULL;
}

/* A section of its own: described as its table of sections says. */
static json_t *put_section(json_t *properties, const weir_option_t *sections, const char *name, json_t *schema)
{
    return put(properties, name, described(schema, doc_of(sections, name)));
}

/* --- what the modules say --- */

static bool is_any(const weir_module_t *module)
{
    return module != NULL;
}

static bool is_in_chains(const weir_module_t *module)
{
    return module->exchange != NULL || module->link != NULL;
}

static bool is_on_links(const weir_module_t *module)
{
    return module->link != NULL;
}

static bool does_accept(const weir_module_t *module)
{
    return module->transport != NULL && module->transport->accept != NULL;
}

static bool does_connect(const weir_module_t *module)
{
    return module->transport != NULL && module->transport->connect != NULL;
}

/* One of the modules that are such, by name; any name where there is none, since an empty enum is no schema. */
static json_t *name_of_module(const catalogue_t *c, module_is_t *is_such)
{
    json_t *names = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (is_such(c->items[i]))
            names = add(names, json_string(c->items[i]->name));
    if (names == NULL || json_array_size(names) > 0)
        return put(typed("string"), "enum", names);
    json_decref(names);
    return typed("string");
}

static json_t *names_of_modules(const catalogue_t *c, module_is_t *is_such)
{
    return either(name_of_module(c, is_such), list_of(name_of_module(c, is_such)));
}

/* A map for each transport: closed, with the core's keys and those of the transport. `transport` of the map is such as `names` says. */
static json_t *branch(json_t *names, json_t *properties, json_t *required)
{
    json_t *condition = json_pack("{s:[s], s:{s:o}}", "required", "transport", "properties", "transport", names);
    return put(put(json_object(), "if", condition), "then", closed(json_object(), properties, required));
}

static json_t *is_transport(const weir_module_t *module)
{
    return json_pack("{s:s}", "const", module->name);
}

/* What is asked for in every branch stands in the branches; what must be there before one is found stands here. */
static json_t *branches_of(json_t *transport, json_t *branches)
{
    json_t *schema = put(typed("object"), "properties", put(json_object(), "transport", transport));
    schema = put(schema, "required", add(json_array(), json_string("transport")));
    if (branches == NULL || json_array_size(branches) > 0)
        return put(schema, "allOf", branches);
    json_decref(branches); /* an empty allOf is no schema */
    return schema;
}

/* --- the configuration --- */

static json_t *route_schema(void)
{
    json_t *properties = properties_add(json_object(), conf_route_options);
    json_t *path = described(matching(typed("string"), "^/"), doc_of(conf_route_options, "path"));
    return closed(typed("object"), put(properties, "path", path), required_add(json_array(), conf_route_options));
}

static json_t *listener_properties(const catalogue_t *c)
{
    json_t *transport = described(names_of_modules(c, does_accept), doc_of(conf_listener_options, "transport"));
    json_t *properties = put(properties_add(json_object(), conf_listener_options), "transport", transport);
    properties = put_section(properties, conf_listener_sections, "tls", either(ref("tls"), list_of(ref("tls"))));
    properties = put_section(properties, conf_listener_sections, "chain", ref("link_chain"));
    return put_section(properties, conf_listener_sections, "routes", list_of(ref("route")));
}

static json_t *listener_required(void)
{
    return add(required_add(json_array(), conf_listener_options), json_string("routes"));
}

static json_t *accept_branch(const catalogue_t *c, const weir_module_t *module)
{
    const weir_option_t *table = module->transport->accept->options;
    return branch(is_transport(module), properties_add(listener_properties(c), table),
                  required_add(listener_required(), table));
}

/* A list of transports that share the port: the keys of all there are. */
static json_t *shared_branch(const catalogue_t *c)
{
    json_t *properties = listener_properties(c);
    for (size_t i = 0; i < c->count; i++)
        if (does_accept(c->items[i]))
            properties = properties_add(properties, c->items[i]->transport->accept->options);
    return branch(typed("array"), properties, listener_required());
}

static json_t *listener_schema(const catalogue_t *c)
{
    json_t *branches = add(json_array(), shared_branch(c));
    for (size_t i = 0; i < c->count; i++)
        if (does_accept(c->items[i]))
            branches = add(branches, accept_branch(c, c->items[i]));
    return branches_of(names_of_modules(c, does_accept), branches);
}

static json_t *chain_schema(const catalogue_t *c, module_is_t *is_such)
{
    json_t *modules = json_object();
    for (size_t i = 0; i < c->count; i++) {
        const weir_module_t *module = c->items[i];
        if (is_such(module))
            modules = put(modules, module->name,
                          described(either(typed("null"), map_of(module->options, NULL)), module->doc));
    }
    json_t *with_options =
        put(put(typed("object"), "minProperties", json_integer(1)), "maxProperties", json_integer(1));
    with_options = closed(with_options, modules, json_array());
    return list_of(either(name_of_module(c, is_such), with_options));
}

static json_t *upstream_properties(const catalogue_t *c)
{
    json_t *transport = described(name_of_module(c, does_connect), doc_of(conf_upstream_options, "transport"));
    json_t *properties = put(properties_add(json_object(), conf_upstream_options), "transport", transport);
    properties = put_section(properties, conf_upstream_sections, "chain", ref("chain"));
    return put_section(properties, conf_upstream_sections, "sessions", map_of(conf_session_options, NULL));
}

static json_t *connect_branch(const catalogue_t *c, const weir_module_t *module)
{
    const weir_connect_t *connect = module->transport->connect;
    json_t *properties = properties_add(upstream_properties(c), connect->upstream_options);
    json_t *required = add(required_add(json_array(), conf_upstream_options), json_string("chain"));
    required = required_add(required, connect->upstream_options);
    if (connect->server_options != NULL) {
        properties = put_section(properties, conf_upstream_sections, "servers",
                                 list_of(map_of(conf_server_options, connect->server_options)));
        required = add(required, json_string("servers"));
    }
    return branch(is_transport(module), properties, required);
}

static json_t *upstream_schema(const catalogue_t *c)
{
    json_t *branches = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (does_connect(c->items[i]))
            branches = add(branches, connect_branch(c, c->items[i]));
    return branches_of(name_of_module(c, does_connect), branches);
}

static json_t *workers_schema(void)
{
    return put(either(put(json_object(), "const", json_string("auto")), integer_value(1, CONF_WORKERS_MAX)), "default",
               json_string("auto"));
}

static json_t *top_properties(const catalogue_t *c)
{
    const weir_option_t *sections = conf_top_sections;
    json_t *modules = described(names_of_modules(c, is_any), doc_of(conf_top_options, "modules"));
    json_t *properties = put_section(json_object(), sections, "workers", workers_schema());
    properties = put(properties_add(properties, conf_top_options), "modules", modules);
    properties = put_section(properties, sections, "log", map_of(conf_log_options, NULL));
    properties = put_section(properties, sections, "access_log", map_of(conf_access_options, NULL));
    properties = put_section(properties, sections, "admin", map_of(conf_admin_options, NULL));
    properties = put_section(properties, sections, "listeners", named_map_of("listener", true));
    return put_section(properties, sections, "upstreams", named_map_of("upstream", false));
}

static json_t *root_schema(const catalogue_t *c)
{
    json_t *defs = put(json_object(), "listener", listener_schema(c));
    defs = put(put(defs, "tls", map_of(conf_tls_options, NULL)), "route", route_schema());
    defs = put(put(defs, "upstream", upstream_schema(c)), "chain", chain_schema(c, is_in_chains));
    defs = put(defs, "link_chain", chain_schema(c, is_on_links));
    json_t *required = add(required_add(json_array(), conf_top_options), json_string("listeners"));
    json_t *root = put(put(json_object(), "$schema", json_string(DIALECT)), "title", json_string("weir configuration"));
    root = put(root, "type", json_string("object"));
    return put(closed(root, top_properties(c), required), "$defs", defs);
}

static bool catalogue_make(catalogue_t *c, const modules_t *modules)
{
    *c = (catalogue_t){NULL, 0};
    for (const module_t *m = modules->first; m != NULL; m = m->next)
        c->count++;
    c->items = calloc(c->count + 1, sizeof(*c->items));
    if (c->items == NULL)
        return false;
    size_t i = 0;
    for (const module_t *m = modules->first; m != NULL; m = m->next)
        c->items[i++] = m->desc;
    return true;
}

int schema_write(FILE *out, const modules_t *modules, weir_error_t *err)
{
    catalogue_t c;
    if (!catalogue_make(&c, modules))
        return weir_error(err, "schema: out of memory");
    json_t *root = root_schema(&c);
    free(c.items);
    if (root == NULL)
        return weir_error(err, "schema: out of memory, or what a module says of itself is not UTF-8");
    bool is_written = json_dumpf(root, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF && fflush(out) == 0;
    json_decref(root);
    return is_written ? WEIR_OK : weir_error(err, "schema: cannot be written");
}
