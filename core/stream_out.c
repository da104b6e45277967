/* stream_out.c: the writing half of a stream: what the kernel does not take at once waits here, in order, and goes when it can.
 *
 * The queue exists only while something is queued; it owns a reference to each chunk's buffer. Chunks that came without one
 * are copied into buffers of ours, small ones one behind the other. Above 0.8 of the stream's limit the writer is told to
 * wait (WEIR_EFULL), below 0.3 to go on (`drained`). Between, a writer that stops and starts does so rarely.
 *
 * A stream that gathers puts what is small into the queue first, and asks the kernel once, at the end of the turn: many messages, one
 * system call.
 */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "buf.h"
#include "proc.h"
#include "stream_inside.h"
#include "tls.h"

#define IOV_MOST 64
#define RECORD_BYTES 16384u /* the largest TLS record */
#define DIRECT_BYTES 4096u  /* from here on a chunk makes a record of its own; smaller ones are joined */

/* Several chunks seen as one run of bytes, `skip` of which are done. */
struct run {
    const weir_chunk_t *chunks;
    size_t n, skip;
};

static struct run run_after(struct run run, size_t done)
{
    run.skip += done;
    while (run.n > 0 && run.skip >= run.chunks->bytes.n) {
        run.skip -= run.chunks->bytes.n;
        run.chunks++;
        run.n--;
    }
    return run;
}

static weir_slice_t run_piece(struct run run, size_t i)
{
    weir_slice_t piece = run.chunks[i].bytes;
    return i > 0 ? piece : weir_slice(piece.p + run.skip, piece.n - run.skip);
}

/* Hand bytes to the kernel once. Returns how many it took, 0 when it takes none now, WEIR_EFAIL. */
static long push_plain(weir_stream_t *s, struct run run, weir_error_t *err)
{
    struct iovec iov[IOV_MOST];
    size_t n = run.n < IOV_MOST ? run.n : IOV_MOST;
    for (size_t i = 0; i < n; i++) {
        weir_slice_t piece = run_piece(run, i);
        iov[i] = (struct iovec){.iov_base = (char *)piece.p, .iov_len = piece.n};
    }
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t taken;
    do
        taken = s->is_pipes ? writev(s->wfd, iov, (int)n) : sendmsg(s->wfd, &message, MSG_NOSIGNAL);
    while (taken < 0 && errno == EINTR);
    if (taken >= 0)
        return taken;
    if (errno == EAGAIN)
        return 0;
    return weir_error(err, "while writing: %s", strerror(errno));
}

/* The bytes of the next record: a large piece as it is, small ones joined in `scratch`. After a retry always joined from the
 * start, because OpenSSL wants to see at least as many bytes as it saw before, and the chunks may lie differently now. */
static weir_slice_t next_record(struct run run, bool is_retry, char scratch[RECORD_BYTES])
{
    weir_slice_t piece = run_piece(run, 0);
    if (!is_retry && (piece.n >= DIRECT_BYTES || run.n == 1))
        return piece;
    size_t used = 0;
    for (size_t i = 0; i < run.n && used < RECORD_BYTES; i++) {
        piece = run_piece(run, i);
        size_t n = piece.n < RECORD_BYTES - used ? piece.n : RECORD_BYTES - used;
        if (n > 0)
            memcpy(scratch + used, piece.p, n);
        used += n;
    }
    return weir_slice(scratch, used);
}

static long push_tls(weir_stream_t *s, struct run run, bool *is_retry, weir_error_t *err)
{
    char scratch[RECORD_BYTES];
    weir_slice_t record = next_record(run, *is_retry, scratch);
    size_t taken = 0;
    ERR_clear_error();
    errno = 0;
    if (SSL_write_ex(s->ssl, record.p, record.n, &taken) == 1) {
        *is_retry = false;
        return (long)taken;
    }
    int ssl_error = SSL_get_error(s->ssl, 0);
    if (ssl_error == SSL_ERROR_WANT_WRITE || ssl_error == SSL_ERROR_WANT_READ) {
        *is_retry = true;
        return 0;
    }
    char reason[256];
    tls_reason(s->ssl, ssl_error, reason, sizeof(reason));
    return weir_error(err, "while writing: %s", reason);
}

/* Hand over as much as the kernel takes. Returns how many bytes, or WEIR_EFAIL. */
static long push_all(weir_stream_t *s, struct run run, bool *is_retry, weir_error_t *err)
{
    long total = 0;
    for (run = run_after(run, 0); run.n > 0;) {
        long taken = s->ssl == NULL ? push_plain(s, run, err) : push_tls(s, run, is_retry, err);
        if (taken < 0)
            return taken;
        if (taken == 0)
            break;
        total += taken;
        s->taken_bytes += (uint64_t)taken;
        run = run_after(run, (size_t)taken);
    }
    return total;
}

/* ---- the queue */

/* A stream that gathers has a queue in every turn in which it writes: some are kept for the next one, with their room for chunks. */
#define SPARES_MAX 16
#define SPARE_ROOM_MAX 64u

static struct out *spares[SPARES_MAX];
static size_t nspares;

static struct out *out_take(void)
{
    if (nspares == 0)
        return calloc(1, sizeof(struct out));
    struct out *out = spares[--nspares];
    *out = (struct out){.chunks = out->chunks, .room = out->room};
    return out;
}

