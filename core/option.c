/* option.c: see option.h. One function reads one type; the table says which, where to, and how far. */
#include "option.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "number.h"
#include "suggest.h"

typedef struct reader {
    const config_source_t *source;
    arena_t *arena;
    const char *what;
    weir_error_t *err;
} reader_t;

int config_error(const config_source_t *source, const node_t *at, weir_error_t *err, const char *format, ...)
{
    if (err == NULL)
        return WEIR_EFAIL;
    int n = snprintf(err->text, sizeof(err->text), "%s:%d:%d: ", source->file, at->line, at->column);
    if (n > 0 && (size_t)n < sizeof(err->text)) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, format, args);
        va_end(args);
    }
    return WEIR_EFAIL;
}

int config_error_at(const config_source_t *source, const node_t *at, weir_error_t *err)
{
    if (at == NULL)
        return weir_error_wrap(err, "%s: ", source->file);
    return weir_error_wrap(err, "%s:%d:%d: ", source->file, at->line, at->column);
}

static int mistaken(const reader_t *r, const weir_option_t *o, const node_t *node, const char *expected)
{
    if (node->kind != NODE_SCALAR)
        return config_error(r->source, node, r->err, "%s of %s: expected %s, found a %s", o->name, r->what, expected,
                            node->kind == NODE_LIST ? "list" : "map");
    return config_error(r->source, node, r->err, "%s of %s: expected %s, found \"%.*s\"", o->name, r->what, expected,
                        WEIR_FMT(node->text));
}

static int in_range(const reader_t *r, const weir_option_t *o, const node_t *node, double value)
{
    if (o->min == o->max || (value >= o->min && value <= o->max))
        return WEIR_OK;
    char min[32], max[32];
    number_write(min, sizeof(min), o->type, o->min);
    number_write(max, sizeof(max), o->type, o->max);
    return config_error(r->source, node, r->err, "%s of %s: %.*s is out of range; it must be from %s to %s", o->name,
                        r->what, WEIR_FMT(node->text), min, max);
}

static int read_bool(const reader_t *r, const weir_option_t *o, const node_t *node, bool *out)
{
    *out = weir_slice_eq(node->text, WEIR_LIT("true"));
    if (node->kind == NODE_SCALAR && (*out || weir_slice_eq(node->text, WEIR_LIT("false"))))
        return WEIR_OK;
    return mistaken(r, o, node, "true or false");
}

static int read_int(const reader_t *r, const weir_option_t *o, const node_t *node, int64_t *out)
{
    char expected[128] = "a whole number";
    for (int i = 0; o->names != NULL && o->names[i] != NULL; i++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, " or %s", o->names[i]);
        *out = -1 - i;
        if (node->kind == NODE_SCALAR && weir_slice_eq(node->text, weir_slice_str(o->names[i])))
            return WEIR_OK;
    }
    if (node->kind != NODE_SCALAR || !integer_read(node->text, out))
        return mistaken(r, o, node, expected);
    return in_range(r, o, node, (double)*out);
}

static int read_duration(const reader_t *r, const weir_option_t *o, const node_t *node, uint64_t *out)
{
    static const char expected[] = "a duration with its unit, as 250ms, 30s, 5m, 1h or 1d";
    weir_slice_t rest = node->text;
    if (node->kind != NODE_SCALAR || !duration_read(node->text, out)) {
        if (digits_read(&rest, out) && rest.n == 0)
            return config_error(r->source, node, r->err, "%s of %s: expected %s; did you mean %.*ss?", o->name, r->what,
                                expected, WEIR_FMT(node->text));
        return mistaken(r, o, node, expected);
    }
    return in_range(r, o, node, (double)*out);
}

static int read_size(const reader_t *r, const weir_option_t *o, const node_t *node, uint64_t *out)
{
    if (node->kind != NODE_SCALAR || !size_read(node->text, out))
        return mistaken(r, o, node, "a size, as 512, 64KiB, 4MiB or 1GiB");
    return in_range(r, o, node, (double)*out);
}

static int read_ratio(const reader_t *r, const weir_option_t *o, const node_t *node, double *out)
{
    char *end = NULL;
    /* strtod() takes more than people write: white space, inf, hexadecimal. */
    if (node->kind == NODE_SCALAR && node->text.n > 0 && strspn(node->text.p, "-.0123456789%") == node->text.n)
        *out = strtod(node->text.p, &end);
    if (end != NULL && end > node->text.p && strcmp(end, "%") == 0) {
        *out /= 100;
        end++;
    }
    if (end == NULL || *end != '\0' || !isfinite(*out))
        return mistaken(r, o, node, "a ratio, as 0.8 or 80%");
    return in_range(r, o, node, *out);
}

static int read_string(const reader_t *r, const weir_option_t *o, const node_t *node, const char **out)
{
    if (node->kind != NODE_SCALAR)
        return mistaken(r, o, node, "a string");
    *out = node->text.p;
    return WEIR_OK;
}

