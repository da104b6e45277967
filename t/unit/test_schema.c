/* test_schema.c: the JSON Schema of a configuration is JSON, and says what the tables say. */
#include "loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "schema.h"

typedef struct fake_options {
    uint64_t wait_ms;
    int64_t count;
    int way;
} fake_options_t;

static const char *const way_names[] = {"up", "down", NULL};
static const weir_option_t fake_table[] = {
    {"wait", WEIR_TYPE_DURATION, offsetof(fake_options_t, wait_ms), "10s", 0, 60000, NULL, false, "how long"},
    {"count", WEIR_TYPE_INT, offsetof(fake_options_t, count), "3", 1, 9, NULL, true, "how many"},
    {"way", WEIR_TYPE_ENUM, offsetof(fake_options_t, way), "up", 0, 0, way_names, false, "where to"},
    {.name = NULL},
};
static const weir_exchange_module_t fake_exchange;
static const weir_module_t fake = {WEIR_MODULE_HEADER, .name = "fake", .doc = "does nothing", .options = fake_table,
                                   .exchange = &fake_exchange};

static json_t *schema_of(const weir_module_t *desc)
{
    module_t module = {.desc = desc};
    modules_t modules = {.first = desc == NULL ? NULL : &module};
    weir_error_t err = {""};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (schema_write(out, &modules, &err) != WEIR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(fclose(out), 0);
    json_error_t where;
    json_t *schema = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (schema == NULL)
        fail_msg("line %d: %s", where.line, where.text);
    free(text);
    return schema;
}

/* "a/b/c" in nested objects. */
static json_t *at(json_t *object, const char *path)
{
    char step[64];
    while (*path != '\0') {
        size_t n = strcspn(path, "/");
        assert_true(n < sizeof(step));
        memcpy(step, path, n);
        step[n] = '\0';
        object = json_object_get(object, step);
        if (object == NULL)
            fail_msg("the schema has no %s", path);
        path += n + (path[n] == '/');
    }
    return object;
}

static void assert_text(json_t *object, const char *path, const char *expected)
{
    assert_string_equal(json_string_value(at(object, path)), expected);
}

static void every_key_of_the_configuration_is_described(void **state)
{
    (void)state;
    json_t *schema = schema_of(NULL);
    assert_text(schema, "type", "object");
    for (const weir_option_t *o = conf_top_options; o->name != NULL; o++)
        assert_string_equal(json_string_value(at(at(at(schema, "properties"), o->name), "description")), o->doc);
    assert_true(json_is_false(at(schema, "additionalProperties")));
    json_decref(schema);
}

static void the_options_of_a_module_are_those_of_its_table(void **state)
{
    (void)state;
    json_t *schema = schema_of(&fake);
    json_t *chain = at(schema, "$defs/chain/items");
    json_t *names = json_array_get(at(chain, "anyOf"), 0), *with_options = json_array_get(at(chain, "anyOf"), 1);
    assert_string_equal(json_string_value(json_array_get(at(names, "enum"), 0)), "fake");
    json_t *options = json_array_get(at(with_options, "properties/fake/anyOf"), 1);
    assert_text(options, "properties/wait/default", "10s");
    assert_int_equal(json_integer_value(at(options, "properties/count/minimum")), 1);
    assert_int_equal(json_integer_value(at(options, "properties/count/maximum")), 9);
    assert_int_equal(json_array_size(at(options, "properties/way/enum")), 2);
    assert_string_equal(json_string_value(json_array_get(at(options, "required"), 0)), "count");
    json_decref(schema);
}

static void a_schema_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    modules_t modules = {.first = NULL};
    weir_error_t err = {""};
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(schema_write(full, &modules, &err), WEIR_EFAIL);
    assert_non_null(strstr(err.text, "cannot be written"));
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_the_configuration_is_described),
        cmocka_unit_test(the_options_of_a_module_are_those_of_its_table),
        cmocka_unit_test(a_schema_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
