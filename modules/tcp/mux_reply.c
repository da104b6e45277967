/* mux_reply.c: the way back over a link between two weirs, at the inner one: what answers an exchange becomes HEAD, DATA, END and FAIL.
 *
 * A reply's head is made in house.out and waits there for the bytes that follow it, so that a short answer is one record. Messages of
 * servers over streams become what an HTTP server would have said: a JSON body, or events.
 */
#include "mux_room.h"

/* A message is given to the lane in this many parts at most. */
#define PARTS_MAX WEIR_LANE_PARTS

static size_t bytes_of(const weir_chunk_t *chunks, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].bytes.n;
    return bytes;
}

/* ---- writing ---- */

static int record_write(mux_channel_t *c, weir_slice_t begin, const weir_chunk_t *chunks, size_t n)
{
    weir_chunk_t parts[PARTS_MAX] = {{.bytes = begin}};
    size_t bytes = bytes_of(chunks, n), count = 1;
    for (size_t i = 0; i < n; i++)
        if (chunks[i].bytes.n > 0)
            parts[count++] = chunks[i];
    int result = frames_write(&c->link->frames, parts, count, c->number);
    c->under_way += bytes;
    if (c->left > 0)
        c->left -= (int64_t)bytes;
    if (c->ex != NULL && bytes > 0)
        c->link->house->host->exchange_sent(c->ex, bytes);
    return result;
}

/* The head that waits for this channel, if one does, and these bytes. */
static int body_write(mux_channel_t *c, const weir_chunk_t *chunks, size_t n)
{
    static const char data = MUX_DATA;
    mux_house_t *house = c->link->house;
    if (house->out_of == c) {
        house->out_of = NULL;
        c->has_begun = true;
        return record_write(c, weir_slice(house->out.p, house->out.n), chunks, n);
    }
    return bytes_of(chunks, n) == 0 ? WEIR_OK : record_write(c, weir_slice(&data, 1), chunks, n);
}

/* A record that is longer than the other weir takes is cut; what is left of a piece comes with the next. */
static int body_cut(mux_channel_t *c, weir_slice_t bytes, weir_buf_t *buf)
{
    int result = WEIR_OK;
    do {
        size_t n = bytes.n < c->link->max_message ? bytes.n : (size_t)c->link->max_message;
        weir_chunk_t piece = {weir_slice(bytes.p, n), buf};
        result = body_write(c, &piece, 1);
        bytes = weir_slice(bytes.p + n, bytes.n - n);
    } while (bytes.n > 0 && result != WEIR_ECLOSED);
    return result;
}

/* Whoever reads what is answered stops at the window, or while the whole link is full. */
static int channel_state(mux_channel_t *c, int result)
{
    mux_link_t *link = c->link;
    bool was_full = c->is_full;
    link->is_full = link->is_full || result == WEIR_EFULL;
    c->is_full = c->is_full || link->is_full || c->under_way >= link->window;
    mux_count(link->house, MUX_STALLED, c->is_full && !was_full && c->left != 0);
    return c->is_full ? WEIR_EFULL : WEIR_OK;
}

static int body_out(mux_channel_t *c, const weir_chunk_t *chunks, size_t n)
{
    int result = WEIR_OK;
    if (bytes_of(chunks, n) > c->link->max_message) {
        for (size_t i = 0; i < n && result != WEIR_ECLOSED; i++)
            result = body_cut(c, chunks[i].bytes, chunks[i].buf);
        return channel_state(c, result);
    }
    if (n == 0) /* the head alone */
        result = body_write(c, NULL, 0);
    while (n > 0 && result != WEIR_ECLOSED) {
        size_t some = n < PARTS_MAX - 1 ? n : PARTS_MAX - 1;
        result = body_write(c, chunks, some);
        chunks += some;
        n -= some;
    }
    return channel_state(c, result);
}

/* ---- heads ---- */

static bool is_event_stream(weir_slice_t type)
{
    static const char events[] = "text/event-stream";
    size_t n = sizeof(events) - 1;
    return type.n >= n && weir_slice_ieq(weir_slice(type.p, n), weir_slice(events, n));
}

/* A head that does not fit is larger than any server may send. */
static void head_too_large(mux_channel_t *c)
{
    mux_house_t *house = c->link->house;
    weir_reply_t reply = {.status = 502};
    house->host->log(WEIR_LOG_ERROR, "tcp: a reply's head does not fit into %d bytes", (int)MUX_HEAD_ROOM);
    house->out.n = 0;
    house->out.is_over = false;
    mux_out_reply(&house->out, &reply);
}

static void head_make(mux_channel_t *c, const weir_reply_t *reply)
{
    mux_house_t *house = c->link->house;
    mux_channel_t *other = house->out_of;
    if (other != NULL)
        (void)body_write(other, NULL, 0);
    house->out.n = 0;
    house->out.is_over = false;
    mux_out_reply(&house->out, reply);
    if (house->out.is_over)
        head_too_large(c);
    house->out_of = c;
    c->left = reply->has_body ? reply->content_length : 0;
    weir_slice_t type =
        reply->head == NULL ? reply->content_type : weir_head_value(reply->head, WEIR_FIELD_CONTENT_TYPE);
    c->is_events = is_event_stream(type);
    mux_channel_release_head(c);
}

