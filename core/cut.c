/* cut.c: see cut.h. */
#include "cut.h"

#include <stdlib.h>

#include "sse.h"

typedef enum cut_kind {
    CUT_NOTHING, /* no message is expected, what comes is dropped */
    CUT_JSON,    /* one message, gathered */
    CUT_EVENTS,
} cut_kind_t;

struct cut {
    cut_kind_t kind;
    size_t limit;
    sse_t events;
    char *body; /* JSON so far */
    size_t n, size;
    /* While bytes are cut: who takes the messages, and what was said of the last one. */
    cut_take_fn take;
    void *owner;
    int result;
};

void cut_free(cut_t *cut)
{
    if (cut == NULL)
        return;
    sse_free(&cut->events);
    free(cut->body);
    free(cut);
}

static bool type_is(const weir_head_t *head, weir_slice_t type)
{
    weir_slice_t value = weir_head_value(head, WEIR_FIELD_CONTENT_TYPE);
    return value.n >= type.n && weir_slice_ieq(weir_slice(value.p, type.n), type);
}

static cut_kind_t kind_of(const weir_head_t *head)
{
    bool has_body = head->status != 202 && head->status != 204 && head->content_length != 0;
    if (!has_body)
        return CUT_NOTHING;
    if (type_is(head, WEIR_LIT("text/event-stream")))
        return CUT_EVENTS;
    return type_is(head, WEIR_LIT("application/json")) && head->status != 404 ? CUT_JSON : CUT_NOTHING;
}

cut_t *cut_new(const weir_head_t *head, size_t limit)
{
    cut_t *cut = calloc(1, sizeof(*cut));
    if (cut == NULL)
        return NULL;
    cut->kind = kind_of(head);
    cut->limit = limit;
    sse_init(&cut->events, limit);
    return cut;
}

/* An event without data only sets the id. */
static bool cut_event(void *arg, const weir_event_t *event)
{
    cut_t *cut = arg;
    if (event->data.n > 0)
        cut->result = cut->take(cut->owner, event->data, event->id);
    return cut->result != WEIR_ECLOSED;
}

static int cut_gather(cut_t *cut, weir_slice_t bytes)
{
    if (bytes.n > cut->limit || cut->n > cut->limit - bytes.n)
        return WEIR_EFULL;
    if (cut->n + bytes.n > cut->size) {
        size_t size = (cut->n + bytes.n) * 2;
        char *body = realloc(cut->body, size);
        if (body == NULL)
            return WEIR_EFULL;
        cut->body = body;
        cut->size = size;
    }
    memcpy(cut->body + cut->n, bytes.p, bytes.n);
    cut->n += bytes.n;
    return WEIR_OK;
}

static int cut_piece(cut_t *cut, weir_slice_t bytes)
{
    switch (cut->kind) {
    case CUT_EVENTS:
        return sse_read(&cut->events, bytes, cut_event, cut);
    case CUT_JSON:
        return cut_gather(cut, bytes);
    case CUT_NOTHING:
        break;
    }
    return WEIR_OK;
}

int cut_bytes(cut_t *cut, const weir_chunk_t *chunks, size_t n, cut_take_fn take, void *owner)
{
    cut->take = take;
    cut->owner = owner;
    cut->result = WEIR_OK;
    for (size_t i = 0; i < n; i++) {
        int result = cut_piece(cut, chunks[i].bytes);
        if (result != WEIR_OK)
            return result == WEIR_EFULL ? WEIR_EFAIL : result;
    }
    return cut->result;
}

int cut_end(cut_t *cut, cut_take_fn take, void *owner)
{
    if (cut->kind != CUT_JSON || cut->n == 0)
        return WEIR_OK;
    return take(owner, weir_slice(cut->body, cut->n), (weir_slice_t){NULL, 0});
}
