/* test_param.c: which parameters a list of tools asks to be mirrored, and whether the fields of a call say what its arguments say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "exchange.h"
#include "param.h"
#include "param_check.h"
#include "param_table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement: JSON is written with ' for " ---- */

static char *json(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *p = copy; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    return copy;
}

static param_table_t table;

static int empty_table(void **state)
{
    (void)state;
    param_table_clear(&table);
    return 0;
}

/* Learn a page, in memory that is gone afterwards. The cursor's text, or NULL. */
static char *learn(const char *page)
{
    char *text = json(page);
    weir_slice_t cursor;
    assert_true(param_table_learn(&table, weir_slice_str(text), &cursor, NULL));
    char *next = cursor.n == 0 ? NULL : strndup(cursor.p, cursor.n);
    free(text);
    return next;
}

/* Learn a tool `t` whose arguments have these properties. */
static void learn_properties(const char *properties)
{
    char page[4096];
    assert_in_range(snprintf(page, sizeof(page),
                             "{'tools':[{'name':'t','inputSchema':{'type':'object','properties':{%s}}}]}", properties),
                    1, sizeof(page) - 1);
    assert_null(learn(page));
}

static const param_tool_t *find(const char *name)
{
    return param_table_find(&table, weir_slice_str(name));
}

/* Whether a call of `t` passes; the reason of a refusal is left in `why`. */
static char why[WEIR_ERROR_MAX];

static bool passes(const char *arguments, const char *fields)
{
    char *text = json(arguments), *lines = strdup(fields);
    exchange_t ex = {0};
    weir_error_t err = {{0}};
    assert_non_null(find("t"));
    int result = param_check(&ex.pub, find("t"), weir_slice_str(text), weir_slice_str(lines), &err);
    snprintf(why, sizeof(why), "%s", err.text);
    assert_int_equal(result == WEIR_OK, why[0] == '\0');
    arena_free(ex.arena);
    free(lines);
    free(text);
    return result == WEIR_OK;
}

#define REGION "'region':{'type':'string','x-mcp-header':'Region'}"

/* ---- what a list says ---- */

static void an_annotated_parameter_is_known_by_its_tool(void **state)
{
    (void)state;
    char *cursor = learn("{'resultType':'complete','tools':[{'name':'plain','inputSchema':{'type':'object'}},"
                         "{'inputSchema':{'properties':{" REGION ",'n':{'type':'integer'}}},'name':'t'}],"
                         "'nextCursor':'p\\u00e4ge 2'}");
    assert_string_equal(cursor, "\"p\\u00e4ge 2\"");
    free(cursor);
    assert_int_equal(table.count, 1);
    assert_null(find("plain"));
    const param_t *param = find("t")->params;
    assert_null(param->next);
    assert_true(weir_slice_eq(param->field, WEIR_LIT("Region")));
    assert_int_equal(param->npath, 1);
    assert_true(weir_slice_eq(param->path[0], WEIR_LIT("region")));
}

static void nested_properties_lead_to_a_parameter(void **state)
{
    (void)state;
    learn_properties("'target':{'type':'object','properties':{'where \\u00e9':{'properties':{'id':"
                     "{'x-mcp-header':'Id','type':'integer'}}}}}");
    const param_t *param = find("t")->params;
    assert_int_equal(param->npath, 3);
    assert_true(weir_slice_eq(param->path[0], WEIR_LIT("target")));
    assert_true(weir_slice_eq(param->path[1], WEIR_LIT("where \xc3\xa9")));
    assert_true(weir_slice_eq(param->path[2], WEIR_LIT("id")));
}

static void a_property_may_be_called_as_a_keyword_is(void **state)
{
    (void)state;
    learn_properties("'properties':{'type':'string','x-mcp-header':'P'},'x-mcp-header':{'type':'string'}");
    assert_non_null(find("t"));
    assert_true(passes("{'properties':'a','x-mcp-header':'b'}", "P:a\n"));
    assert_false(passes("{'properties':'a','x-mcp-header':'b'}", "P:b\n"));
}

