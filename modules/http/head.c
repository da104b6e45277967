/* head.c: see head.h. */
#include "head.h"

void out_number(head_out_t *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    out_text(out, weir_slice(digits + at, sizeof(digits) - at));
}

void out_field(head_out_t *out, weir_slice_t name, weir_slice_t value)
{
    size_t n = name.n + value.n + 4;
    if (n > out->size - out->n) {
        out->is_over = true;
        return;
    }
    char *p = out->p + out->n;
    memcpy(p, name.p, name.n);
    p += name.n;
    *p++ = ':';
    *p++ = ' ';
    if (value.n > 0)
        memcpy(p, value.p, value.n);
    p += value.n;
    *p++ = '\r';
    *p = '\n';
    out->n += n;
}

bool list_next(weir_slice_t *list, weir_slice_t *element)
{
    if (list->n == 0)
        return false;
    const char *comma = memchr(list->p, ',', list->n);
    size_t n = comma == NULL ? list->n : (size_t)(comma - list->p);
    *element = weir_slice_trim(weir_slice(list->p, n));
    n += comma != NULL;
    *list = weir_slice(list->p + n, list->n - n);
    return true;
}

/* Whether a Connection field says more than the words that this module understands anyway. */
static bool names_fields(weir_slice_t connection)
{
    weir_slice_t word;
    while (list_next(&connection, &word))
        if (word.n > 0 && !weir_slice_ieq(word, WEIR_LIT("keep-alive")) && !weir_slice_ieq(word, WEIR_LIT("close")) &&
            !weir_slice_ieq(word, WEIR_LIT("upgrade")))
            return true;
    return false;
}

static bool head_names_fields(const weir_head_t *head)
{
    if (head->known[WEIR_FIELD_CONNECTION] < 0)
        return false;
    for (uint16_t i = 0; i < head->nfields; i++)
        if (head->fields[i].id == WEIR_FIELD_CONNECTION && names_fields(head->fields[i].value))
            return true;
    return false;
}

static bool is_named(const weir_head_t *head, weir_slice_t name)
{
    for (uint16_t i = 0; i < head->nfields; i++) {
        weir_slice_t list = head->fields[i].value, word;
        if (head->fields[i].id != WEIR_FIELD_CONNECTION)
            continue;
        while (list_next(&list, &word))
            if (weir_slice_ieq(word, name))
                return true;
    }
    return false;
}

static bool is_filtered(const weir_field_t *field, const head_filter_t *filter)
{
    if (field->id != WEIR_FIELD_OTHER)
        return (filter->ids & FIELD_BIT(field->id)) != 0;
    for (size_t i = 0; i < filter->nnames; i++)
        if (weir_slice_ieq(field->name, filter->names[i]))
            return true;
    return false;
}

void head_copy(head_out_t *out, const weir_head_t *head, const head_filter_t *filter)
{
    bool has_named = head_names_fields(head);
    for (uint16_t i = 0; i < head->nfields; i++) {
        const weir_field_t *field = &head->fields[i];
        if (is_filtered(field, filter) || (has_named && is_named(head, field->name)))
            continue;
        out_field(out, field->name, field->value);
    }
}

unsigned head_count(const weir_head_t *head, weir_field_id_t id)
{
    unsigned n = 0;
    if (head->known[id] < 0)
        return 0;
    for (uint16_t i = (uint16_t)head->known[id]; i < head->nfields; i++)
        n += head->fields[i].id == id;
    return n;
}

weir_slice_t head_find(const weir_head_t *head, weir_slice_t name)
{
    for (uint16_t i = 0; i < head->nfields; i++)
        if (head->fields[i].id == WEIR_FIELD_OTHER && weir_slice_ieq(head->fields[i].name, name))
            return head->fields[i].value;
    return weir_slice(NULL, 0);
}
