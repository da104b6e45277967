/* places.c: see places.h. */
#include "places.h"

/* The parts in the order in which they travel. */
static void list_parts(weir_envelope_t *env, weir_slice_t *parts[PLACES])
{
    weir_slice_t *const all[PLACES] = {
        &env->id,
        &env->method,
        &env->params,
        &env->result,
        &env->name,
        &env->version,
        &env->capabilities,
        &env->meta,
        &env->progress_token,
        &env->request_id,
        &env->subscription_id,
        &env->traceparent,
    };
    memcpy(parts, all, sizeof(all));
}

bool places_of(const weir_envelope_t *envelope, weir_slice_t bytes, places_t *places)
{
    weir_slice_t *parts[PLACES];
    list_parts((weir_envelope_t *)envelope, parts);
    memset(places, 0, sizeof(*places));
    for (size_t i = 0; i < PLACES; i++) {
        const char *p = parts[i]->p;
        if (p == NULL)
            continue;
        if (p < bytes.p || p + parts[i]->n > bytes.p + bytes.n || bytes.n >= UINT32_MAX)
            return false;
        places->parts[i].at = (uint32_t)(p - bytes.p) + 1;
        places->parts[i].n = (uint32_t)parts[i]->n;
    }
    places->kind = (uint8_t)envelope->kind;
    places->error_code = envelope->error_code;
    places->is_method_escaped = envelope->is_method_escaped;
    places->is_name_escaped = envelope->is_name_escaped;
    places->has_newline = envelope->has_newline;
    return true;
}

bool places_read(const places_t *places, weir_slice_t bytes, weir_envelope_t *envelope)
{
    weir_slice_t *parts[PLACES];
    list_parts(envelope, parts);
    memset(envelope, 0, sizeof(*envelope));
    if (places->kind > WEIR_KIND_BATCH)
        return false;
    for (size_t i = 0; i < PLACES; i++) {
        size_t at = places->parts[i].at, n = places->parts[i].n;
        if (at == 0)
            continue;
        if (at - 1 > bytes.n || n > bytes.n - (at - 1))
            return false;
        *parts[i] = weir_slice(bytes.p + at - 1, n);
    }
    envelope->kind = (weir_kind_t)places->kind;
    envelope->error_code = places->error_code;
    envelope->is_method_escaped = places->is_method_escaped;
    envelope->is_name_escaped = places->is_name_escaped;
    envelope->has_newline = places->has_newline;
    return true;
}