/* Clients leave such a tool out: nothing of it is checked. */
static void an_annotation_that_breaks_a_rule_makes_nothing_known(void **state)
{
    (void)state;
    static const char *const properties[] = {
        "'a':{'type':'string','x-mcp-header':''}",
        "'a':{'type':'string','x-mcp-header':'My Region'}",
        "'a':{'type':'string','x-mcp-header':'Region:Primary'}",
        "'a':{'type':'string','x-mcp-header':'R\xc3\xa9gion'}",
        "'a':{'type':'string','x-mcp-header':'Region\\t1'}",
        "'a':{'type':'string','x-mcp-header':7}",
        "'a':{'type':'array','x-mcp-header':'A'}",
        "'a':{'type':'object','x-mcp-header':'A'}",
        "'a':{'type':'null','x-mcp-header':'A'}",
        "'a':{'type':['string','null'],'x-mcp-header':'A'}",
        "'a':{'x-mcp-header':'A'}",
        REGION ",'b':{'type':'string','x-mcp-header':'REGION'}",
        REGION ",'b':{'properties':{'c':{'type':'string','x-mcp-header':'region'}}}",
        REGION ",'b':{'type':'array','x-mcp-header':'B'}",
    };
    for (size_t i = 0; i < COUNT(properties); i++) {
        learn_properties(properties[i]);
        assert_null(find("t"));
        assert_int_equal(table.count, 0);
    }
    assert_null(learn("{'tools':[{'name':'t','inputSchema':{'x-mcp-header':'A','type':'string'}}]}"));
    assert_null(find("t"));
}

static void annotations_that_properties_do_not_lead_to_are_not_followed(void **state)
{
    (void)state;
    learn_properties("'a':{'type':'array','items':{'type':'string','x-mcp-header':'A'}},"
                     "'b':{'anyOf':[{'type':'string','x-mcp-header':'B'}]},'c':true");
    assert_null(find("t"));
}

static void a_later_list_counts_for_the_tools_in_it(void **state)
{
    (void)state;
    char page[256];
    for (int i = 0; i < 300; i++) {
        snprintf(page, sizeof(page), "{'tools':[{'name':'t%d','inputSchema':{'properties':{" REGION "}}}]}", i);
        assert_null(learn(page));
    }
    assert_int_equal(table.count, 300);
    assert_null(
        learn("{'tools':[{'name':'t7','inputSchema':{'properties':{}}},{'name':'t8','inputSchema':{'properties':"
              "{'zone':{'type':'string','x-mcp-header':'Zone'}}}}]}"));
    assert_int_equal(table.count, 299);
    assert_null(find("t7"));
    assert_true(weir_slice_eq(find("t8")->params->field, WEIR_LIT("Zone")));
    assert_true(weir_slice_eq(find("t9")->params->field, WEIR_LIT("Region")));
    param_table_clear(&table);
    assert_null(find("t9"));
}

static void a_name_is_what_it_says_however_it_is_written(void **state)
{
    (void)state;
    assert_null(learn("{'t\\u006fols':[{'n\\u0061me':'\\u0074','inputSchema':{'properties':{'\\u0072egion':"
                      "{'type':'\\u0073tring','x\\u002dmcp-header':'R\\u0065gion'}}}}]}"));
    assert_true(passes("{'region':'a'}", "Region:a\n"));
    assert_false(passes("{'region':'a'}", ""));
}

static void the_table_has_a_bound(void **state)
{
    (void)state;
    char page[256];
    for (unsigned i = 0; i < PARAM_TOOLS_MAX + 5; i++) {
        snprintf(page, sizeof(page), "{'tools':[{'name':'t%u','inputSchema':{'properties':{" REGION "}}}]}", i);
        assert_null(learn(page));
    }
    assert_int_equal(table.count, PARAM_TOOLS_MAX);
}