static void out_give_back(struct out *out)
{
    if (nspares < SPARES_MAX && out->room <= SPARE_ROOM_MAX) {
        spares[nspares++] = out;
        return;
    }
    free(out->chunks);
    free(out);
}

void out_free(weir_stream_t *s)
{
    struct out *out = s->out;
    if (out == NULL)
        return;
    ev_io_stop(proc->loop, &out->writable);
    timer_stop(&out->leave);
    for (uint32_t i = out->first; i < out->count; i++)
        buf_unref(out->chunks[i].buf);
    out_give_back(out);
    s->out = NULL;
}

/* Room for one more chunk, at the end of the array: first by moving to its front, then by growing. */
static weir_chunk_t *new_chunk(struct out *out)
{
    if (out->count == out->room && out->first > out->room / 2) {
        memmove(out->chunks, out->chunks + out->first, (out->count - out->first) * sizeof(*out->chunks));
        out->count -= out->first;
        out->first = 0;
    }
    if (out->count == out->room) {
        uint32_t room = out->room > 0 ? out->room * 2 : 8;
        weir_chunk_t *chunks = realloc(out->chunks, room * sizeof(*chunks));
        if (chunks == NULL)
            return NULL;
        out->chunks = chunks;
        out->room = room;
    }
    return &out->chunks[out->count++];
}

static int queue_chunk(struct out *out, weir_slice_t bytes, weir_buf_t *buf)
{
    weir_chunk_t *chunk = new_chunk(out);
    if (chunk == NULL)
        return WEIR_EFAIL;
    *chunk = (weir_chunk_t){.bytes = bytes, .buf = buf};
    out->bytes += bytes.n;
    out->spare = 0;
    return WEIR_OK;
}

/* Behind the last chunk, when that lies in a buffer of ours with room left. */
static size_t copy_into_spare(struct out *out, weir_slice_t bytes)
{
    size_t n = bytes.n < out->spare ? bytes.n : out->spare;
    if (n == 0)
        return 0;
    weir_slice_t *last = &out->chunks[out->count - 1].bytes;
    memcpy((char *)last->p + last->n, bytes.p, n);
    last->n += n;
    out->spare -= n;
    out->bytes += n;
    return n;
}

static int queue_copy(struct out *out, weir_slice_t bytes)
{
    size_t done = copy_into_spare(out, bytes);
    bytes = weir_slice(bytes.p + done, bytes.n - done);
    if (bytes.n == 0)
        return WEIR_OK;
    weir_buf_t *buf = buf_new(bytes.n);
    if (buf == NULL)
        return WEIR_EFAIL;
    memcpy(buf->data, bytes.p, bytes.n);
    if (queue_chunk(out, weir_slice(buf->data, bytes.n), buf) != WEIR_OK) {
        buf_unref(buf);
        return WEIR_EFAIL;
    }
    out->spare = buf->size - bytes.n;
    return WEIR_OK;
}

static int queue_run(struct out *out, struct run run)
{
    for (size_t i = 0; i < run.n; i++) {
        weir_slice_t piece = run_piece(run, i);
        weir_buf_t *buf = run.chunks[i].buf;
        if (piece.n == 0)
            continue;
        if (buf == NULL) {
            if (queue_copy(out, piece) != WEIR_OK)
                return WEIR_EFAIL;
        } else {
            if (queue_chunk(out, piece, buf) != WEIR_OK)
                return WEIR_EFAIL;
            buf_ref(buf);
        }
    }
    return WEIR_OK;
}

static void drop_written(struct out *out, size_t n)
{
    out->bytes -= n;
    while (n > 0) {
        weir_chunk_t *chunk = &out->chunks[out->first];
        if (n < chunk->bytes.n) {
            chunk->bytes = weir_slice(chunk->bytes.p + n, chunk->bytes.n - n);
            return;
        }
        n -= chunk->bytes.n;
        buf_unref(chunk->buf);
        out->first++;
    }
}

/* Behind what is there. */
static int queue(weir_stream_t *s, struct run run, weir_error_t *err)
{
    if (s->out == NULL)
        s->out = out_take();
    if (s->out == NULL || queue_run(s->out, run) != WEIR_OK)
        return weir_error(err, "out of memory for what is to be written");
    return WEIR_OK;
}

int out_queue(weir_stream_t *s, const weir_chunk_t *chunks, size_t n, weir_error_t *err)
{
    return queue(s, (struct run){.chunks = chunks, .n = n}, err);
}

/* ---- writing */

long out_flush(weir_stream_t *s, weir_error_t *err)
{
    struct out *out = s->out;
    struct run run = {.chunks = out->chunks + out->first, .n = out->count - out->first};
    long written = push_all(s, run, &out->is_retry, err);
    if (written > 0)
        drop_written(out, (size_t)written);
    return written;
}

int out_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n, weir_error_t *err)
{
    struct run run = run_after((struct run){.chunks = chunks, .n = n}, 0);
    bool is_first = s->out == NULL, is_retry = false;
    if (s->state == STREAM_OPEN && is_first) {
        long written = push_all(s, run, &is_retry, err);
        if (written < 0)
            return WEIR_EFAIL;
        run = run_after(run, (size_t)written);
    }
    if (run.n == 0)
        return WEIR_OK;
    if (queue(s, run, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (is_first)
        s->out->is_retry = is_retry;
    if ((double)s->out->bytes >= 0.8 * (double)s->limit_bytes)
        s->out->is_full = true;
    return s->out->is_full ? WEIR_EFULL : WEIR_OK;
}
