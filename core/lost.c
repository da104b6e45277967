/* lost.c: see lost.h. Strings and depth are followed, and of the members of the outermost object the name; nothing else of JSON is
 * looked at. An id is kept when it is a number: the ids that weir gives are.
 */
#include "lost.h"

void lost_begin(weir_lost_t *lost)
{
    *lost = (weir_lost_t){0};
}

static bool key_is(const weir_lost_t *lost, const char *name)
{
    return weir_slice_eq(weir_slice(lost->key, lost->key_n), weir_slice_str(name));
}

static void lost_colon(weir_lost_t *lost)
{
    lost->is_value = true;
    lost->is_id = key_is(lost, "id");
    lost->is_answer = lost->is_answer || key_is(lost, "result") || key_is(lost, "error");
    if (lost->is_id)
        lost->id_n = 0;
}

static void lost_in_string(weir_lost_t *lost, char c)
{
    if (lost->is_escaped)
        lost->is_escaped = false;
    else if (c == '\\')
        lost->is_escaped = true;
    else if (c == '"')
        lost->is_string = false;
    /* A name that is longer, or escaped, is none of those that are looked for. */
    else if (lost->depth == 1 && !lost->is_value && lost->key_n < sizeof(lost->key))
        lost->key[lost->key_n++] = c;
}

static void lost_between(weir_lost_t *lost, char c)
{
    if (c == '"') {
        lost->is_string = true;
        lost->key_n = 0;
    } else if (c == '{' || c == '[') {
        lost->depth++;
    } else if (c == '}' || c == ']') {
        lost->depth--;
    } else if (lost->depth == 1 && c == ':') {
        lost_colon(lost);
    } else if (lost->depth == 1 && c == ',') {
        lost->is_value = lost->is_id = false;
    } else if (lost->depth == 1 && lost->is_id && c >= '0' && c <= '9' && lost->id_n < sizeof(lost->id)) {
        lost->id[lost->id_n++] = c;
    }
}

void lost_bytes(weir_lost_t *lost, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lost->is_string)
            lost_in_string(lost, p[i]);
        else
            lost_between(lost, p[i]);
}

weir_slice_t lost_answer(const weir_lost_t *lost)
{
    return weir_slice(lost->id, lost->is_answer ? lost->id_n : 0);
}
