/* param_check.c: see param_check.h. What is compared is what the argument is, not what its schema says it should be: the schema is
 * the server's to enforce.
 */
#include "param_check.h"

#include <math.h>
#include <stdlib.h>

#include "jscan.h"
#include "mirrored.h"

#define TOLD_MAX 128                /* of a value, in an error */
#define NUMBER_MAX 63               /* a number that is longer is compared as text */
#define SAFE_MAX 9007199254740991.0 /* integers up to here are themselves in every client */

/* How many fields have this name; `value` becomes the first one's. */
static unsigned find_field(weir_slice_t fields, weir_slice_t name, weir_slice_t *value)
{
    const char *p = fields.p, *end = fields.n == 0 ? p : p + fields.n;
    unsigned count = 0;
    while (p < end) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *newline = colon == NULL ? NULL : memchr(colon, '\n', (size_t)(end - colon));
        if (newline == NULL)
            break;
        if (weir_slice_ieq(weir_slice(p, (size_t)(colon - p)), name) && count++ == 0)
            *value = weir_slice(colon + 1, (size_t)(newline - colon - 1));
        p = newline + 1;
    }
    return count;
}

/* What stands in the arguments where the path leads; p == NULL: nothing. */
static weir_slice_t argument_at(weir_slice_t arguments, const param_t *param)
{
    weir_slice_t value = arguments;
    for (uint32_t i = 0; i < param->npath; i++)
        if (!jscan_get(value, &param->path[i], &value, 1))
            return (weir_slice_t){NULL, 0};
    return value;
}

static bool is_number(char first)
{
    return first == '-' || (first >= '0' && first <= '9');
}

static bool read_number(weir_slice_t text, double *number)
{
    char room[NUMBER_MAX + 1];
    jscan_t json = jscan_over(text);
    weir_slice_t whole;
    if (text.n == 0 || text.n > NUMBER_MAX || !is_number(text.p[0]) || !jscan_value(&json, &whole) || whole.n != text.n)
        return false;
    memcpy(room, text.p, text.n);
    room[text.n] = '\0';
    *number = strtod(room, NULL);
    return true;
}

static bool is_safe(double number)
{
    return fabs(number) <= SAFE_MAX;
}

/* 42 and 42.0 are the same; beyond the safe range different integers are the same double. */
static bool is_same_number(weir_slice_t argument, weir_slice_t said)
{
    double a, b;
    if (weir_slice_eq(argument, said))
        return true;
    return read_number(argument, &a) && read_number(said, &b) && a == b && is_safe(a);
}

/* Whether a client has to say this value. One that is null or absent it must not; what is no primitive, and what is no integer to
 * every client, it cannot. */
static bool is_due(weir_slice_t argument)
{
    double number;
    if (argument.n == 0)
        return false;
    if (is_number(argument.p[0]))
        return !read_number(argument, &number) || is_safe(number);
    return argument.p[0] == '"' || argument.p[0] == 't' || argument.p[0] == 'f';
}

static bool is_same(weir_slice_t argument, weir_slice_t said)
{
    jscan_t json = jscan_over(argument);
    jscan_text_t text;
    char first = jscan_peek(&json);
    if (first == '"')
        return jscan_string(&json, &text) && jscan_is(text, said);
    if (is_number(first))
        return is_same_number(argument, said);
    return (first == 't' || first == 'f') && weir_slice_eq(argument, said);
}

static int told(weir_slice_t text)
{
    return (int)(text.n < TOLD_MAX ? text.n : TOLD_MAX);
}

static int check_param(weir_exchange_t *ex, const param_t *param, weir_slice_t argument, weir_slice_t fields,
                       weir_error_t *err)
{
    weir_slice_t value = {NULL, 0};
    unsigned count = find_field(fields, param->field, &value);
    weir_slice_t said = value, name = param->field;
    if (count == 0 && !is_due(argument))
        return WEIR_OK;
    if (count == 0)
        return weir_error(err, "Header mismatch: Mcp-Param-%.*s is missing, body value is %.*s", WEIR_FMT(name),
                          told(argument), argument.p);
    if (count > 1)
        return weir_error(err, "Header mismatch: Mcp-Param-%.*s is there %u times", WEIR_FMT(name), count);
    if (mirrored_decode(ex, &value) != WEIR_OK)
        return weir_error(err, "Header mismatch: Mcp-Param-%.*s has invalid characters or invalid Base64",
                          WEIR_FMT(name));
    if (argument.n == 0)
        return weir_error(err, "Header mismatch: Mcp-Param-%.*s header value '%.*s', body has no value", WEIR_FMT(name),
                          told(said), said.p);
    if (!is_same(argument, value))
        return weir_error(err, "Header mismatch: Mcp-Param-%.*s header value '%.*s' does not match body value %.*s",
                          WEIR_FMT(name), told(said), said.p, told(argument), argument.p);
    return WEIR_OK;
}

int param_check(weir_exchange_t *ex, const param_tool_t *tool, weir_slice_t arguments, weir_slice_t fields,
                weir_error_t *err)
{
    for (const param_t *param = tool->params; param != NULL; param = param->next)
        if (check_param(ex, param, argument_at(arguments, param), fields, err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}
