/* param_table.c: see param_table.h. */
#include "param_table.h"

#include <stdlib.h>

#include "jscan.h"
#include "log.h"

#define ENTRY_BLOCK 256

static uint32_t bucket_of(weir_slice_t name)
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * 0x01000193u;
    return hash % PARAM_BUCKETS;
}

const param_tool_t *param_table_find(const param_table_t *table, weir_slice_t name)
{
    if (table->count == 0)
        return NULL;
    const param_tool_t *tool = table->buckets[bucket_of(name)];
    while (tool != NULL && !weir_slice_eq(tool->name, name))
        tool = tool->next;
    return tool;
}

static void table_remove(param_table_t *table, weir_slice_t name)
{
    param_tool_t **at = &table->buckets[bucket_of(name)];
    while (*at != NULL && !weir_slice_eq((*at)->name, name))
        at = &(*at)->next;
    param_tool_t *tool = *at;
    if (tool == NULL)
        return;
    *at = tool->next;
    arena_free(tool->arena);
    table->count--;
}

static void table_put(param_table_t *table, param_tool_t *tool)
{
    param_tool_t **bucket = &table->buckets[bucket_of(tool->name)];
    tool->next = *bucket;
    *bucket = tool;
    table->count++;
}

void param_table_clear(param_table_t *table)
{
    for (uint32_t i = 0; i < PARAM_BUCKETS; i++)
        while (table->buckets[i] != NULL) {
            param_tool_t *tool = table->buckets[i];
            table->buckets[i] = tool->next;
            arena_free(tool->arena);
        }
    table->count = 0;
}

/* ---- a tool's schema ---- */

/* Where in a schema: the key of a property, and of those it is inside of. */
typedef struct place {
    const struct place *above; /* NULL: a property of the arguments themselves */
    jscan_text_t key;
    uint32_t depth;
} place_t;

/* The text of a string of the page, kept. Empty when there is no memory, or it is no string. */
static weir_slice_t keep_text(arena_t *arena, jscan_text_t text)
{
    char *copy = arena_alloc(arena, text.text.n + 1);
    if (copy == NULL)
        return (weir_slice_t){NULL, 0};
    return weir_slice(copy, jscan_unescape(text.text, copy));
}

static bool read_text(weir_slice_t raw, jscan_text_t *text)
{
    jscan_t json = jscan_over(raw);
    return raw.n > 0 && jscan_string(&json, text);
}

/* A token, as names of fields are (RFC 9110, 5.6.2). */
static bool is_token(weir_slice_t text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_alphanumeric = (c >= '0' && c <= '9') || (weir_lower(c) >= 'a' && weir_lower(c) <= 'z');
        if (!is_alphanumeric && memchr(marks, c, sizeof(marks) - 1) == NULL)
            return false;
    }
    return text.n > 0;
}

/* `number` may not be annotated either, but who does it has what it compares; so do servers of MCP's own SDK. */
static bool is_primitive(weir_slice_t raw)
{
    static const weir_slice_t types[] = {{"string", 6}, {"integer", 7}, {"boolean", 7}, {"number", 6}};
    jscan_text_t type;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (read_text(raw, &type) && jscan_is(type, types[i]))
            return true;
    return false;
}

static bool has_field(const param_tool_t *tool, weir_slice_t field)
{
    for (const param_t *param = tool->params; param != NULL; param = param->next)
        if (weir_slice_ieq(param->field, field))
            return true;
    return false;
}

static int tool_add(param_tool_t *tool, const place_t *place, weir_slice_t field, weir_error_t *err)
{
    param_t *param = arena_alloc(tool->arena, sizeof(*param));
    if (param == NULL || (param->path = arena_alloc(tool->arena, place->depth * sizeof(*param->path))) == NULL)
        return weir_error(err, "no memory for %.*s", WEIR_FMT(field));
    param->field = field;
    param->npath = place->depth;
    for (; place != NULL; place = place->above) {
        weir_slice_t key = keep_text(tool->arena, place->key);
        if (key.p == NULL)
            return weir_error(err, "no memory for %.*s", WEIR_FMT(field));
        param->path[place->depth - 1] = key;
    }
    param->next = tool->params;
    tool->params = param;
    return WEIR_OK;
}

