/* codec.c: see codec.h. A payload is expanded into a buffer that grows by doubling and never beyond the bound: what a bomb can
 * cost is fixed before it is touched.
 */
#include "codec.h"

#include <stdlib.h>

#include "buf.h"
#include "modules.h"
#include "proc.h"

/* A process has one context for each codec that it has expanded with. */
struct codecs {
    struct codecs *next;
    const weir_codec_t *codec;
    void *expander;
};

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

static void *expander_of(const weir_codec_t *codec, weir_error_t *err)
{
    for (struct codecs *c = proc->codecs; c != NULL; c = c->next)
        if (c->codec == codec)
            return c->expander;
    void *expander = codec->expander_new(err);
    struct codecs *c = expander == NULL ? NULL : malloc(sizeof(*c));
    if (c == NULL) {
        codec->expander_free(expander);
        if (expander != NULL)
            weir_error(err, "%s: no memory for a context", codec->name);
        return NULL;
    }
    *c = (struct codecs){proc->codecs, codec, expander};
    proc->codecs = c;
    return expander;
}

void codecs_free(struct codecs *codecs)
{
    while (codecs != NULL) {
        struct codecs *c = codecs;
        codecs = c->next;
        c->codec->expander_free(c->expander);
        free(c);
    }
}

typedef struct expansion {
    const weir_codec_t *codec;
    void *expander;
    size_t limit;
    weir_buf_t *buf;
    size_t filled;
} expansion_t;

static int expansion_too_large(const expansion_t *e, weir_error_t *err)
{
    return weir_error(err, "%s: holds more than max_message (%zu bytes); it was not expanded further", e->codec->name,
                      e->limit);
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
    do {
        if (!weir_slice_starts(in, e->codec->magic))
            return weir_error(err, "%s: %zu bytes after the end of the frame", e->codec->name, in.n);
        if (expand_frame(e, &in, err) != WEIR_OK)
            return WEIR_EFAIL;
    } while (in.n > 0);
    return WEIR_OK;
}

int codec_expand(const weir_codec_t *codec, weir_slice_t payload, size_t limit, weir_chunk_t *out, weir_error_t *err)
{
    expansion_t e = {.codec = codec, .limit = limit, .expander = expander_of(codec, err)};
    if (e.expander == NULL || expansion_begin(&e, payload, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (expand_frames(&e, payload, err) != WEIR_OK) {
        buf_unref(e.buf);
        return WEIR_EFAIL;
    }
    *out = (weir_chunk_t){weir_slice(e.buf->data, e.filled), e.buf};
    return WEIR_OK;
}
