/* socket.c: see ws.h. libwslay pulls bytes out of the stream and pushes frames into it; it checks what RFC 6455 asks (masking, order of
 * fragments, control frames, UTF-8) and answers pings and closes by itself.
 */
#include <openssl/rand.h>
#include <stdlib.h>

#include "ws.h"

/* ---- what wslay calls ---- */

static ssize_t rest_take(socket_t *s, uint8_t *buf, size_t len)
{
    size_t n = s->rest_n - s->rest_at < len ? s->rest_n - s->rest_at : len;
    memcpy(buf, s->rest->data + s->rest_at, n);
    s->rest_at += n;
    if (s->rest_at == s->rest_n) {
        s->host->buf_unref(s->rest);
        s->rest = NULL;
    }
    return (ssize_t)n;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    socket_t *s = user;
    (void)flags;
    if (s->rest != NULL && !s->is_paused)
        return rest_take(s, buf, len);
    long n = s->stream == NULL || s->is_paused ? WEIR_EAGAIN : s->host->stream_read(s->stream, (char *)buf, len);
    if (n > 0)
        return (ssize_t)n;
    s->is_eof = n != WEIR_EAGAIN;
    wslay_event_set_error(ctx, n == WEIR_EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
    socket_t *s = user;
    (void)flags;
    weir_chunk_t chunk = {.bytes = weir_slice((const char *)data, len)};
    int result = s->stream == NULL ? WEIR_ECLOSED : s->host->stream_write(s->stream, &chunk, 1);
    if (result == WEIR_ECLOSED) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    s->written = result;
    return (ssize_t)len;
}

/* Keys nobody can foresee, each used once; OpenSSL is asked for many at a time, as asking is what costs. */
static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user)
{
    socket_t *s = user;
    bool has_some = s->masks_at > 0 && s->masks_at + len <= sizeof(s->masks);
    if (!has_some && (len > sizeof(s->masks) || RAND_bytes(s->masks, sizeof(s->masks)) != 1)) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    s->masks_at = has_some ? s->masks_at : 0;
    memcpy(buf, s->masks + s->masks_at, len);
    s->masks_at += len;
    return 0;
}

/* False: the message is none, and the other end has been told. */
static bool socket_unpack(socket_t *s, weir_slice_t *text)
{
    bool is_too_large = false;
    *text =
        s->deflater == NULL ? weir_slice(NULL, 0) : deflater_unpack(s->deflater, *text, s->max_message, &is_too_large);
    if (text->p != NULL)
        return true;
    if (is_too_large)
        socket_close(s, CLOSE_TOO_LARGE, "a compressed message is larger than max_message");
    else
        socket_close(s, CLOSE_BAD_DATA, "a compressed message is broken");
    return false;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    socket_t *s = user;
    weir_slice_t text = weir_slice((const char *)arg->msg, arg->msg_length);
    (void)ctx;
    if (arg->opcode == WSLAY_PONG)
        s->is_awaited = false;
    if (s->stream == NULL || wslay_is_ctrl_frame(arg->opcode))
        return;
    if (arg->opcode != WSLAY_TEXT_FRAME) {
        socket_close(s, CLOSE_BAD_TYPE, "messages are text");
        return;
    }
    bool is_packed = wslay_get_rsv1(arg->rsv);
    if (!is_packed && s->deflater != NULL)
        deflater_passed(s->deflater, text.n);
    if (!is_packed || socket_unpack(s, &text))
        s->events->message(s->owner, text);
}

/* ---- life ---- */

static bool socket_keep_rest(socket_t *s, weir_slice_t rest)
{
    if (rest.n == 0)
        return true;
    s->rest = s->host->buf_new(rest.n);
    if (s->rest == NULL)
        return false;
    memcpy(s->rest->data, rest.p, rest.n);
    s->rest_n = rest.n;
    return true;
}