const char *config_path(const config_source_t *source, arena_t *arena, weir_slice_t text)
{
    bool is_whole = text.p[0] == '/' || source->dir == NULL || source->dir[0] == '\0';
    size_t dir_n = is_whole ? 0 : strlen(source->dir) + 1;
    char *path = arena_alloc(arena, dir_n + text.n + 1);
    if (path != NULL && !is_whole) {
        memcpy(path, source->dir, dir_n - 1);
        path[dir_n - 1] = '/';
    }
    if (path != NULL)
        memcpy(path + dir_n, text.p, text.n); /* the arena's memory is zeroed */
    return path;
}

static int read_path(const reader_t *r, const weir_option_t *o, const node_t *node, const char **out)
{
    if (node->kind != NODE_SCALAR || node->text.n == 0)
        return mistaken(r, o, node, "a path");
    *out = config_path(r->source, r->arena, node->text);
    return *out == NULL ? config_error(r->source, node, r->err, "no memory") : WEIR_OK;
}

/* One more word of a list for people; what has no room is a sign that there is more, never half a word. */
static void list_add(char *list, size_t size, const char *word)
{
    static const char more[] = ", ...";
    size_t used = strlen(list);
    if (used >= sizeof(more) && strcmp(list + used - (sizeof(more) - 1), more) == 0)
        return;
    if (used + strlen(word) + 2 * sizeof(more) > size)
        word = more + 2;
    snprintf(list + used, size - used, "%s%s", used == 0 ? "" : ", ", word);
}

static int read_enum(const reader_t *r, const weir_option_t *o, const node_t *node, int *out)
{
    char known[256] = "";
    const char *nearest = NULL;
    for (int i = 0; o->names[i] != NULL; i++) {
        if (node->kind == NODE_SCALAR && weir_slice_eq(node->text, weir_slice_str(o->names[i]))) {
            *out = i;
            return WEIR_OK;
        }
        list_add(known, sizeof(known), o->names[i]);
        if (node->kind == NODE_SCALAR)
            nearest = suggest_nearer(node->text, nearest, o->names[i]);
    }
    if (nearest == NULL)
        return mistaken(r, o, node, known);
    return config_error(r->source, node, r->err, "%s of %s: \"%.*s\" is none of %s; did you mean \"%s\"?", o->name,
                        r->what, WEIR_FMT(node->text), known, nearest);
}

static int read_strings(const reader_t *r, const weir_option_t *o, const node_t *node, weir_strings_t *out)
{
    const node_t *items = node->kind == NODE_LIST ? node->items : node;
    size_t count = node->kind == NODE_LIST ? node->count : 1;
    const char **strings = arena_alloc(r->arena, (count + 1) * sizeof(*strings));
    if (strings == NULL)
        return config_error(r->source, node, r->err, "no memory");
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != NODE_SCALAR)
            return mistaken(r, o, &items[i], "a string or a list of strings");
        strings[i] = items[i].text.p;
    }
    *out = (weir_strings_t){strings, count};
    return WEIR_OK;
}

static int read_map(const reader_t *r, const weir_option_t *o, const node_t *node, weir_map_t *out)
{
    if (node->kind != NODE_MAP)
        return mistaken(r, o, node, "a map of names to strings");
    const char **words = arena_alloc(r->arena, (2 * node->count + 1) * sizeof(*words));
    if (words == NULL)
        return config_error(r->source, node, r->err, "no memory");
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i].kind != NODE_SCALAR)
            return mistaken(r, o, &node->items[i], "a string");
        words[i] = node->items[i].key.p;
        words[node->count + i] = node->items[i].text.p;
    }
    *out = (weir_map_t){words, words + node->count, node->count};
    return WEIR_OK;
}

static int read_value(const reader_t *r, const weir_option_t *o, const node_t *node, void *out)
{
    switch (o->type) {
    case WEIR_TYPE_BOOL:
        return read_bool(r, o, node, out);
    case WEIR_TYPE_INT:
        return read_int(r, o, node, out);
    case WEIR_TYPE_DURATION:
        return read_duration(r, o, node, out);
    case WEIR_TYPE_SIZE:
        return read_size(r, o, node, out);
    case WEIR_TYPE_RATIO:
        return read_ratio(r, o, node, out);
    case WEIR_TYPE_STRING:
    case WEIR_TYPE_SECRET:
        return read_string(r, o, node, out);
    case WEIR_TYPE_PATH:
        return read_path(r, o, node, out);
    case WEIR_TYPE_ENUM:
        return read_enum(r, o, node, out);
    case WEIR_TYPE_STRINGS:
        return read_strings(r, o, node, out);
    case WEIR_TYPE_MAP:
        return read_map(r, o, node, out);
    }
    return config_error(r->source, node, r->err, "%s of %s: has a type that this weir does not know", o->name, r->what);
}

