/* events.c: see events.h. */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>

void events_init(events_t *events, size_t limit)
{
    *events = (events_t){.limit = limit};
    weir_list_init(&events->log);
}

static void event_drop(events_t *events, event_t *event)
{
    weir_list_remove(&event->node);
    events->bytes -= sizeof(*event) + event->n;
    free(event);
}

void events_free(events_t *events)
{
    WEIR_LIST_EACH(&events->log, it)
        event_drop(events, WEIR_CONTAINER(it, event_t, node));
}

static void events_make_room(events_t *events, size_t need)
{
    while (!weir_list_empty(&events->log) && events->bytes + need > events->limit) {
        event_drop(events, WEIR_CONTAINER(events->log.next, event_t, node));
        events->lost++;
    }
}

uint32_t events_add(events_t *events, uint32_t stream, const weir_slice_t *parts, size_t n, bool is_final)
{
    uint32_t number = ++events->last;
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += parts[i].n;
    if (sizeof(event_t) + size > events->limit) {
        events->lost++;
        return number;
    }
    events_make_room(events, sizeof(event_t) + size);
    event_t *event = malloc(sizeof(*event) + size);
    if (event == NULL) {
        events->lost++;
        return number;
    }
    *event = (event_t){.stream = stream, .number = number, .is_final = is_final, .n = 0};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > 0)
            memcpy(event->data + event->n, parts[i].p, parts[i].n);
        event->n += parts[i].n;
    }
    weir_list_append(&events->log, &event->node);
    events->bytes += sizeof(*event) + size;
    return number;
}

const event_t *events_after(const events_t *events, uint32_t stream, uint32_t number)
{
    WEIR_LIST_EACH((weir_list_t *)&events->log, it) {
        const event_t *event = WEIR_CONTAINER(it, event_t, node);
        if (event->stream == stream && event->number > number)
            return event;
    }
    return NULL;
}

weir_slice_t event_id_write(char text[EVENT_ID_MAX], uint32_t stream, uint32_t number)
{
    int n = snprintf(text, EVENT_ID_MAX, "%u-%u", stream, number);
    return weir_slice(text, n < 0 ? 0 : (size_t)n);
}

/* As it is written: without a sign or leading zeros. */
static bool number_read(weir_slice_t *text, uint32_t *number)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < text->n && digits < 11 && text->p[digits] >= '0' && text->p[digits] <= '9')
        value = value * 10 + (uint64_t)(text->p[digits++] - '0');
    bool is_padded = digits > 1 && text->p[0] == '0';
    *text = weir_slice(text->p + digits, text->n - digits);
    *number = (uint32_t)value;
    return digits > 0 && !is_padded && value <= UINT32_MAX;
}

bool event_id_read(weir_slice_t text, uint32_t *stream, uint32_t *number)
{
    if (!number_read(&text, stream) || text.n == 0 || text.p[0] != '-')
        return false;
    text = weir_slice(text.p + 1, text.n - 1);
    return number_read(&text, number) && text.n == 0;
}
