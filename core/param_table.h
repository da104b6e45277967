/* param_table.h: the tools of a server whose parameters clients repeat in fields of their heads, as the `x-mcp-header` annotations
 * in its lists of tools say (2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters").
 *
 * An annotation that breaks a rule of the specification makes its tool's definition invalid; clients leave such a tool out, and
 * nothing is known of it here. Slices of an entry live as long as the entry: until its tool is in a list again, or the table is cleared.
 */
#ifndef PARAM_TABLE_H
#define PARAM_TABLE_H

#include <stdint.h>

#include "arena.h"

#define PARAM_BUCKETS 64u
#define PARAM_TOOLS_MAX 4096u /* what is beyond is not known */
#define PARAM_DEPTH_MAX 32u   /* keys that lead to a parameter */

typedef struct param {
    struct param *next;
    weir_slice_t field; /* the name of its field, without the prefix */
    weir_slice_t *path; /* the keys that lead to its value in the arguments */
    uint32_t npath;
} param_t;

typedef struct param_tool {
    struct param_tool *next; /* in its bucket */
    arena_t *arena;          /* it lives in */
    weir_slice_t name;
    param_t *params;
} param_tool_t;

typedef struct param_table {
    param_tool_t *buckets[PARAM_BUCKETS];
    uint32_t count;
} param_table_t;

/* NULL: the tool is not known to have such parameters. */
const param_tool_t *param_table_find(const param_table_t *table, weir_slice_t name);

/* Take in a page of a list of tools: of those in it, what was known before counts no more. `cursor` becomes the next page's, as JSON
 * text, or empty. What is invalid is logged for `who`, unless that is NULL. False when it is no list of tools. */
bool param_table_learn(param_table_t *table, weir_slice_t page, weir_slice_t *cursor, const char *who);

void param_table_clear(param_table_t *table);

#endif
