/* mux_channel.c: the channels of the edge's end of `mux`: their memory, their numbers, the OPEN that begins one, the CREDIT that keeps its
 * reply coming. The states are in mux.h.
 *
 * A channel is its connection's from channel_take() to channel_give_back(): in `queued` until its OPEN is written, then in `sent`. A few
 * that were given back are kept by the target for the next. */
#include <stdlib.h>

#include "mux_channel.h"

#define SPARE_MAX 1024
#define CHANNELS_FIRST 64u

channel_t *channel_take(target_t *target)
{
    if (weir_list_empty(&target->spare))
        return calloc(1, sizeof(channel_t));
    channel_t *ch = WEIR_CONTAINER(target->spare.next, channel_t, node);
    weir_list_remove(&ch->node);
    target->nspare--;
    memset(ch, 0, sizeof(*ch));
    return ch;
}

void channel_give_back(channel_t *ch)
{
    conn_t *c = ch->conn;
    target_t *target = c->target;
    weir_list_remove(&ch->node);
    if (ch->ex != NULL)
        ch->ex->carrier = NULL;
    conn_count(c, ch->number > 0 ? MUX_CHANNELS : MUX_QUEUED, -1);
    if (ch->number > 0) {
        c->channels[ch->number] = NULL;
        c->free_numbers[c->nfree++] = ch->number;
    }
    if (target->nspare >= SPARE_MAX) {
        free(ch);
        return;
    }
    weir_list_prepend(&target->spare, &ch->node);
    target->nspare++;
}

/* Twice as many numbers, as far as the other weir serves them. */
static bool numbers_grow(conn_t *c)
{
    uint64_t room = c->nchannels == 0 ? CHANNELS_FIRST : 2 * (uint64_t)c->nchannels;
    room = room > c->max_channels + 1 ? c->max_channels + 1 : room;
    if (room <= c->nchannels)
        return false;
    channel_t **channels = realloc(c->channels, room * sizeof(*channels));
    if (channels != NULL)
        c->channels = channels;
    uint32_t *numbers = realloc(c->free_numbers, room * sizeof(*numbers));
    if (numbers != NULL)
        c->free_numbers = numbers;
    if (channels == NULL || numbers == NULL)
        return false;
    uint32_t first = c->nchannels == 0 ? 1 : c->nchannels;
    memset(channels + c->nchannels, 0, (room - c->nchannels) * sizeof(*channels));
    for (uint32_t number = (uint32_t)room - 1; number >= first; number--)
        numbers[c->nfree++] = number;
    c->nchannels = (uint32_t)room;
    return true;
}

static void conn_note(conn_t *c, int result)
{
    c->is_full = c->is_full || result == WEIR_EFULL;
}

/* ---- OPEN ---- */

static bool exchange_is_read_here(const weir_exchange_t *ex)
{
    return ex->wants_messages || ex->is_watched;
}

static void open_make(target_t *target, const weir_exchange_t *ex)
{
    mux_open_t open = {
        .verb = ex->verb,
        .era = ex->era,
        .is_tls = ex->is_tls,
        .is_checkup = ex->is_checkup,
        .session = ex->server_session,
        .peer = ex->peer,
        .target = ex->head == NULL ? ex->target : ex->head->target,
        .principal = ex->principal,
        .host = ex->host,
        .last_event_id = ex->last_event_id,
        .authorization = ex->authorization,
        .revision = ex->revision,
    };
    target->out.n = 0;
    target->out.is_over = false;
    mux_out_open(&target->out, &open, ex->head, exchange_is_read_here(ex));
}

static void channel_open(channel_t *ch)
{
    conn_t *c = ch->conn;
    target_t *target = c->target;
    weir_exchange_t *ex = ch->ex;
    const char *server = c->link->server->name;
    open_make(target, ex);
    if (target->out.is_over || ex->body.bytes.n > c->max_message) {
        bool is_head = target->out.is_over;
        channel_give_back(ch);
        target->host->exchange_fail(
            ex, is_head ? WEIR_REASON_HEAD_TOO_LARGE : WEIR_REASON_TOO_LARGE,
            is_head ? "%s: the head of the request is larger than a link takes (%llu bytes)"
                    : "%s: the message is larger than the max_message of the other weir (%llu bytes)",
            server, (unsigned long long)(is_head ? MUX_HEAD_ROOM : c->max_message));
        return;
    }
    ch->number = c->free_numbers[--c->nfree];
    ch->state = CHANNEL_OPEN;
    conn_count(c, MUX_QUEUED, -1);
    conn_count(c, MUX_CHANNELS, 1);
    conn_count(c, MUX_OPENED, 1);
    c->channels[ch->number] = ch;
    weir_list_remove(&ch->node);
    weir_list_append(&c->sent, &ch->node);
    weir_chunk_t parts[] = {{.bytes = weir_slice(target->out.p, target->out.n)}, ex->body};
    ch->mark = target->host->stream_written(c->stream);
    bool has_body = ex->verb == WEIR_VERB_MESSAGE && ex->body.bytes.n > 0;
    conn_note(c, frames_write(&c->frames, parts, has_body ? 2 : 1, ch->number));
}

void conn_send_queued(conn_t *c)
{
    while (c->link != NULL && !c->is_full && !weir_list_empty(&c->queued) && (c->nfree > 0 || numbers_grow(c)))
        channel_open(WEIR_CONTAINER(c->queued.next, channel_t, node));
}

void channel_credit(channel_t *ch)
{
    if (ch->is_held || ch->taken < ch->conn->window / 4)
        return;
    (void)mux_write_credit(&ch->conn->frames, ch->number, ch->taken);
    ch->taken = 0;
}