static void what_is_no_list_of_tools_is_told(void **state)
{
    (void)state;
    static const char *const pages[] = {"{}", "{'tools':{}}", "[]", "{'tools':null}", "7", ""};
    for (size_t i = 0; i < COUNT(pages); i++) {
        char *text = json(pages[i]);
        weir_slice_t cursor;
        assert_false(param_table_learn(&table, weir_slice_str(text), &cursor, NULL));
        free(text);
    }
    assert_null(learn("{'tools':[7,null,{},{'name':7},{'name':'t'},{'name':'t','inputSchema':true}],'nextCursor':7}"));
    assert_int_equal(table.count, 0);
}

/* ---- whether fields are true ---- */

static void a_field_says_what_the_argument_says(void **state)
{
    (void)state;
    learn_properties(REGION ",'n':{'type':'integer','x-mcp-header':'N'},'on':{'type':'boolean','x-mcp-header':'On'}");
    assert_true(passes("{'region':'us-west1','n':42,'on':true}", "Region:us-west1\nN:42\nOn:true\n"));
    assert_true(passes("{'n':-7,'on':false,'region':''}", "on:false\nregion:\nn:-7\n"));
    assert_true(passes("{'region':'us west 1'}", "REGION:us west 1\nOther:x\n"));
    assert_true(passes("{'region':'Hello, \xe4\xb8\x96\xe7\x95\x8c'}", "Region:=?base64?SGVsbG8sIOS4lueVjA==?=\n"));
    assert_true(passes("{'region':'Hello, \\u4e16\\u754C'}", "Region:=?base64?SGVsbG8sIOS4lueVjA==?=\n"));
    assert_true(passes("{'region':'SGVsbG8='}", "Region:SGVsbG8=\n"));
    assert_true(passes("{'region':'=?base64?SGVsbG8='}", "Region:=?base64?SGVsbG8=\n"));
    assert_true(passes("{'region':'a:b'}", "Region:a:b\n"));
    assert_true(passes("{'\\u0072egion':'a'}", "Region:a\n"));
    assert_true(passes("{'region':'b','region':'a'}", "Region:a\n"));
}

static void a_field_that_says_something_else_is_refused(void **state)
{
    (void)state;
    learn_properties(REGION ",'n':{'type':'integer','x-mcp-header':'N'},'on':{'type':'boolean','x-mcp-header':'On'}");
    assert_false(passes("{'region':'us-west1'}", "Region:eu\n"));
    assert_string_equal(why,
                        "Header mismatch: Mcp-Param-Region header value 'eu' does not match body value \"us-west1\"");
    assert_false(passes("{'region':'us-west1'}", "Region:US-WEST1\n"));
    assert_false(passes("{'region':'a','region':'b'}", "Region:a\n"));
    assert_false(passes("{'region':'a'}", "Region:=?base64?Yg==?=\n"));
    assert_false(passes("{'n':42}", "N:43\n"));
    assert_false(passes("{'n':42}", "N:forty-two\n"));
    assert_false(passes("{'n':42}", "N:\n"));
    assert_false(passes("{'on':true}", "On:True\n"));
    assert_false(passes("{'on':true}", "On:false\n"));
    assert_false(passes("{'on':true}", "On:1\n"));
    assert_false(passes("{'region':{}}", "Region:{}\n"));
}

static void a_field_that_is_due_and_missing_is_refused(void **state)
{
    (void)state;
    learn_properties(REGION ",'n':{'type':'integer','x-mcp-header':'N'}");
    assert_false(passes("{'region':'us-west1'}", ""));
    assert_string_equal(why, "Header mismatch: Mcp-Param-Region is missing, body value is \"us-west1\"");
    assert_false(passes("{'region':'us-west1'}", "Regio:us-west1\nRegion2:us-west1\n"));
    assert_false(passes("{'region':'','n':1}", "N:1\n"));
    assert_false(passes("{'\\u0072egion':'a'}", ""));
    assert_false(passes("{'n':0}", ""));
}

