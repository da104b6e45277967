/* peer.h: one end of a stream of messages, for the load and the servers of the benches: framed as lines, with a length before them, or
 * as WebSocket messages.
 *
 * What is put waits in `out` until peer_send(): whoever is on the other side of weir is no bottleneck. With `per_frame` above 1 that
 * many messages at most share a frame (`length` alone), as those of a weir with `batch` do.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "net.h"
#include "wire.h"

#include <openssl/evp.h>

#define PEER_ROOM (1u << 20)
#define PEER_MESSAGE_MAX 4096u

typedef enum { FRAMING_NDJSON, FRAMING_LENGTH, FRAMING_WS } framing_t;

typedef struct {
    int rfd, wfd;
    framing_t framing;
    uint32_t per_frame;
    bool is_client; /* ws: the side that masks */
    bool is_over;   /* the other end has closed */
    char *in, *out;
    size_t in_from, in_to;   /* read, and not taken yet */
    size_t payload_end;      /* length: of the frame that is being taken apart; 0: none */
    size_t out_from, out_to; /* put, and not written yet */
    size_t frame_at;         /* length: where the open frame begins */
    uint32_t in_frame;       /* messages in it; 0: none is open */
} peer_t;

static inline framing_t framing_named(const char *name)
{
    return strcmp(name, "ws") == 0 ? FRAMING_WS : strcmp(name, "length") == 0 ? FRAMING_LENGTH : FRAMING_NDJSON;
}

static inline void peer_init(peer_t *p, int rfd, int wfd, framing_t framing, uint32_t per_frame)
{
    *p = (peer_t){.rfd = rfd, .wfd = wfd, .framing = framing, .per_frame = per_frame};
    p->in = malloc(PEER_ROOM);
    p->out = malloc(PEER_ROOM);
    if (p->in == NULL || p->out == NULL)
        die("malloc");
}

static inline void peer_free(peer_t *p)
{
    free(p->in);
    free(p->out);
    close(p->rfd);
    if (p->wfd != p->rfd)
        close(p->wfd);
}

/* ---- out ---- */

static inline bool peer_has_room(const peer_t *p)
{
    return PEER_ROOM - p->out_to >= PEER_MESSAGE_MAX + 16;
}

static inline void peer_seal(peer_t *p)
{
    size_t size = p->out_to - p->frame_at - 4;
    char head[4] = {(char)(size >> 24), (char)(size >> 16), (char)(size >> 8), (char)size};
    if (p->in_frame > 0)
        memcpy(p->out + p->frame_at, head, sizeof(head));
    p->in_frame = 0;
}

static inline void peer_put_frame_head(peer_t *p, size_t n)
{
    char *at = p->out + p->out_to;
    if (p->framing == FRAMING_LENGTH && p->in_frame == 0) {
        p->frame_at = p->out_to;
        p->out_to += 4;
    } else if (p->framing == FRAMING_LENGTH) {
        p->out[p->out_to++] = '\n';
    } else if (p->framing == FRAMING_WS) {
        size_t head = n < 126 ? 2 : 4;
        at[0] = (char)0x81;
        at[1] = (char)((n < 126 ? n : 126) | (p->is_client ? 0x80 : 0));
        at[2] = (char)(n >> 8);
        at[3] = (char)n;
        memset(at + head, 0, 4); /* a key of zeros leaves the bytes as they are */
        p->out_to += head + (p->is_client ? 4 : 0);
    }
}

static inline void peer_put(peer_t *p, const char *message, size_t n)
{
    peer_put_frame_head(p, n);
    memcpy(p->out + p->out_to, message, n);
    p->out_to += n;
    if (p->framing == FRAMING_NDJSON)
        p->out[p->out_to++] = '\n';
    if (p->framing == FRAMING_LENGTH && ++p->in_frame >= p->per_frame)
        peer_seal(p);
}

/* Write what has been put, as far as it goes now. */
static inline void peer_send(peer_t *p)
{
    peer_seal(p);
    while (p->out_from < p->out_to) {
        ssize_t n = write(p->wfd, p->out + p->out_from, p->out_to - p->out_from);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            p->is_over = true;
            break;
        }
        p->out_from += (size_t)n;
    }
    p->out_from = p->out_to = 0;
}

static inline bool peer_has_unsent(const peer_t *p)
{
    return p->out_from < p->out_to;
}

/* ---- in ---- */

/* Read once; false when there was nothing. */
static inline bool peer_fill(peer_t *p)
{
    if (p->in_from > 0) {
        memmove(p->in, p->in + p->in_from, p->in_to - p->in_from);
        p->payload_end -= p->payload_end > 0 ? p->in_from : 0;
        p->in_to -= p->in_from;
        p->in_from = 0;
    }
    ssize_t n = read(p->rfd, p->in + p->in_to, PEER_ROOM - p->in_to);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        p->is_over = true;
    if (n > 0)
        p->in_to += (size_t)n;
    return n > 0;
}