int mux_reply_head(weir_exchange_t *ex, const weir_reply_t *reply)
{
    mux_channel_t *c = ex->client;
    head_make(c, reply);
    /* A stream of weir's own may be silent for long: its client waits for the head. */
    int result = reply->head == NULL && c->is_events ? body_write(c, NULL, 0) : WEIR_OK;
    return channel_state(c, result);
}

/* ---- bodies ---- */

int mux_reply_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    return body_out(ex->client, chunks, n);
}

/* The last byte of a body whose length was told says that it is the last. */
static void channel_end(mux_channel_t *c)
{
    if (c->link->house->out_of == c)
        (void)body_write(c, NULL, 0);
    if (c->left != 0)
        (void)mux_write_word(&c->link->frames, c->number, MUX_END);
    mux_channel_close(c);
}

void mux_reply_end(weir_exchange_t *ex)
{
    channel_end(ex->client);
}

void mux_fail(weir_exchange_t *ex, const weir_failure_t *failure)
{
    mux_channel_t *c = ex->client;
    mux_house_t *house = c->link->house;
    char room[2 * 10 + 1];
    mux_out_t out = {.p = room, .size = sizeof(room)};
    if (house->out_of == c)
        house->out_of = NULL; /* the other weir has seen nothing yet and can still tell it whole */
    mux_out_byte(&out, MUX_FAIL);
    mux_out_number(&out, (uint64_t)failure->reason);
    mux_out_number(&out, failure->retry_after_s);
    weir_chunk_t parts[2] = {{.bytes = weir_slice(out.p, out.n)}, {.bytes = failure->text}};
    if (!c->has_begun || c->left != 0) /* otherwise its last byte has gone */
        (void)frames_write(&c->link->frames, parts, failure->text.n > 0 ? 2 : 1, c->number);
    mux_channel_close(c);
}

/* ---- messages ---- */

/* In JSON a line break stands between tokens only, where a space says the same. */
static weir_buf_t *one_line(const mux_house_t *house, const weir_chunk_t *parts, size_t n, weir_chunk_t *line)
{
    weir_buf_t *buf = house->host->buf_new(bytes_of(parts, n));
    if (buf == NULL)
        return NULL;
    char *p = buf->data;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i].bytes.n; k++, p++)
            *p = parts[i].bytes.p[k] == '\n' || parts[i].bytes.p[k] == '\r' ? ' ' : parts[i].bytes.p[k];
    *line = (weir_chunk_t){weir_slice(buf->data, (size_t)(p - buf->data)), buf};
    return buf;
}

static bool has_line_break(const weir_chunk_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].bytes.n > 0 && (memchr(parts[i].bytes.p, '\n', parts[i].bytes.n) != NULL ||
                                     memchr(parts[i].bytes.p, '\r', parts[i].bytes.n) != NULL))
            return true;
    return false;
}

static int event_out_parts(mux_channel_t *c, const weir_chunk_t *parts, size_t n, weir_slice_t id)
{
    weir_chunk_t all[2 * PARTS_MAX];
    size_t count = 0;
    if (id.n > 0) {
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("id: ")};
        all[count++] = (weir_chunk_t){.bytes = id};
        all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("\n")};
    }
    all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("data: ")};
    for (size_t i = 0; i < n; i++)
        all[count++] = parts[i];
    all[count++] = (weir_chunk_t){.bytes = WEIR_LIT("\n\n")};
    return body_out(c, all, count);
}

static int event_out(mux_channel_t *c, const weir_chunk_t *parts, size_t n, weir_slice_t id)
{
    weir_chunk_t line;
    if (n <= PARTS_MAX && !has_line_break(parts, n))
        return event_out_parts(c, parts, n, id);
    weir_buf_t *buf = one_line(c->link->house, parts, n, &line);
    if (buf == NULL)
        return WEIR_EFAIL;
    int result = event_out_parts(c, &line, 1, id);
    c->link->house->host->buf_unref(buf);
    return result;
}

/* The answer, before anything else was sent, is a JSON body; whatever comes before it makes a stream of events of the reply. */
int mux_reply_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    mux_channel_t *c = ex->client;
    mux_house_t *house = c->link->house;
    bool is_begun = c->has_begun || house->out_of == c;
    bool is_plain = !is_begun && is_final && ex->verb == WEIR_VERB_MESSAGE;
    if (!is_begun) {
        weir_reply_t reply = {
            .status = ex->reply_status == 0 || !is_plain ? 200 : ex->reply_status,
            .session_token = ex->session_grant,
            .content_type = is_plain ? WEIR_LIT("application/json") : WEIR_LIT("text/event-stream"),
            .content_length = is_plain ? (int64_t)bytes_of(parts, n) : -1,
            .has_body = true,
        };
        head_make(c, &reply);
    }
    int result = is_plain ? body_out(c, parts, n) : event_out(c, parts, n, event_id);
    if (result == WEIR_EFAIL) {
        house->host->exchange_fail(ex, WEIR_REASON_INTERNAL, "tcp: no memory for an event of %zu bytes",
                                   bytes_of(parts, n));
        return WEIR_OK;
    }
    if (is_final)
        channel_end(c);
    return result;
}
