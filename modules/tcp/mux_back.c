/* mux_back.c: the way back over a link between two weirs, at the edge: what the inner weir's records say becomes the reply of the exchange
 * whose channel they name. An error is the link's: its owner (mux_connect.c) closes it. */
#include "mux_channel.h"

#define REASON_OF(number) ((number) < WEIR_REASONS && (number) > 0 ? (weir_reason_t)(number) : WEIR_REASON_BAD_REPLY)

/* The other weir goes on without credit: no queue may grow for it. */
static bool channel_overruns(const channel_t *ch)
{
    const conn_t *c = ch->conn;
    return ch->is_held && ch->taken > c->window + c->link->server->upstream->max_message + MUX_BESIDE;
}

/* The channel has had its last record. */
static void channel_end(channel_t *ch)
{
    const weir_host_t *host = ch->conn->target->host;
    weir_exchange_t *ex = ch->ex;
    bool is_whole = ch->is_headed && ch->left <= 0;
    channel_give_back(ch);
    if (ex == NULL)
        return;
    if (is_whole)
        host->reply_end(ex);
    else
        host->exchange_fail(ex, WEIR_REASON_BAD_REPLY, "%s: the reply from the other weir is not whole",
                            ex->upstream->name);
}

/* Whether the channel still answers this exchange, after the host was told something. */
static bool is_at_work(const conn_t *c, const channel_t *ch, const weir_exchange_t *ex)
{
    return c->link != NULL && ch->ex == ex && ex != NULL;
}

static void body_in(conn_t *c, channel_t *ch, weir_slice_t bytes, weir_buf_t *buf)
{
    const weir_host_t *host = c->target->host;
    weir_exchange_t *ex = ch->ex;
    weir_chunk_t chunk = {bytes, buf};
    if (ch->left >= 0)
        ch->left -= (int64_t)bytes.n;
    ch->taken += bytes.n;
    if (ex != NULL)
        (void)host->reply_bytes(ex, &chunk, bytes.n > 0);
    if (c->link == NULL)
        return;
    if (ch->left == 0)
        channel_end(ch);
    else if (is_at_work(c, ch, ex) && channel_overruns(ch))
        host->exchange_fail(ex, WEIR_REASON_BAD_REPLY, "%s: the other weir sends more than window (%llu bytes)",
                            ex->upstream->name, (unsigned long long)c->window);
    else
        channel_credit(ch);
}

static int on_head(conn_t *c, channel_t *ch, mux_in_t *in, weir_buf_t *buf, weir_error_t *err)
{
    weir_head_t *head = &c->target->head;
    weir_exchange_t *ex = ch->ex;
    if (mux_in_reply(in, head, err) != WEIR_OK)
        return WEIR_EFAIL;
    ch->is_headed = true;
    ch->left = head->content_length;
    if (ch->left >= 0 && in->rest.n > (uint64_t)ch->left)
        return weir_error(err, "a reply is longer than its head says");
    if (ex != NULL) {
        ch->state = CHANNEL_REPLYING;
        (void)c->target->host->reply_head(ex, head);
    }
    if (c->link != NULL)
        body_in(c, ch, in->rest, buf);
    return WEIR_OK;
}

static int on_data(conn_t *c, channel_t *ch, mux_in_t *in, weir_buf_t *buf, weir_error_t *err)
{
    if (!ch->is_headed)
        return weir_error(err, "the body of a reply comes before its head");
    if (ch->left >= 0 && in->rest.n > (uint64_t)ch->left)
        return weir_error(err, "a reply is longer than its head says");
    body_in(c, ch, in->rest, buf);
    return WEIR_OK;
}

static int on_fail(channel_t *ch, mux_in_t *in, weir_error_t *err)
{
    const weir_host_t *host = ch->conn->target->host;
    const char *server = ch->conn->link->server->name;
    weir_exchange_t *ex = ch->ex;
    uint64_t reason = mux_in_number(in), retry_after_s = mux_in_number(in);
    if (in->is_broken)
        return weir_error(err, "a FAIL breaks off");
    channel_give_back(ch);
    if (ex == NULL)
        return WEIR_OK;
    if (retry_after_s > 0)
        host->exchange_retry_after(ex, (retry_after_s - 1) * 1000); /* rounded up once already */
    host->exchange_fail(ex, REASON_OF(reason), "%s: %.*s", server, WEIR_FMT(in->rest));
    return WEIR_OK;
}

/* ---- records ---- */

static int on_hello(conn_t *c, mux_in_t *in, weir_error_t *err)
{
    const weir_host_t *host = c->target->host;
    mux_hello_t hello;
    if (mux_in_hello(in, &hello, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (c->is_up)
        return weir_error(err, "a second HELLO");
    if (hello.channels == 0 || hello.channels > UINT16_MAX)
        return weir_error(err, "the other weir serves %llu channels", (unsigned long long)hello.channels);
    c->max_channels = hello.channels;
    c->max_message = hello.max_message;
    c->is_up = true;
    conn_count(c, MUX_LINKS, 1);
    host->timer_start(c->pings, &c->timer);
    host->link_up(c->link);
    return WEIR_OK;
}

static int on_link_record(conn_t *c, mux_word_t word, mux_in_t *in, weir_error_t *err)
{
    if (word == MUX_HELLO)
        return on_hello(c, in, err);
    if (!c->is_up)
        return weir_error(err, "it does not begin with HELLO (word %02x)", word);
    c->is_left = c->is_left || word == MUX_LEAVE;
    if (word == MUX_LEAVE)
        c->target->host->link_retire(c->link, "the other weir is about to leave");
    else if (word != MUX_PONG)
        return weir_error(err, "word %02x on channel 0 is none of an inner weir's", word);
    return WEIR_OK;
}

int conn_record(conn_t *c, uint64_t number, const weir_chunk_t *record, weir_error_t *err)
{
    mux_in_t in = {.rest = record->bytes};
    mux_word_t word = (mux_word_t)mux_in_byte(&in);
    if (number == 0)
        return on_link_record(c, word, &in, err);
    channel_t *ch = number < c->nchannels ? c->channels[number] : NULL;
    if (ch == NULL)
        return weir_error(err, "word %02x on channel %llu, which is not open", word, (unsigned long long)number);
    switch (word) {
    case MUX_HEAD:
        return ch->is_headed ? weir_error(err, "a second head on channel %llu", (unsigned long long)number)
                             : on_head(c, ch, &in, record->buf, err);
    case MUX_DATA:
        return on_data(c, ch, &in, record->buf, err);
    case MUX_END:
        channel_end(ch);
        return WEIR_OK;
    case MUX_FAIL:
        return on_fail(ch, &in, err);
    default:
        return weir_error(err, "word %02x on channel %llu is none of an inner weir's", word,
                          (unsigned long long)number);
    }
}
