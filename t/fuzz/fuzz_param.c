/* fuzz_param.c: what a server's list of tools asks clients to repeat in their heads, and whether they did. The input is a page of the
 * list, the arguments of a call, and the fields of its head, a line each (fields: all that is left). What is learned from a page, and from
 * the same page again, is the same; what passes with fields that belong to nobody passes without them.
 */
#include "fuzz.h"

#include "exchange.h"
#include "mirrored.h"
#include "param_check.h"
#include "param_table.h"

static weir_slice_t line(const char **p, size_t *n)
{
    const char *end = *n == 0 ? NULL : memchr(*p, '\n', *n);
    size_t have = end == NULL ? *n : (size_t)(end - *p);
    weir_slice_t slice = weir_slice(*p, have);
    *p += have + (end != NULL);
    *n -= have + (end != NULL);
    return slice;
}

/* What is encoded is visible, and decoded again what it was. */
static void check_mirrored(weir_slice_t text)
{
    exchange_t ex = {0};
    weir_slice_t value = text;
    FUZZ_CHECK(mirrored_encode(&ex.pub, &value) == WEIR_OK);
    for (size_t i = 0; i < value.n; i++)
        FUZZ_CHECK(value.p[i] == '\t' || (value.p[i] >= ' ' && value.p[i] <= '~'));
    FUZZ_CHECK(mirrored_decode(&ex.pub, &value) == WEIR_OK && weir_slice_eq(value, text));
    value = text;
    if (mirrored_decode(&ex.pub, &value) == WEIR_OK)
        FUZZ_CHECK(value.n <= text.n);
    arena_free(ex.arena);
}

static bool passes(const param_tool_t *tool, weir_slice_t arguments, weir_slice_t fields)
{
    exchange_t ex = {0};
    weir_error_t err = {""};
    bool is_passing = param_check(&ex.pub, tool, arguments, fields, &err) == WEIR_OK;
    FUZZ_CHECK(is_passing == (err.text[0] == '\0'));
    arena_free(ex.arena);
    return is_passing;
}

static void check_tools(const param_table_t *table, weir_slice_t arguments, weir_slice_t fields)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PARAM_BUCKETS; i++) {
        for (const param_tool_t *tool = table->buckets[i]; tool != NULL; tool = tool->next, count++) {
            FUZZ_CHECK(param_table_find(table, tool->name) == tool && tool->params != NULL);
            for (const param_t *param = tool->params; param != NULL; param = param->next)
                FUZZ_CHECK(param->field.n > 0 && param->npath > 0 && param->npath <= PARAM_DEPTH_MAX);
            (void)passes(tool, arguments, fields);
            FUZZ_CHECK(passes(tool, arguments, WEIR_LIT("@:nobody's\n")) ==
                       passes(tool, arguments, (weir_slice_t){NULL, 0}));
        }
    }
    FUZZ_CHECK(count == table->count);
}

static void fuzz_one(const char *p, size_t n)
{
    weir_slice_t page = line(&p, &n), arguments = line(&p, &n), fields = weir_slice(p, n), cursor = {NULL, 0};
    param_table_t table;
    memset(&table, 0, sizeof(table));
    for (int i = 0; i < 2; i++) {
        uint32_t count = table.count;
        char *copy = fuzz_copy(page.p, page.n);
        if (param_table_learn(&table, weir_slice(copy, page.n), &cursor, NULL))
            FUZZ_CHECK(fuzz_is_inside(cursor, copy, page.n));
        FUZZ_CHECK(i == 0 || table.count == count);
        fuzz_free(copy, page.n);
    }
    check_tools(&table, arguments, fields);
    check_mirrored(fields);
    param_table_clear(&table);
}
