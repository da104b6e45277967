/* client_state.c: the states of a client's connection, and what ends: a request, whose bytes go back; an exchange, behind which the
 * connection goes on or closes; the client. The table is in client.c.
 */
#include "edge.h"

#include <stdlib.h>

/* A request that comes in one read passes HEAD and BODY within the turn: their time begins when there is something to wait for,
 * in head_more() and body_more(). */
void client_move(client_t *c, client_state_t state)
{
    edge_t *edge = c->edge;
    c->state = (uint8_t)state;
    if (state == CLIENT_IDLE)
        edge->host->timer_start(c->requests == 0 ? edge->header_timeouts : edge->idle_timeouts, &c->timer);
    else if (state != CLIENT_HEAD && state != CLIENT_BODY)
        edge->host->timer_stop(&c->timer);
}

void client_drop_buffer(client_t *c)
{
    c->edge->host->buf_unref(c->buf);
    c->buf = NULL;
    c->head = NULL;
    c->begin = c->next = c->filled = 0;
}

void client_forget(client_t *c)
{
    client_move(c, CLIENT_GONE);
    if (c->edge->out_of == c)
        c->edge->out_of = NULL; /* what waits there for it goes with it */
    coding_end(c);
    client_drop_buffer(c);
    weir_list_remove(&c->node);
    c->edge->nclients--;
    if (c->ex != NULL) {
        weir_exchange_t *ex = c->ex;
        c->ex = NULL;
        c->edge->host->exchange_abandon(ex);
    }
    if (!c->is_running)
        free(c);
}

void client_close(client_t *c)
{
    c->edge->host->stream_close(c->stream);
    client_forget(c);
}

void client_finish(client_t *c)
{
    c->edge->host->stream_finish(c->stream);
    client_forget(c);
}

void client_pause(client_t *c, bool is_paused)
{
    if (c->is_paused == is_paused)
        return;
    c->is_paused = is_paused;
    c->edge->host->stream_pause(c->stream, is_paused);
}

void client_release_request(client_t *c)
{
    c->head = NULL;
    if (c->next == c->filled)
        client_drop_buffer(c);
}

void client_rest(client_t *c)
{
    client_drop_buffer(c);
    client_pause(c, false);
}

/* The next request may be here already, behind the one that has been answered. Whoever is on the stack still holds the link of
 * that one, so it is taken up at the end of the turn. */
static void client_go_on(client_t *c)
{
    if (c->is_full) {
        client_move(c, CLIENT_FLUSH);
        return;
    }
    c->begin = c->next;
    client_move(c, CLIENT_IDLE);
    if (c->is_running)
        return;
    if (c->begin < c->filled)
        c->edge->host->timer_at_turn_end(&c->timer);
    else
        client_rest(c);
}

void client_exchange_ended(client_t *c, bool is_whole)
{
    c->ex = NULL;
    is_whole = is_whole && !c->is_cut;
    c->is_begun = c->is_events = c->is_cut = false;
    coding_end(c);
    client_release_request(c);
    if (!is_whole && c->framing == FRAMING_CLOSE)
        client_close(c);
    else if (is_whole && c->is_keep)
        client_go_on(c);
    else
        client_finish(c);
}
