/* stream_end.h: one end of a stream, and what it has heard. */
#ifndef T_STREAM_END_H
#define T_STREAM_END_H

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "stream.h"
#include "target.h"

struct end {
    weir_stream_t *stream;
    char *bytes;
    size_t n, size, read_size;
    int connected, ended, failed, drained, broken, readable;
    bool closes_when_readable, closes_when_drained, keeps_quiet;
    char why[512];
};

static inline void close_end(struct end *end)
{
    if (end->stream != NULL)
        stream_close(end->stream);
    end->stream = NULL;
}

static inline void on_connected(void *owner)
{
    ((struct end *)owner)->connected++;
}

static inline void on_readable(void *owner)
{
    struct end *end = owner;
    end->readable++;
    if (end->closes_when_readable) {
        close_end(end);
        return;
    }
    if (end->keeps_quiet)
        return;
    if (end->size < end->n + 65536)
        end->bytes = realloc(end->bytes, end->size = 2 * end->n + 65536);
    long n = stream_read(end->stream, end->bytes + end->n, end->read_size > 0 ? end->read_size : 65536);
    if (n > 0)
        end->n += (size_t)n;
    end->ended += n == 0;
    end->failed += n == WEIR_EFAIL;
}

static inline void on_drained(void *owner)
{
    struct end *end = owner;
    end->drained++;
    if (end->closes_when_drained)
        close_end(end);
}

static inline void on_broken(void *owner, const char *why)
{
    struct end *end = owner;
    end->broken++;
    snprintf(end->why, sizeof(end->why), "%s", why);
    close_end(end);
}

static const weir_stream_events_t events = {on_connected, on_readable, on_drained, on_broken};

static inline void own(struct end *end, weir_stream_t *stream)
{
    assert_non_null(stream);
    end->stream = stream;
    stream_own(stream, &events, end);
}

static inline void drop(struct end *end)
{
    close_end(end);
    free(end->bytes);
    *end = (struct end){0};
}

static inline void make_pair(struct end *a, struct end *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    own(a, stream_fd(fds[0], NULL));
    own(b, stream_fd(fds[1], NULL));
}

static inline int write_text(struct end *end, const char *text)
{
    weir_chunk_t chunk = {.bytes = weir_slice_str(text)};
    return stream_write(end->stream, &chunk, 1);
}

/* Bytes of which each tells its place. */
static inline char pattern_at(size_t i)
{
    return (char)(i * 31 + (i >> 10));
}

static inline weir_buf_t *pattern(size_t n)
{
    weir_buf_t *buf = buf_new(n);
    for (size_t i = 0; i < n; i++)
        buf->data[i] = pattern_at(i);
    return buf;
}

static inline void assert_pattern(const struct end *end, size_t n)
{
    assert_int_equal(end->n, n);
    for (size_t i = 0; i < n; i++)
        if (end->bytes[i] != pattern_at(i))
            fail_msg("byte %zu of %zu is wrong", i, n);
}

static inline int write_pattern(struct end *end, size_t n)
{
    weir_buf_t *buf = pattern(n);
    weir_chunk_t chunk = {.bytes = weir_slice(buf->data, n), .buf = buf};
    int result = stream_write(end->stream, &chunk, 1);
    buf_unref(buf);
    return result;
}

static inline void dial(struct end *end, const char *host, uint16_t port, uint64_t timeout_ms)
{
    weir_error_t err = {""};
    struct target *target =
        target_new(host, port, false, &(weir_reach_t){.verify = true, .connect_timeout_ms = timeout_ms}, &err);
    if (target == NULL)
        fail_msg("%s", err.text);
    end->stream = stream_connect_target(target, &events, end, &err);
    assert_non_null(end->stream);
    target_free(target);
}

#endif
