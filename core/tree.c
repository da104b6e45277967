/* tree.c: see tree.h. Events of libyaml become nodes by recursion, which is bounded by DEPTH_MAX. */
#include "tree.h"

#include <stdlib.h>
#include <yaml.h>

#define DEPTH_MAX 32
#define NODES_MAX 100000
#define ITEMS_FIRST 8

typedef struct loader {
    yaml_parser_t parser;
    arena_t *arena;
    const char *file;
    weir_slice_t text;
    size_t nodes;
    weir_error_t *err;
} loader_t;

static int load_node(loader_t *l, const yaml_event_t *event, int depth, node_t *out);

static int refuse(const loader_t *l, yaml_mark_t mark, const char *what)
{
    return weir_error(l->err, "%s:%zu:%zu: %s", l->file, mark.line + 1, mark.column + 1, what);
}

/* Whether a tab stands where a line is indented: what YAML forbids, and an editor does not show. */
static bool is_tabbed(weir_slice_t text, size_t line)
{
    const char *p = text.p, *end = text.p + text.n;
    for (; p != NULL && line > 0; line--)
        p = memchr(p, '\n', (size_t)(end - p)) == NULL ? NULL : (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
    while (p != NULL && p < end && *p == ' ')
        p++;
    return p != NULL && p < end && *p == '\t';
}

static int next_event(loader_t *l, yaml_event_t *event)
{
    if (yaml_parser_parse(&l->parser, event))
        return WEIR_OK;
    const yaml_parser_t *p = &l->parser;
    yaml_mark_t mark = p->problem_mark;
    if (p->error == YAML_READER_ERROR)
        return weir_error(l->err, "%s: is not UTF-8 text: %s at byte %zu", l->file, p->problem, p->problem_offset);
    if (is_tabbed(l->text, mark.line))
        return refuse(l, mark, "a tab; YAML is indented with spaces only");
    return weir_error(l->err, "%s:%zu:%zu: is not YAML: %s%s%s", l->file, mark.line + 1, mark.column + 1,
                      p->problem == NULL ? "no memory" : p->problem, p->context == NULL ? "" : ", ",
                      p->context == NULL ? "" : p->context);
}

/* A place for one more item; items move as their number grows, so nobody keeps pointers into them while they are read. */
static node_t *items_grow(loader_t *l, node_t *parent, size_t *room)
{
    if (parent->count == *room) {
        size_t more = *room == 0 ? ITEMS_FIRST : *room * 2;
        node_t *items = arena_alloc(l->arena, more * sizeof(*items));
        if (items == NULL)
            return NULL;
        if (parent->count > 0)
            memcpy(items, parent->items, parent->count * sizeof(*items));
        parent->items = items;
        *room = more;
    }
    node_t *item = &parent->items[parent->count++];
    memset(item, 0, sizeof(*item));
    return item;
}

static int load_list(loader_t *l, int depth, node_t *list)
{
    size_t room = 0;
    for (;;) {
        yaml_event_t event;
        if (next_event(l, &event) != WEIR_OK)
            return WEIR_EFAIL;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return WEIR_OK;
        }
        node_t *item = items_grow(l, list, &room);
        int result = item == NULL ? refuse(l, event.start_mark, "no memory") : load_node(l, &event, depth, item);
        yaml_event_delete(&event);
        if (result != WEIR_OK)
            return result;
    }
}

/* What would make a value mean something else than its text. An anchor alone is harmless, but somebody meant it to be used. */
static int refuse_decoration(const loader_t *l, yaml_mark_t mark, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        return refuse(l, mark, "anchors (&name) are not supported; write the value where it is needed");
    if (tag != NULL)
        return refuse(l, mark, "tags (!name) are not supported; write the value alone");
    return WEIR_OK;
}

static int load_key(loader_t *l, const yaml_event_t *event, const node_t *map, node_t *item)
{
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(l, event->start_mark, "a key must be a plain word");
    if (refuse_decoration(l, event->start_mark, event->data.scalar.anchor, event->data.scalar.tag) != WEIR_OK)
        return WEIR_EFAIL;
    weir_slice_t key = weir_slice((const char *)event->data.scalar.value, event->data.scalar.length);
    if (weir_slice_eq(key, WEIR_LIT("<<")))
        return refuse(l, event->start_mark, "merge keys (<<) are not supported; write the keys out");
    if (key.n > 0 && memchr(key.p, '\0', key.n) != NULL)
        return refuse(l, event->start_mark, "a key must not contain NUL");
    for (size_t i = 0; i + 1 < map->count; i++)
        if (weir_slice_eq(map->items[i].key, key))
            return weir_error(l->err, "%s:%zu:%zu: key \"%.*s\" stands here a second time; the first is in line %d",
                              l->file, event->start_mark.line + 1, event->start_mark.column + 1, WEIR_FMT(key),
                              map->items[i].key_line);
    char *copy = arena_strdup(l->arena, key);
    if (copy == NULL)
        return refuse(l, event->start_mark, "no memory");
    item->key = weir_slice(copy, key.n);
    item->key_line = (int)event->start_mark.line + 1;
    item->key_column = (int)event->start_mark.column + 1;
    return WEIR_OK;
}