static inline bool peer_next_line(peer_t *p, size_t end, bool is_last_open, slice_t *message)
{
    const char *from = p->in + p->in_from;
    const char *lf = memchr(from, '\n', end - p->in_from);
    if (lf == NULL && !is_last_open)
        return false;
    size_t n = lf == NULL ? end - p->in_from : (size_t)(lf - from);
    *message = (slice_t){from, n};
    p->in_from += n + (lf != NULL);
    return true;
}

static inline bool peer_next_of_frame(peer_t *p, slice_t *message)
{
    while (p->in_from >= p->payload_end) {
        const unsigned char *head = (const unsigned char *)p->in + p->in_from;
        size_t have = p->in_to - p->in_from;
        size_t size = have < 4 ? 0 : (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        p->payload_end = 0;
        if (have < 4 || have - 4 < size)
            return false;
        p->in_from += 4;
        p->payload_end = p->in_from + size;
    }
    return peer_next_line(p, p->payload_end, true, message);
}

/* The answer to a ping; other control frames are passed over. */
static inline void peer_control(peer_t *p, unsigned char opcode, const char *at, size_t n)
{
    if (opcode != 9 || !peer_has_room(p))
        return;
    size_t begin = p->out_to;
    peer_put_frame_head(p, n);
    p->out[begin] = (char)0x8a;
    memcpy(p->out + p->out_to, at, n);
    p->out_to += n;
}

static inline bool peer_next_ws(peer_t *p, slice_t *message)
{
    for (;;) {
        unsigned char *head = (unsigned char *)p->in + p->in_from;
        size_t have = p->in_to - p->in_from, size = have < 4 ? 0 : head[1] & 0x7f, begin = 2;
        if (size == 126) {
            size = (size_t)head[2] << 8 | head[3];
            begin = 4;
        }
        bool is_masked = have >= 4 && (head[1] & 0x80) != 0;
        unsigned char *key = head + begin, *at = key + (is_masked ? 4 : 0);
        if (have < 2 || (have < 4 && (head[1] & 0x7f) > 0) || have < (size_t)(at - head) + size)
            return false;
        for (size_t i = 0; is_masked && i < size; i++)
            at[i] ^= key[i % 4];
        p->in_from += (size_t)(at - head) + size;
        *message = (slice_t){(const char *)at, size};
        if ((head[0] & 0x0f) == 1)
            return true;
        peer_control(p, head[0] & 0x0f, message->at, size);
    }
}

static inline bool peer_next(peer_t *p, slice_t *message)
{
    if (p->framing == FRAMING_LENGTH)
        return peer_next_of_frame(p, message);
    return p->framing == FRAMING_WS ? peer_next_ws(p, message) : peer_next_line(p, p->in_to, false, message);
}

/* ---- WebSocket's opening handshake: each side's half, waiting for the other's ---- */

static inline slice_t peer_await_head(peer_t *p)
{
    const char *end = NULL;
    while ((end = memmem(p->in, p->in_to, "\r\n\r\n", 4)) == NULL && !p->is_over)
        if (!peer_fill(p))
            usleep(1000);
    slice_t head = {p->in, end == NULL ? 0 : (size_t)(end - p->in) + 4};
    p->in_from = head.len;
    return head;
}

static inline void peer_ws_ask(peer_t *p)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: d2VpciBiZW5jaCBjbGllbg==\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Protocol: mcp\r\n\r\n";
    p->is_client = true;
    if (write(p->wfd, ask, sizeof(ask) - 1) != (ssize_t)sizeof(ask) - 1)
        die("write");
    slice_t head = peer_await_head(p);
    if (head.len < 12 || memcmp(head.at, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "no WebSocket: %.*s\n", (int)head.len, head.at);
        exit(1);
    }
}

static inline void peer_ws_answer(peer_t *p)
{
    static const char key_name[] = "Sec-WebSocket-Key: ", guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    slice_t head = peer_await_head(p);
    const char *key = memmem(head.at, head.len, key_name, sizeof(key_name) - 1);
    char text[24 + sizeof(guid)], accept[64], answer[256];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_n = 0;
    if (key == NULL)
        return;
    memcpy(text, key + sizeof(key_name) - 1, 24);
    memcpy(text + 24, guid, sizeof(guid));
    EVP_Digest(text, strlen(text), digest, &digest_n, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_n);
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mcp\r\n\r\n",
                     accept);
    if (write(p->wfd, answer, (size_t)n) != n)
        die("write");
}

#endif