static void a_field_is_not_expected_where_there_is_no_value(void **state)
{
    (void)state;
    learn_properties(REGION ",'o':{'properties':{'id':{'type':'string','x-mcp-header':'Id'}}}");
    static const char *const arguments[] = {
        "",
        "{}",
        "null",
        "[]",
        "'text'",
        "{'region':null}",
        "{'o':{}}",
        "{'o':null}",
        "{'o':7}",
        "{'o':[{'id':'a'}]}",
        "{'id':'a'}",
        "{'region':null,'o':{'id':null}}",
        "{'region':{}}",
        "{'region':[]}",
    };
    for (size_t i = 0; i < COUNT(arguments); i++)
        assert_true(passes(arguments[i], "Unknown:x\n"));
    assert_true(passes("{'o':{'id':'a'}}", "Id:a\n"));
    assert_false(passes("{'o':{'id':'a'}}", ""));
}

/* Somebody on the way may have acted on it. */
static void a_field_without_a_value_behind_it_is_refused(void **state)
{
    (void)state;
    learn_properties(REGION);
    assert_false(passes("{}", "Region:eu\n"));
    assert_string_equal(why, "Header mismatch: Mcp-Param-Region header value 'eu', body has no value");
    assert_false(passes("", "Region:\n"));
    assert_false(passes("{'region':null}", "Region:null\n"));
}

static void a_field_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    learn_properties(REGION);
    assert_false(passes("{'region':'a'}", "Region:a\nregion:a\n"));
    assert_string_equal(why, "Header mismatch: Mcp-Param-Region is there 2 times");
}