/* One `key: value`; WEIR_EAGAIN at the end of the map. */
static int load_pair(loader_t *l, int depth, node_t *map, size_t *room)
{
    yaml_event_t event;
    if (next_event(l, &event) != WEIR_OK)
        return WEIR_EFAIL;
    if (event.type == YAML_MAPPING_END_EVENT) {
        yaml_event_delete(&event);
        return WEIR_EAGAIN;
    }
    node_t *item = items_grow(l, map, room);
    int result = item == NULL ? refuse(l, event.start_mark, "no memory") : load_key(l, &event, map, item);
    yaml_event_delete(&event);
    if (result != WEIR_OK || next_event(l, &event) != WEIR_OK)
        return WEIR_EFAIL;
    result = load_node(l, &event, depth, item);
    yaml_event_delete(&event);
    return result;
}

static int load_map(loader_t *l, int depth, node_t *map)
{
    size_t room = 0;
    for (;;) {
        int result = load_pair(l, depth, map, &room);
        if (result != WEIR_OK)
            return result == WEIR_EAGAIN ? WEIR_OK : result;
    }
}

static int load_scalar(loader_t *l, const yaml_event_t *event, node_t *out)
{
    weir_slice_t text = weir_slice((const char *)event->data.scalar.value, event->data.scalar.length);
    if (refuse_decoration(l, event->start_mark, event->data.scalar.anchor, event->data.scalar.tag) != WEIR_OK)
        return WEIR_EFAIL;
    if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
        return refuse(l, event->start_mark, "a value must not contain NUL");
    char *copy = arena_strdup(l->arena, text);
    if (copy == NULL)
        return refuse(l, event->start_mark, "no memory");
    out->text = weir_slice(copy, text.n);
    out->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return WEIR_OK;
}

static int load_node(loader_t *l, const yaml_event_t *event, int depth, node_t *out)
{
    out->line = (int)event->start_mark.line + 1;
    out->column = (int)event->start_mark.column + 1;
    if (depth > DEPTH_MAX || ++l->nodes > NODES_MAX)
        return refuse(l, event->start_mark, "is nested too deeply, or too long, for a configuration");
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        out->kind = NODE_SCALAR;
        return load_scalar(l, event, out);
    case YAML_SEQUENCE_START_EVENT:
        out->kind = NODE_LIST;
        if (refuse_decoration(l, event->start_mark, event->data.sequence_start.anchor,
                              event->data.sequence_start.tag) != WEIR_OK)
            return WEIR_EFAIL;
        return load_list(l, depth + 1, out);
    case YAML_MAPPING_START_EVENT:
        out->kind = NODE_MAP;
        if (refuse_decoration(l, event->start_mark, event->data.mapping_start.anchor, event->data.mapping_start.tag) !=
            WEIR_OK)
            return WEIR_EFAIL;
        return load_map(l, depth + 1, out);
    case YAML_ALIAS_EVENT:
        return refuse(l, event->start_mark, "aliases (*name) are not supported; write the value out");
    default:
        return refuse(l, event->start_mark, "is not expected here");
    }
}

static int load_document(loader_t *l, node_t *root)
{
    bool has_root = false;
    for (bool is_done = false; !is_done;) {
        yaml_event_t event;
        if (next_event(l, &event) != WEIR_OK)
            return WEIR_EFAIL;
        int result = WEIR_OK;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (has_root)
                result = refuse(l, event.start_mark, "a second document begins; a configuration is one");
            break;
        case YAML_STREAM_END_EVENT:
            is_done = true;
            break;
        default:
            has_root = true;
            result = load_node(l, &event, 0, root);
        }
        yaml_event_delete(&event);
        if (result != WEIR_OK)
            return result;
    }
    if (!has_root || node_is_null(root))
        root->kind = NODE_MAP;
    return WEIR_OK;
}

int yaml_load(arena_t *arena, const char *file, weir_slice_t text, node_t **root, weir_error_t *err)
{
    loader_t l = {.arena = arena, .file = file, .text = text, .err = err};
    *root = arena_alloc(arena, sizeof(**root));
    if (*root == NULL || !yaml_parser_initialize(&l.parser))
        return weir_error(err, "%s: no memory", file);
    (*root)->line = (*root)->column = 1; /* where a file with nothing in it is wrong */
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)text.p, text.n);
    int result = load_document(&l, *root);
    yaml_parser_delete(&l.parser);
    return result;
}

const node_t *node_get(const node_t *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (weir_slice_eq(map->items[i].key, weir_slice_str(key)))
            return &map->items[i];
    return NULL;
}

bool node_is_null(const node_t *node)
{
    return node->kind == NODE_SCALAR && node->is_plain &&
           (node->text.n == 0 || weir_slice_eq(node->text, WEIR_LIT("null")) ||
            weir_slice_eq(node->text, WEIR_LIT("~")));
}
