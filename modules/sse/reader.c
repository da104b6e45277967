/* reader.c: a reply of a server: its head, then its body in pieces, whatever way it is framed (RFC 9112 6.3). */
#include "link.h"

void reader_begin(reader_t *r, target_t *target)
{
    weir_buf_t *buf = r->buf;
    uint32_t from = r->from, to = r->to;
    *r = (reader_t){.target = target, .buf = buf, .from = from, .to = to};
}

void reader_free(reader_t *r)
{
    if (r->target != NULL)
        r->target->host->buf_unref(r->buf);
    r->buf = NULL;
    r->from = r->to = 0;
}

/* What is there is moved to the beginning, into a larger buffer when it fills this one: a head that has not come whole. */
static bool reader_has_room(reader_t *r)
{
    const weir_host_t *host = r->target->host;
    uint32_t n = r->to - r->from;
    if (r->buf != NULL && r->to < r->buf->size)
        return true;
    weir_buf_t *buf = host->buf_new(r->buf == NULL || n < r->buf->size ? 0 : r->target->options->max_head + 1);
    if (buf == NULL || n >= buf->size) {
        host->buf_unref(buf);
        return false;
    }
    if (n > 0)
        memcpy(buf->data, r->buf->data + r->from, n);
    host->buf_unref(r->buf);
    r->buf = buf;
    r->from = 0;
    r->to = n;
    return true;
}

long reader_fill(reader_t *r, weir_stream_t *stream)
{
    if (!reader_has_room(r))
        return WEIR_EFAIL;
    long n = r->target->host->stream_read(stream, r->buf->data + r->to, r->buf->size - r->to);
    if (n > 0)
        r->to += (uint32_t)n;
    else if (r->from == r->to)
        reader_free(r);
    return n;
}

static reading_t broken(const char **why, const char *how)
{
    *why = how;
    return READING_BROKEN;
}

static reader_state_t body_state(reader_t *r, const weir_head_t *head)
{
    r->is_keep = head->is_keep_alive;
    r->left = 0;
    if (head->status == 204 || head->status == 304)
        return READER_LENGTH;
    if (head->is_chunked)
        return READER_CHUNKED;
    if (head->content_length >= 0) {
        r->left = (uint64_t)head->content_length;
        return READER_LENGTH;
    }
    r->is_keep = false;
    return READER_CLOSE;
}

static reading_t one_head(reader_t *r, const char **why)
{
    target_t *t = r->target;
    size_t used = 0;
    uint32_t n = r->to - r->from;
    weir_parse_t parsed =
        n == 0 ? WEIR_PARSE_MORE : t->host->http_reply(r->buf->data + r->from, n, r->seen, &t->head, &used);
    r->seen = n;
    if ((parsed == WEIR_PARSE_MORE ? n : parsed == WEIR_PARSE_DONE ? used : 0) > t->options->max_head)
        return broken(why, "the head of its reply is larger than max_head");
    if (parsed == WEIR_PARSE_MORE)
        return READING_MORE;
    if (parsed != WEIR_PARSE_DONE)
        return broken(why, "its reply is not HTTP/1.1");
    r->from += (uint32_t)used;
    r->seen = 0;
    if (t->head.status == 101)
        return broken(why, "it switched protocols, which nobody asked for");
    if (t->head.status < 200)
        return READING_HEAD;
    r->state = (uint8_t)body_state(r, &t->head);
    return READING_HEAD;
}

/* What a server says before its reply (1xx) is read over. */
static reading_t head_next(reader_t *r, const char **why)
{
    reading_t reading;
    do
        reading = one_head(r, why);
    while (reading == READING_HEAD && r->state == READER_HEAD);
    return reading;
}

static reading_t length_next(reader_t *r, weir_slice_t *bytes)
{
    uint32_t n = r->to - r->from;
    if (r->left == 0) {
        r->state = READER_ENDED;
        return READING_END;
    }
    if (n == 0)
        return READING_MORE;
    if (n > r->left)
        n = (uint32_t)r->left;
    *bytes = weir_slice(r->buf->data + r->from, n);
    r->from += n;
    r->left -= n;
    return READING_BYTES;
}

static reading_t chunked_next(reader_t *r, weir_slice_t *bytes, const char **why)
{
    while (!r->chunked.is_done) {
        size_t used = 0;
        *bytes = weir_slice(NULL, 0);
        if (r->from == r->to)
            return READING_MORE;
        if (r->target->host->http_chunked(&r->chunked, r->buf->data + r->from, r->to - r->from, &used, bytes) ==
            WEIR_EFAIL)
            return broken(why, "the chunked coding of its reply is broken");
        r->from += (uint32_t)used;
        if (bytes->n > 0)
            return READING_BYTES;
        if (used == 0)
            return READING_MORE;
    }
    r->state = READER_ENDED;
    return READING_END;
}

static reading_t close_next(reader_t *r, weir_slice_t *bytes)
{
    if (r->from == r->to)
        return READING_MORE;
    *bytes = weir_slice(r->buf->data + r->from, r->to - r->from);
    r->from = r->to;
    return READING_BYTES;
}

reading_t reader_next(reader_t *r, weir_slice_t *bytes, const char **why)
{
    switch (r->state) {
    case READER_HEAD:
        return head_next(r, why);
    case READER_LENGTH:
        return length_next(r, bytes);
    case READER_CHUNKED:
        return chunked_next(r, bytes, why);
    case READER_CLOSE:
        return close_next(r, bytes);
    default:
        return READING_END;
    }
}

bool reader_is_whole_at_end(const reader_t *r)
{
    return r->state == READER_CLOSE || r->state == READER_ENDED;
}

bool reader_has_more(const reader_t *r)
{
    return r->from < r->to;
}