int socket_open(socket_t *s, const weir_host_t *host, weir_stream_t *stream, bool is_client, deflater_t *deflater,
                uint64_t max_message, const socket_events_t *events, void *owner, weir_slice_t rest)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .genmask_callback = on_mask,
                                                           .on_msg_recv_callback = on_message};
    *s = (socket_t){.host = host,
                    .stream = stream,
                    .deflater = deflater,
                    .max_message = max_message,
                    .events = events,
                    .owner = owner};
    int result = is_client ? wslay_event_context_client_init(&s->wslay, &callbacks, s)
                           : wslay_event_context_server_init(&s->wslay, &callbacks, s);
    if (result != 0 || !socket_keep_rest(s, rest)) {
        socket_free(s);
        return WEIR_EFAIL;
    }
    host->stream_gather(stream);
    wslay_event_config_set_max_recv_msg_length(s->wslay, max_message);
    if (deflater != NULL)
        wslay_event_config_set_allowed_rsv_bits(s->wslay, WSLAY_RSV1_BIT);
    return WEIR_OK;
}

void socket_forget(socket_t *s)
{
    s->stream = NULL;
}

void socket_free(socket_t *s)
{
    if (s->wslay != NULL)
        wslay_event_context_free(s->wslay);
    if (s->rest != NULL)
        s->host->buf_unref(s->rest);
    free(s->joined);
    *s = (socket_t){0};
}

/* ---- reading and writing ---- */

/* wslay answers what has to be answered, a broken protocol too, and then reads no more. */
int socket_read(socket_t *s)
{
    int result = wslay_event_recv(s->wslay);
    bool is_sent = s->stream == NULL || wslay_event_send(s->wslay) == 0;
    if (s->stream == NULL || s->is_eof || result != 0 || !is_sent || !wslay_event_get_read_enabled(s->wslay))
        return WEIR_ECLOSED;
    return WEIR_OK;
}

static int socket_send(socket_t *s, uint8_t opcode, weir_slice_t bytes, uint8_t rsv)
{
    struct wslay_event_msg msg = {.opcode = opcode, .msg = (const uint8_t *)bytes.p, .msg_length = bytes.n};
    s->written = WEIR_OK;
    if (wslay_event_queue_msg_ex(s->wslay, &msg, rsv) != 0 || wslay_event_send(s->wslay) != 0)
        return WEIR_ECLOSED;
    return s->written;
}

/* The parts as one piece of memory; an empty slice when there is none. */
static weir_slice_t socket_join(socket_t *s, const weir_chunk_t *parts, size_t n)
{
    size_t size = 0, at = 0;
    if (n == 1)
        return parts[0].bytes;
    for (size_t i = 0; i < n; i++)
        size += parts[i].bytes.n;
    if (size > s->joined_size) {
        char *joined = realloc(s->joined, size);
        if (joined == NULL)
            return weir_slice(NULL, 0);
        s->joined = joined;
        s->joined_size = size;
    }
    for (size_t i = 0; i < n; i++) {
        if (parts[i].bytes.n > 0)
            memcpy(s->joined + at, parts[i].bytes.p, parts[i].bytes.n);
        at += parts[i].bytes.n;
    }
    return weir_slice(s->joined, size);
}

int socket_write(socket_t *s, const weir_chunk_t *parts, size_t n)
{
    weir_slice_t text = s->stream == NULL ? weir_slice(NULL, 0) : socket_join(s, parts, n);
    if (text.p == NULL)
        return WEIR_ECLOSED;
    weir_slice_t packed = s->deflater == NULL ? weir_slice(NULL, 0) : deflater_pack(s->deflater, text);
    if (packed.n > 0)
        return socket_send(s, WSLAY_TEXT_FRAME, packed, WSLAY_RSV1_BIT);
    return socket_send(s, WSLAY_TEXT_FRAME, text, WSLAY_RSV_NONE);
}

void socket_close(socket_t *s, uint16_t code, const char *why)
{
    if (s->stream == NULL || wslay_event_get_close_sent(s->wslay))
        return;
    if (wslay_event_queue_close(s->wslay, code, (const uint8_t *)why, strlen(why)) == 0)
        (void)wslay_event_send(s->wslay); /* the stream is closed next, in any case */
    wslay_event_shutdown_read(s->wslay);
}

bool socket_ping(socket_t *s)
{
    if (s->is_awaited)
        return false;
    s->is_awaited = true;
    return socket_send(s, WSLAY_PING, weir_slice("weir", 4), WSLAY_RSV_NONE) != WEIR_ECLOSED;
}