static void a_field_that_says_nothing_is_refused(void **state)
{
    (void)state;
    learn_properties(REGION);
    static const char *const values[] = {"=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "H\xc3\xa9llo", "Hel\x01lo"};
    for (size_t i = 0; i < COUNT(values); i++) {
        char fields[64];
        snprintf(fields, sizeof(fields), "Region:%s\n", values[i]);
        assert_false(passes("{'region':'Hello'}", fields));
        assert_string_equal(why, "Header mismatch: Mcp-Param-Region has invalid characters or invalid Base64");
    }
}

static void numbers_are_compared_as_numbers(void **state)
{
    (void)state;
    learn_properties("'n':{'type':'integer','x-mcp-header':'N'}");
    static const struct {
        const char *argument, *said;
        bool is_same;
    } cases[] = {
        {"42", "42.0", true},
        {"42.0", "42", true},
        {"4.2e1", "42", true},
        {"42", "4.2E1", true},
        {"-0", "0", true},
        {"9007199254740991", "9007199254740991.0", true},
        {"9007199254740993", "9007199254740993", true},
        {"9007199254740993", "9007199254740992", false},
        {"9007199254740993", "9007199254740993.0", false},
        {"42", "42abc", false},
        {"42", "0x2a", false},
        {"42", "042", false},
        {"42", "=?base64?NDI=?=", true},
        {"42", "=?base64?IDQy?=", false},
        {"1", "1.0000000000000000000000000000000000000000000000000000000000000000001", false},
        {"1e400", "2e400", false},
        {"'42'", "42", true},
        {"'42'", "42.0", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char arguments[128], fields[128];
        snprintf(arguments, sizeof(arguments), "{'n':%s}", cases[i].argument);
        snprintf(fields, sizeof(fields), "N:%s\n", cases[i].said);
        assert_int_equal(passes(arguments, fields), cases[i].is_same);
    }
}

/* A client in JavaScript has lost such a number before it could say it. */
static void an_integer_beyond_the_safe_range_is_not_due(void **state)
{
    (void)state;
    learn_properties("'n':{'type':'integer','x-mcp-header':'N'}");
    assert_true(passes("{'n':9007199254740992}", ""));
    assert_true(passes("{'n':-9007199254740992}", ""));
    assert_false(passes("{'n':9007199254740991}", ""));
    assert_false(passes("{'n':-9007199254740991}", ""));
}

/* ---- the fields of a head ---- */

static void the_fields_of_a_head_are_collected_without_their_prefix(void **state)
{
    (void)state;
    weir_head_t head = {.nfields = 6};
    head.fields[0] = (weir_field_t){WEIR_LIT("Host"), WEIR_LIT("a"), WEIR_FIELD_HOST};
    head.fields[1] = (weir_field_t){WEIR_LIT("mcp-PARAM-Region"), WEIR_LIT("us west"), WEIR_FIELD_OTHER};
    head.fields[2] = (weir_field_t){WEIR_LIT("Mcp-Param-"), WEIR_LIT("nameless"), WEIR_FIELD_OTHER};
    head.fields[3] = (weir_field_t){WEIR_LIT("Mcp-Params-X"), WEIR_LIT("1"), WEIR_FIELD_OTHER};
    head.fields[4] = (weir_field_t){WEIR_LIT("Mcp-Param-Empty"), {NULL, 0}, WEIR_FIELD_OTHER};
    head.fields[5] = (weir_field_t){WEIR_LIT("Mcp-Param-N"), WEIR_LIT("1:2"), WEIR_FIELD_OTHER};
    exchange_t ex = {.pub = {.head = &head}};
    assert_true(weir_slice_eq(params_fields(&ex), WEIR_LIT("Region:us west\nEmpty:\nN:1:2\n")));
    arena_free(ex.arena);
    head.nfields = 1;
    ex = (exchange_t){.pub = {.head = &head}};
    assert_int_equal(params_fields(&ex).n, 0);
    assert_null(ex.arena);
}

static void only_a_modern_call_of_a_client_with_a_head_is_concerned(void **state)
{
    (void)state;
    weir_head_t head = {0};
    exchange_t ex = {.pub = {.head = &head, .era = WEIR_ERA_MODERN}};
    ex.pub.message.envelope.method = WEIR_LIT("tools/call");
    assert_true(params_concern(&ex));
    ex.pub.message.envelope.method = WEIR_LIT("tools/list");
    assert_false(params_concern(&ex));
    ex.pub.message.envelope.method = WEIR_LIT("tools/call");
    ex.pub.era = WEIR_ERA_LEGACY;
    assert_false(params_concern(&ex));
    ex.pub.era = WEIR_ERA_MODERN;
    ex.pub.head = NULL;
    assert_false(params_concern(&ex));
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, empty_table, empty_table)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_annotated_parameter_is_known_by_its_tool),
        SCENE(nested_properties_lead_to_a_parameter),
        SCENE(a_property_may_be_called_as_a_keyword_is),
        SCENE(an_annotation_that_breaks_a_rule_makes_nothing_known),
        SCENE(annotations_that_properties_do_not_lead_to_are_not_followed),
        SCENE(a_later_list_counts_for_the_tools_in_it),
        SCENE(a_name_is_what_it_says_however_it_is_written),
        SCENE(the_table_has_a_bound),
        SCENE(what_is_no_list_of_tools_is_told),
        SCENE(a_field_says_what_the_argument_says),
        SCENE(a_field_that_says_something_else_is_refused),
        SCENE(a_field_that_is_due_and_missing_is_refused),
        SCENE(a_field_is_not_expected_where_there_is_no_value),
        SCENE(a_field_without_a_value_behind_it_is_refused),
        SCENE(a_field_that_is_there_twice_is_refused),
        SCENE(a_field_that_says_nothing_is_refused),
        SCENE(numbers_are_compared_as_numbers),
        SCENE(an_integer_beyond_the_safe_range_is_not_due),
        SCENE(the_fields_of_a_head_are_collected_without_their_prefix),
        SCENE(only_a_modern_call_of_a_client_with_a_head_is_concerned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
