/* tree.h: a YAML document as a tree that knows where everything stands. libyaml parses; anchors, aliases, merge keys and tags are
 * refused, since a configuration has no need of them and a bomb can be made of them.
 */
#ifndef TREE_H
#define TREE_H

#include <stdbool.h>

#include <weir/error.h>
#include <weir/slice.h>

#include "arena.h"

typedef enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP } node_kind_t;

typedef struct node {
    node_kind_t kind;
    int line, column; /* from 1 */
    weir_slice_t key; /* of a map's item; NUL-terminated */
    int key_line, key_column;
    weir_slice_t text;  /* of a scalar; NUL-terminated */
    bool is_plain;      /* not quoted: `true`, `null` and `~` mean what they say */
    struct node *items; /* of a list or map */
    size_t count;
} node_t;

/* `file` is only named in errors ("file:line:column: …"). An empty document is an empty map. The tree lives in the arena. */
int yaml_load(arena_t *arena, const char *file, weir_slice_t text, node_t **root, weir_error_t *err);

/* An item of a map, or NULL (also when `map` is no map, or NULL). */
const node_t *node_get(const node_t *map, const char *key);

/* An unquoted null, `~` or nothing. */
bool node_is_null(const node_t *node);

#endif