static size_t size_of_type(weir_type_t type)
{
    static const size_t sizes[] = {
        [WEIR_TYPE_BOOL] = sizeof(bool),
        [WEIR_TYPE_INT] = sizeof(int64_t),
        [WEIR_TYPE_DURATION] = sizeof(uint64_t),
        [WEIR_TYPE_SIZE] = sizeof(uint64_t),
        [WEIR_TYPE_RATIO] = sizeof(double),
        [WEIR_TYPE_STRING] = sizeof(char *),
        [WEIR_TYPE_PATH] = sizeof(char *),
        [WEIR_TYPE_ENUM] = sizeof(int),
        [WEIR_TYPE_STRINGS] = sizeof(weir_strings_t),
        [WEIR_TYPE_MAP] = sizeof(weir_map_t),
        [WEIR_TYPE_SECRET] = sizeof(char *),
    };
    return sizes[type];
}

/* The default is written as one would write it in the file, and read the same way. */
static int read_fallback(const reader_t *r, const weir_option_t *o, const node_t *map, void *out)
{
    static const node_t nowhere = {.line = 1, .column = 1};
    const node_t *at = map == NULL ? &nowhere : map;
    if (o->is_required)
        return config_error(r->source, at, r->err, "%s needs `%s`: %s", r->what, o->name, o->doc);
    if (o->fallback == NULL) {
        memset(out, 0, size_of_type(o->type));
        return WEIR_OK;
    }
    node_t node = {.kind = NODE_SCALAR, .line = at->line, .column = at->column, .text = weir_slice_str(o->fallback)};
    return read_value(r, o, &node, out);
}

int options_read_some(const config_source_t *source, arena_t *arena, const weir_option_t *table, const node_t *map,
                      void *out, const char *what, weir_error_t *err)
{
    reader_t r = {.source = source, .arena = arena, .what = what, .err = err};
    if (map != NULL && map->kind != NODE_MAP && !node_is_null(map))
        return config_error(source, map, err, "%s: expected a map of options", what);
    for (const weir_option_t *o = table; o != NULL && o->name != NULL; o++) {
        const node_t *node = node_get(map, o->name);
        void *member = (char *)out + o->offset;
        int result =
            node == NULL || node_is_null(node) ? read_fallback(&r, o, map, member) : read_value(&r, o, node, member);
        if (result != WEIR_OK)
            return result;
    }
    return WEIR_OK;
}

static bool table_has(const weir_option_t *table, weir_slice_t key)
{
    for (const weir_option_t *o = table; o != NULL && o->name != NULL; o++)
        if (weir_slice_eq(key, weir_slice_str(o->name)))
            return true;
    return false;
}

static int refuse_unknown(const config_source_t *source, const option_set_t *sets, size_t nsets, const node_t *item,
                          weir_error_t *err)
{
    const char *nearest = NULL;
    char known[256] = "";
    for (size_t i = 0; i < nsets; i++) {
        for (const weir_option_t *o = sets[i].table; o != NULL && o->name != NULL; o++) {
            nearest = suggest_nearer(item->key, nearest, o->name);
            list_add(known, sizeof(known), o->name);
        }
    }
    node_t at = {.line = item->key_line, .column = item->key_column};
    if (nearest != NULL)
        return config_error(source, &at, err, "unknown key \"%.*s\" in %s; did you mean \"%s\"?", WEIR_FMT(item->key),
                            sets[0].what, nearest);
    return config_error(source, &at, err, "unknown key \"%.*s\" in %s; known are: %s", WEIR_FMT(item->key),
                        sets[0].what, known);
}

int options_check_keys(const config_source_t *source, const option_set_t *sets, size_t nsets, const node_t *map,
                       weir_error_t *err)
{
    for (size_t i = 0; map != NULL && map->kind == NODE_MAP && i < map->count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < nsets && !is_known; j++)
            is_known = table_has(sets[j].table, map->items[i].key);
        if (!is_known)
            return refuse_unknown(source, sets, nsets, &map->items[i], err);
    }
    return WEIR_OK;
}

int options_read_sets(const config_source_t *source, arena_t *arena, const option_set_t *sets, size_t nsets,
                      const node_t *map, weir_error_t *err)
{
    if (options_check_keys(source, sets, nsets, map, err) != WEIR_OK)
        return WEIR_EFAIL;
    for (size_t i = 0; i < nsets; i++)
        if (sets[i].out != NULL &&
            options_read_some(source, arena, sets[i].table, map, sets[i].out, sets[i].what, err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

int options_read(const config_source_t *source, arena_t *arena, const weir_option_t *table, const node_t *map,
                 void *out, const char *what, weir_error_t *err)
{
    option_set_t set = {table, out, what};
    return options_read_sets(source, arena, &set, 1, map, err);
}
