/* events.h: what a session has sent on its streams, so that a client that lost its connection can ask for the rest.
 *
 * A stream of a session has a number: 0 is the one that GET opens, the others are the replies to its requests. Every event has a
 * number that grows over all streams of the session; its id is "<stream>-<event>", so that an id alone says which stream it
 * belongs to (2025-11-25, Resumability and Redelivery). The log is bounded in bytes; the oldest events go first.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/list.h>
#include <weir/slice.h>

#define EVENT_ID_MAX 32

typedef struct event {
    weir_list_t node;
    uint32_t stream;
    uint32_t number;
    bool is_final; /* the stream ends with it */
    size_t n;
    char data[];
} event_t;

typedef struct events {
    weir_list_t log;
    size_t bytes, limit;
    uint32_t last; /* number of the newest event */
    uint32_t lost; /* events that went before any client had them */
} events_t;

void events_init(events_t *events, size_t limit);
void events_free(events_t *events);

/* Keep a copy, made of parts. Returns the event's number; it is counted even if it could not be kept. */
uint32_t events_add(events_t *events, uint32_t stream, const weir_slice_t *parts, size_t n, bool is_final);

/* The first kept event of a stream after `number`, or NULL. */
const event_t *events_after(const events_t *events, uint32_t stream, uint32_t number);

/* "<stream>-<event>" and back. */
weir_slice_t event_id_write(char text[EVENT_ID_MAX], uint32_t stream, uint32_t number);
bool event_id_read(weir_slice_t text, uint32_t *stream, uint32_t *number);

#endif
