/* codec.c: see codec.h. A payload is expanded into a buffer that grows by doubling and never beyond the bound: what a bomb can
 * cost is fixed before it is touched.
 */
#include "codec.h"

#include <stdlib.h>

#include "buf.h"
#include "modules.h"
#include "proc.h"

/* Contexts beyond these are not kept for others. */
#define SPARE_MAX 16

const weir_codec_t *codec_named(const char *name)
{
    for (const module_t *m = proc->modules == NULL ? NULL : proc->modules->first; m != NULL; m = m->next)
        if (m->desc->codec != NULL && strcmp(m->desc->codec->name, name) == 0)
            return m->desc->codec;
    return NULL;
}

const weir_codec_t *codec_of(weir_slice_t begin)
{
    for (const module_t *m = proc->modules == NULL ? NULL : proc->modules->first; m != NULL; m = m->next)
        if (m->desc->codec != NULL && weir_slice_starts(begin, m->desc->codec->magic))
            return m->desc->codec;
    return NULL;
}

const weir_codec_t *codec_at(uint32_t index)
{
    for (const module_t *m = proc->modules == NULL ? NULL : proc->modules->first; m != NULL; m = m->next)
        if (m->desc->codec != NULL && index-- == 0)
            return m->desc->codec;
    return NULL;
}

/* ---- contexts ---- */

static void *context_new(const weir_codec_t *codec, codec_use_t use, int level, weir_error_t *err)
{
    if (use == CODEC_EXPANDS)
        return codec->expander_new(err);
    if (use == CODEC_PACKS_SMALL && codec->packer_new_small != NULL)
        return codec->packer_new_small(level, err);
    return codec->packer_new(level, err);
}

static void context_free(codec_context_t *context)
{
    if (context->use == CODEC_EXPANDS)
        context->codec->expander_free(context->context);
    else
        context->codec->packer_free(context->context);
    free(context);
}

codec_context_t *codec_take(const weir_codec_t *codec, codec_use_t use, int level, weir_error_t *err)
{
    for (codec_context_t **at = &proc->codecs; *at != NULL; at = &(*at)->next) {
        codec_context_t *found = *at;
        if (found->codec == codec && found->use == use && found->level == level) {
            *at = found->next;
            return found;
        }
    }
    codec_context_t *made = malloc(sizeof(*made));
    if (made == NULL) {
        weir_error(err, "%s: no memory for a context", codec->name);
        return NULL;
    }
    *made = (codec_context_t){NULL, codec, use, level, context_new(codec, use, level, err)};
    if (made->context != NULL)
        return made;
    free(made);
    return NULL;
}

void codec_give(codec_context_t *context)
{
    size_t n = 0;
    if (context == NULL)
        return;
    context->next = proc->codecs;
    proc->codecs = context;
    for (codec_context_t **at = &proc->codecs; *at != NULL; at = &(*at)->next)
        if (++n > SPARE_MAX) { /* the one that was wanted longest ago */
            context_free(*at);
            *at = NULL;
            return;
        }
}

void codecs_free(codec_context_t *spare)
{
    while (spare != NULL) {
        codec_context_t *context = spare;
        spare = context->next;
        context_free(context);
    }
}

/* ---- expanding ---- */

typedef struct expansion {
    const weir_codec_t *codec;
    void *expander;
    size_t limit;
    weir_buf_t *buf;
    size_t filled;
} expansion_t;

static int expansion_too_large(const expansion_t *e, weir_error_t *err)
{
    (void)weir_error(err, "%s: holds more than max_message (%zu bytes); it was not expanded further", e->codec->name,
                     e->limit);
    return WEIR_EFULL;
}

/* Room for `size` bytes, those that are there included; one more than the bound, so that going beyond it shows. */
static int expansion_grow(expansion_t *e, size_t size, weir_error_t *err)
{
    weir_buf_t *buf = buf_new(size < e->limit + 1 ? size : e->limit + 1);
    if (buf == NULL)
        return weir_error(err, "%s: no memory for %zu bytes", e->codec->name, size);
    if (e->buf != NULL)
        memcpy(buf->data, e->buf->data, e->filled);
    buf_unref(e->buf);
    e->buf = buf;
    return WEIR_OK;
}

/* A payload that says how much it holds gets room for that, as far as its own size makes it likely. */
static int expansion_begin(expansion_t *e, weir_slice_t payload, weir_error_t *err)
{
    uint64_t said = e->codec->expanded_size(payload);
    if (said > e->limit)
        return expansion_too_large(e, err);
    size_t likely = payload.n < e->limit / 64 ? payload.n * 64 : e->limit;
    size_t want = said > 0 ? (size_t)said + 16 : payload.n < e->limit / 4 ? payload.n * 4 : e->limit;
    return expansion_grow(e, want < likely ? want : likely, err);
}

/* One frame, from its first byte to its last. */
static int expand_frame(expansion_t *e, weir_slice_t *in, weir_error_t *err)
{
    if (e->codec->expand_begin(e->expander, e->limit) != WEIR_OK)
        return weir_error(err, "%s: a frame cannot be begun", e->codec->name);
    for (;;) {
        size_t before = e->filled, left = in->n;
        int rc = e->codec->expand(e->expander, in, e->buf->data + e->filled, e->buf->size - e->filled, &e->filled, err);
        if (rc == WEIR_EFAIL)
            return rc;
        if (e->filled > e->limit)
            return expansion_too_large(e, err);
        if (rc == WEIR_OK)
            return WEIR_OK;
        if (e->filled < e->buf->size && in->n == left && e->filled == before)
            return weir_error(err, "%s: the frame breaks off", e->codec->name);
        if (e->filled == e->buf->size && expansion_grow(e, e->buf->size * 2, err) != WEIR_OK)
            return WEIR_EFAIL;
    }
}

static int expand_frames(expansion_t *e, weir_slice_t in, weir_error_t *err)
{
    if (!weir_slice_starts(in, e->codec->magic))
        return weir_error(err, "%s: %zu bytes that do not begin like a frame", e->codec->name, in.n);
    for (;;) {
        int rc = expand_frame(e, &in, err);
        if (rc != WEIR_OK || in.n == 0)
            return rc;
        if (!weir_slice_starts(in, e->codec->magic))
            return weir_error(err, "%s: %zu bytes after the end of the frame", e->codec->name, in.n);
    }
}

int codec_expand(const weir_codec_t *codec, weir_slice_t payload, size_t limit, weir_chunk_t *out, weir_error_t *err)
{
    codec_context_t *context = codec_take(codec, CODEC_EXPANDS, 0, err);
    if (context == NULL)
        return WEIR_EFAIL;
    expansion_t e = {.codec = codec, .limit = limit, .expander = context->context};
    int rc = expansion_begin(&e, payload, err);
    if (rc == WEIR_OK)
        rc = expand_frames(&e, payload, err);
    codec_give(context);
    if (rc == WEIR_OK)
        *out = (weir_chunk_t){weir_slice(e.buf->data, e.filled), e.buf};
    else
        buf_unref(e.buf);
    return rc;
}
