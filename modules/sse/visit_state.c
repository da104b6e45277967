/* visit_state.c: the states of a connection, and what ends: a request, whose bytes go back; an event stream; the visit. The table is in
 * visit.c.
 */
#include <stdlib.h>

#include "edge.h"

void visit_move(visit_t *v, visit_state_t state)
{
    edge_t *edge = v->edge;
    const weir_host_t *host = edge->host;
    weir_timeouts_t *timeouts[] = {
        [VISIT_IDLE] = edge->idle_timeouts, [VISIT_HEAD] = edge->header_timeouts, [VISIT_BODY] = edge->body_timeouts,
        [VISIT_WAIT] = edge->body_timeouts, [VISIT_STREAM] = edge->heartbeats,
    };
    v->state = (uint8_t)state;
    if (state == VISIT_GONE)
        host->timer_stop(&v->timer);
    else
        host->timer_start(timeouts[state], &v->timer);
}

void visit_release(visit_t *v)
{
    if (v->depth > 0 || v->stream != NULL)
        return;
    free(v);
}

void request_forget(visit_t *v)
{
    v->edge->host->buf_unref(v->body);
    v->body = NULL;
    v->message = (weir_chunk_t){{NULL, 0}, NULL};
    free(v->authorization);
    free(v->origin);
    v->authorization = v->origin = NULL;
}

static void letter_drop(visit_t *v, letter_t *letter)
{
    weir_list_remove(&letter->node);
    v->waiting -= letter->n;
    free(letter);
}

static void stream_end(visit_t *v)
{
    const weir_host_t *host = v->edge->host;
    v->edge->nstreams--;
    host->postbox_close(v->box);
    v->box = NULL;
    while (!weir_list_empty(&v->letters))
        letter_drop(v, WEIR_CONTAINER(v->letters.next, letter_t, node));
    host->client_gone(v->client);
    v->client = NULL;
}

void visit_forget(visit_t *v)
{
    const weir_host_t *host = v->edge->host;
    bool was_stream = v->state == VISIT_STREAM;
    v->stream = NULL;
    visit_move(v, VISIT_GONE);
    host->timer_stop(&v->go_on);
    host->post_forget(&v->post);
    request_forget(v);
    host->buf_unref(v->in);
    v->in = NULL;
    weir_list_remove(&v->node);
    v->edge->nvisits--;
    v->depth++;
    if (was_stream)
        stream_end(v);
    v->depth--;
    visit_release(v);
}

static void stream_say_end(visit_t *v)
{
    weir_chunk_t last = {.bytes = WEIR_LIT("0\r\n\r\n")};
    if (v->minor > 0)
        (void)v->edge->host->stream_write(v->stream, &last, 1);
}

void visit_finish(visit_t *v)
{
    if (v->stream == NULL)
        return;
    if (v->state == VISIT_STREAM)
        stream_say_end(v);
    v->edge->host->stream_finish(v->stream);
    visit_forget(v);
}

void visit_close(visit_t *v)
{
    if (v->stream == NULL)
        return;
    v->edge->host->stream_close(v->stream);
    visit_forget(v);
}

/* The next request may be here already; whoever is on the stack is done with this one first. */
void visit_answered(visit_t *v)
{
    request_forget(v);
    if (!v->is_keep) {
        visit_finish(v);
        return;
    }
    visit_move(v, VISIT_IDLE);
    if (v->depth == 0)
        v->edge->host->timer_at_turn_end(&v->go_on);
}
