/* test_tree.c: YAML as a tree that knows where everything stands, and what of YAML is no configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tree.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static arena_t *arena;
static weir_error_t err;

static int begin(void **state)
{
    (void)state;
    arena = arena_new(4096);
    err.text[0] = '\0';
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static node_t *load(const char *text)
{
    node_t *root = NULL;
    if (yaml_load(arena, "a.yaml", weir_slice_str(text), &root, &err) != WEIR_OK)
        fail_msg("%s", err.text);
    return root;
}

static void assert_at(const node_t *node, int line, int column)
{
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void assert_text(const node_t *node, const char *text)
{
    assert_int_equal(node->kind, NODE_SCALAR);
    assert_string_equal(node->text.p, text);
    assert_int_equal(node->text.n, strlen(text));
}

static void everything_knows_where_it_stands(void **state)
{
    (void)state;
    node_t *root = load("# a comment\nfirst: one\n\nsecond:\n  - a\n  - { b: [c, \"d\"] }\n");
    assert_int_equal(root->kind, NODE_MAP);
    assert_int_equal(root->count, 2);
    const node_t *first = node_get(root, "first"), *second = node_get(root, "second");
    assert_text(first, "one");
    assert_at(first, 2, 8);
    assert_int_equal(first->key_line, 2);
    assert_int_equal(first->key_column, 1);
    assert_string_equal(first->key.p, "first");
    assert_int_equal(second->kind, NODE_LIST);
    assert_at(second, 5, 3);
    assert_text(&second->items[0], "a");
    assert_at(&second->items[0], 5, 5);
    const node_t *b = node_get(&second->items[1], "b");
    assert_at(b, 6, 10);
    assert_text(&b->items[1], "d");
    assert_at(&b->items[1], 6, 14);
}

static void a_key_that_is_not_there_is_null(void **state)
{
    (void)state;
    node_t *root = load("a: { b: 1 }\nc: d\n");
    assert_null(node_get(root, "b"));
    assert_null(node_get(root, ""));
    assert_null(node_get(node_get(root, "c"), "d"));
    assert_null(node_get(NULL, "a"));
    assert_text(node_get(node_get(root, "a"), "b"), "1");
}

static void words_mean_something_only_where_they_are_not_quoted(void **state)
{
    (void)state;
    node_t *root = load("a: null\nb: ~\nc:\nd: \"null\"\ne: '~'\nf: \"\"\ng: Null\nh: [~, '']\n");
    assert_true(node_is_null(node_get(root, "a")));
    assert_true(node_is_null(node_get(root, "b")));
    assert_true(node_is_null(node_get(root, "c")));
    assert_false(node_is_null(node_get(root, "d")));
    assert_false(node_is_null(node_get(root, "e")));
    assert_false(node_is_null(node_get(root, "f")));
    assert_false(node_is_null(node_get(root, "g")));
    assert_false(node_is_null(node_get(root, "h")));
    assert_true(node_is_null(&node_get(root, "h")->items[0]));
}

static void scalars_are_their_text_however_they_are_written(void **state)
{
    (void)state;
    node_t *root = load("a: \"tab\\t\\u00e9\"\nb: 'it''s'\nc: |\n  two\n  lines\nd: >\n  one\n  line\n\"e f\": x\n");
    assert_text(node_get(root, "a"), "tab\t\xc3\xa9");
    assert_text(node_get(root, "b"), "it's");
    assert_text(node_get(root, "c"), "two\nlines\n");
    assert_text(node_get(root, "d"), "one line\n");
    assert_text(node_get(root, "e f"), "x");
}

static void nothing_is_an_empty_map(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "---\n...\n", "~", "null\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        node_t *root = load(texts[i]);
        assert_int_equal(root->kind, NODE_MAP);
        assert_int_equal(root->count, 0);
        assert_true(root->line >= 1 && root->column >= 1); /* where a missing key is missed */
    }
}

/* Items move as a list grows; what was read before must be found all the same. */
static void long_lists_and_maps_keep_their_items(void **state)
{
    (void)state;
    char text[40000];
    size_t n = (size_t)sprintf(text, "list: [");
    for (int i = 0; i < 1000; i++)
        n += (size_t)sprintf(text + n, "{ a: %d },", i);
    n += (size_t)sprintf(text + n, "]\nmap:\n");
    for (int i = 0; i < 1000; i++)
        n += (size_t)sprintf(text + n, "  k%d: [%d]\n", i, i);
    node_t *root = load(text);
    const node_t *list = node_get(root, "list"), *map = node_get(root, "map");
    assert_int_equal(list->count, 1000);
    assert_int_equal(map->count, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(atoi(node_get(&list->items[i], "a")->text.p), i);
        assert_int_equal(atoi(map->items[i].items[0].text.p), i);
    }
}

