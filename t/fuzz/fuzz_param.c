/* fuzz_param.c: a page of a list of tools, the arguments of a call of tool `t`, and the fields of its head, a line each (fields:
 * all that is left). What is learned from a page, and from the same page again, is the same; what passes with fields that belong to nobody
 * passes without them.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "exchange.h"
#include "param_check.h"
#include "param_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_slice_t line(weir_slice_t *rest)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
    weir_slice_t first = *rest;
    if (end == NULL) {
        *rest = (weir_slice_t){NULL, 0};
        return first;
    }
    first.n = (size_t)(end - first.p);
    *rest = weir_slice(end + 1, rest->n - first.n - 1);
    return first;
}

static bool passes(const param_tool_t *tool, weir_slice_t arguments, weir_slice_t fields)
{
    exchange_t ex = {0};
    weir_error_t err;
    bool is_passing = param_check(&ex.pub, tool, arguments, fields, &err) == WEIR_OK;
    arena_free(ex.arena);
    return is_passing;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static param_table_t table;
    weir_slice_t rest = weir_slice((const char *)data, size), cursor;
    weir_slice_t page = line(&rest), arguments = line(&rest);
    param_table_learn(&table, page, &cursor, NULL);
    uint32_t count = table.count;
    param_table_learn(&table, page, &cursor, NULL);
    const param_tool_t *tool = param_table_find(&table, WEIR_LIT("t"));
    if (table.count != count)
        abort();
    if (tool != NULL) {
        (void)passes(tool, arguments, rest);
        if (passes(tool, arguments, WEIR_LIT("@:nobody's\n")) != passes(tool, arguments, (weir_slice_t){NULL, 0}))
            abort();
    }
    param_table_clear(&table);
    return 0;
}
