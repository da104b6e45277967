/* head.h: building the head of an HTTP message: a bounded writer, and the filter that says which fields of one peer's head may
 * be shown to the other.
 *
 * Nothing here allocates. A head_out_t writes into memory of its owner; what does not fit sets is_over and is looked at once,
 * when the head is complete.
 */
#ifndef WEIR_HTTP_HEAD_H
#define WEIR_HTTP_HEAD_H

#include <weir/module.h>

typedef struct head_out {
    char *p;
    size_t n, size;
    bool is_over;
} head_out_t;

static inline void out_text(head_out_t *out, weir_slice_t s)
{
    if (s.n > out->size - out->n) {
        out->is_over = true;
        return;
    }
    if (s.n > 0)
        memcpy(out->p + out->n, s.p, s.n);
    out->n += s.n;
}

#define OUT_LIT(out, s) out_text((out), WEIR_LIT(s))

void out_number(head_out_t *out, uint64_t value);
void out_field(head_out_t *out, weir_slice_t name, weir_slice_t value);

/* Which fields do not pass: a set of ids, and names of fields that have none. */
typedef struct head_filter {
    uint64_t ids;
    const weir_slice_t *names;
    size_t nnames;
} head_filter_t;

#define FIELD_BIT(id) (UINT64_C(1) << (id))

/* What one connection says about itself (RFC 9110 7.6.1), and the framing, which is the writer's own to say. */
#define FIELDS_OF_A_CONNECTION                                                                                         \
    (FIELD_BIT(WEIR_FIELD_CONNECTION) | FIELD_BIT(WEIR_FIELD_KEEP_ALIVE) | FIELD_BIT(WEIR_FIELD_PROXY_AUTHENTICATE) |  \
     FIELD_BIT(WEIR_FIELD_PROXY_AUTHORIZATION) | FIELD_BIT(WEIR_FIELD_PROXY_CONNECTION) | FIELD_BIT(WEIR_FIELD_TE) |   \
     FIELD_BIT(WEIR_FIELD_TRAILER) | FIELD_BIT(WEIR_FIELD_TRANSFER_ENCODING) | FIELD_BIT(WEIR_FIELD_UPGRADE) |         \
     FIELD_BIT(WEIR_FIELD_CONTENT_LENGTH))

/* Write every field of the head that passes the filter and is not named in its Connection field. */
void head_copy(head_out_t *out, const weir_head_t *head, const head_filter_t *filter);

/* Take the next element off a comma-separated list; false at its end. */
bool list_next(weir_slice_t *list, weir_slice_t *element);
/* How many fields have that id. */
unsigned head_count(const weir_head_t *head, weir_field_id_t id);
/* The first field of that name, for names that have no id; empty when there is none. */
weir_slice_t head_find(const weir_head_t *head, weir_slice_t name);

#endif