/* ---- refused, with the place ---- */

static void assert_refused(const char *text, size_t n, const char *story)
{
    node_t *root = NULL;
    err.text[0] = '\0';
    assert_int_equal(yaml_load(arena, "a.yaml", weir_slice(text, n), &root, &err), WEIR_EFAIL);
    if (strncmp(err.text, story, strlen(story)) != 0)
        fail_msg("refused with \"%s\", not with \"%s\"", err.text, story);
}

static void what_could_mean_two_things_is_refused_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "a.yaml:3:1: key \"a\" stands here a second time; the first is in line 1"},
        {"x: { a: 1, \"a\": 2 }\n", "a.yaml:1:12: key \"a\" stands here a second time"},
        {"a: &x 1\n", "a.yaml:1:4: anchors (&name) are not supported"},
        {"a: &x [1]\n", "a.yaml:1:4: anchors"},
        {"a: &x { b: 1 }\n", "a.yaml:1:4: anchors"},
        {"&x a: 1\n", "a.yaml:1:1: anchors"},
        {"a: 1\nb: *x\n", "a.yaml:2:4: aliases (*name) are not supported"},
        {"a: 1\n*x : 2\n", "a.yaml:2:1: a key must be a plain word"},
        {"a: !!str 1\n", "a.yaml:1:4: tags (!name) are not supported"},
        {"a: !own [1]\n", "a.yaml:1:4: tags"},
        {"a: !!map {}\n", "a.yaml:1:4: tags"},
        {"!x a: 1\n", "a.yaml:1:1: tags"},
        {"a:\n  <<: { b: 1 }\n", "a.yaml:2:3: merge keys (<<) are not supported"},
        {"[a]: 1\n", "a.yaml:1:1: a key must be a plain word"},
        {"? { a: b }\n: 1\n", "a.yaml:1:3: a key must be a plain word"},
        {"a: 1\n---\nb: 2\n", "a.yaml:2:1: a second document begins; a configuration is one"},
        {"a: \"x\\0y\"\n", "a.yaml:1:4: a value must not contain NUL"},
        {"\"x\\0y\": a\n", "a.yaml:1:1: a key must not contain NUL"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].story);
}

static void what_is_not_yaml_is_refused_where_it_stops(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story;
    } cases[] = {
        {"a: [1, 2\nb: 3\n", "a.yaml:2:2: is not YAML: "},
        {"a:\n\t- b\n", "a.yaml:2:1: a tab; YAML is indented with spaces only"},
        {"a: 'x\n", "a.yaml:2:1: is not YAML: found unexpected end of stream"},
        {"a: b: c\n", "a.yaml:1:5: is not YAML: mapping values are not allowed"},
        {"a: @x\n", "a.yaml:1:4: is not YAML: found character that cannot start any token"},
        {"a: 1\n b: 2\n", "a.yaml:2:3: is not YAML: "},
        {"}\n", "a.yaml:1:1: is not YAML: "},
        {"%YAML 3.0\n---\na: b\n", "a.yaml:1:1: is not YAML: found incompatible YAML document"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].story);
    assert_refused("a: \xff\n", 5, "a.yaml: is not UTF-8 text: ");
    assert_refused("a: \xc3(\n", 6, "a.yaml: is not UTF-8 text: ");
    assert_refused("a: \x01\n", 5, "a.yaml: is not UTF-8 text: control characters are not allowed");
}

static void a_bomb_is_refused(void **state)
{
    (void)state;
    char deep[2000];
    memset(deep, '[', 1000);
    memset(deep + 1000, ']', 1000);
    assert_refused(deep, sizeof(deep), "a.yaml:1:34: is nested too deeply");
    size_t n = 400000;
    char *wide = malloc(n);
    wide[0] = '[';
    for (size_t i = 1; i + 1 < n; i += 2)
        memcpy(wide + i, "1,", 2);
    wide[n - 1] = ']';
    assert_refused(wide, n, "a.yaml:1:");
    assert_non_null(strstr(err.text, "too long"));
    free(wide);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(everything_knows_where_it_stands),
        SCENE(a_key_that_is_not_there_is_null),
        SCENE(words_mean_something_only_where_they_are_not_quoted),
        SCENE(scalars_are_their_text_however_they_are_written),
        SCENE(nothing_is_an_empty_map),
        SCENE(long_lists_and_maps_keep_their_items),
        SCENE(what_could_mean_two_things_is_refused_where_it_stands),
        SCENE(what_is_not_yaml_is_refused_where_it_stops),
        SCENE(a_bomb_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