/* An annotation, held against the rules of "Schema Extension". */
static int read_annotation(param_tool_t *tool, const place_t *place, weir_slice_t raw, weir_slice_t type,
                           weir_error_t *err)
{
    jscan_text_t text;
    weir_slice_t field = read_text(raw, &text) ? keep_text(tool->arena, text) : (weir_slice_t){NULL, 0};
    if (!is_token(field))
        return weir_error(err, "x-mcp-header is %.*s, which is no name of a field", (int)(raw.n < 64 ? raw.n : 64),
                          raw.p);
    if (place == NULL)
        return weir_error(err, "x-mcp-header %.*s annotates no parameter", WEIR_FMT(field));
    if (!is_primitive(type))
        return weir_error(err, "x-mcp-header %.*s annotates a parameter that is no string, integer or boolean",
                          WEIR_FMT(field));
    if (has_field(tool, field))
        return weir_error(err, "x-mcp-header %.*s is there twice", WEIR_FMT(field));
    return tool_add(tool, place, field, err);
}

static int read_properties(param_tool_t *tool, const place_t *place, weir_slice_t properties, weir_error_t *err);

/* The schema of the arguments, or of the property at `place`. Annotations count only where properties alone lead to them; a conforming
 * client follows no other way. */
static int read_schema(param_tool_t *tool, const place_t *place, weir_slice_t schema, weir_error_t *err)
{
    enum { ANNOTATION, TYPE, PROPERTIES, NAMES };
    static const weir_slice_t names[NAMES] = {{"x-mcp-header", 12}, {"type", 4}, {"properties", 10}};
    weir_slice_t values[NAMES];
    if (!jscan_get(schema, names, values, NAMES))
        return WEIR_OK; /* `true` is a schema too */
    if (values[ANNOTATION].p != NULL && read_annotation(tool, place, values[ANNOTATION], values[TYPE], err) != WEIR_OK)
        return WEIR_EFAIL;
    return read_properties(tool, place, values[PROPERTIES], err);
}

static int read_properties(param_tool_t *tool, const place_t *place, weir_slice_t properties, weir_error_t *err)
{
    jscan_t json = jscan_over(properties);
    place_t inner = {.above = place, .depth = place == NULL ? 1 : place->depth + 1};
    bool is_over = false;
    if (properties.p == NULL || inner.depth > PARAM_DEPTH_MAX)
        return WEIR_OK;
    for (bool is_first = true; jscan_member(&json, &is_first, &inner.key, &is_over) && !is_over;) {
        weir_slice_t schema;
        if (!jscan_value(&json, &schema))
            return weir_error(err, "its schema is no JSON");
        if (read_schema(tool, &inner, schema, err) != WEIR_OK)
            return WEIR_EFAIL;
    }
    return WEIR_OK;
}

/* ---- a page ---- */

/* Read a tool into an entry. NULL: it has no such parameters, or is not valid. */
static param_tool_t *tool_read(arena_t *arena, weir_slice_t name, weir_slice_t schema, const char *who)
{
    weir_error_t err;
    param_tool_t *tool = arena_alloc(arena, sizeof(*tool));
    if (tool == NULL)
        return NULL;
    tool->arena = arena;
    tool->name = name;
    if (read_schema(tool, NULL, schema, &err) == WEIR_OK)
        return tool->params == NULL ? NULL : tool;
    if (who != NULL)
        log_write(WEIR_LOG_WARN, "%s: tool %.*s: %s; its Mcp-Param-* fields are not checked", who, WEIR_FMT(name),
                  err.text);
    return NULL;
}

static void learn_tool(param_table_t *table, weir_slice_t raw, const char *who)
{
    static const weir_slice_t names[] = {{"name", 4}, {"inputSchema", 11}};
    weir_slice_t values[2];
    jscan_text_t text;
    if (!jscan_get(raw, names, values, 2) || !read_text(values[0], &text))
        return;
    arena_t *arena = arena_new(ENTRY_BLOCK);
    weir_slice_t name = arena == NULL ? (weir_slice_t){NULL, 0} : keep_text(arena, text);
    if (name.p != NULL) {
        table_remove(table, name);
        param_tool_t *tool = tool_read(arena, name, values[1], who);
        if (tool != NULL && table->count < PARAM_TOOLS_MAX) {
            table_put(table, tool);
            return;
        }
    }
    arena_free(arena);
}

bool param_table_learn(param_table_t *table, weir_slice_t page, weir_slice_t *cursor, const char *who)
{
    static const weir_slice_t names[] = {{"tools", 5}, {"nextCursor", 10}};
    weir_slice_t values[2], tool;
    *cursor = (weir_slice_t){NULL, 0};
    if (!jscan_get(page, names, values, 2) || values[0].n == 0 || values[0].p[0] != '[')
        return false;
    jscan_t json = jscan_over(weir_slice(values[0].p + 1, values[0].n - 1));
    while (jscan_peek(&json) != ']' && jscan_value(&json, &tool)) {
        learn_tool(table, tool, who);
        if (jscan_peek(&json) == ',')
            json.p++;
    }
    if (values[1].n > 0 && values[1].p[0] == '"')
        *cursor = values[1];
    return true;
}
