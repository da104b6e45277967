/* sse.c: see sse.h. Two steps: find where an event ends (an empty line), then read its lines. */
#include "sse.h"

#include <stdlib.h>

#include <weir/error.h>

void sse_init(sse_t *sse, size_t limit)
{
    *sse = (sse_t){.limit = limit};
}

void sse_free(sse_t *sse)
{
    free(sse->held);
    sse->held = NULL;
    sse->n = sse->size = sse->line = sse->seen = 0;
}

sse_t *sse_new(size_t limit)
{
    sse_t *sse = malloc(sizeof(*sse));
    if (sse != NULL)
        sse_init(sse, limit);
    return sse;
}

void sse_delete(sse_t *sse)
{
    if (sse != NULL)
        sse_free(sse);
    free(sse);
}

/* Where a line ends that goes on at `at`: at its CR or LF, or where the text does. */
static size_t line_end(weir_slice_t text, size_t at)
{
    while (at < text.n && text.p[at] != '\n' && text.p[at] != '\r')
        at++;
    return at;
}

/* Where the next one begins. */
static size_t line_behind(weir_slice_t text, size_t end)
{
    return end + (text.p[end] == '\r' && end + 1 < text.n && text.p[end + 1] == '\n' ? 2 : 1);
}

/* One line, without its end (CR, LF or CRLF). False when the text has no line end. */
static bool line_next(weir_slice_t *text, weir_slice_t *line)
{
    size_t end = line_end(*text, 0);
    if (end == text->n)
        return false;
    size_t behind = line_behind(*text, end);
    *line = weir_slice(text->p, end);
    *text = weir_slice(text->p + behind, text->n - behind);
    return true;
}

/* How many bytes the first event has with the empty line behind it; 0 when its end has not come. `*line` is where the line begins that
 * `*seen` is in; both move on, so that a long event, and a long line, is looked through once. */
static size_t event_length(weir_slice_t text, size_t *line, size_t *seen)
{
    while ((*seen = line_end(text, *seen)) < text.n) {
        bool is_empty = *seen == *line;
        *line = *seen = line_behind(text, *seen);
        if (is_empty)
            return *seen;
    }
    return 0;
}

static weir_slice_t value_of(weir_slice_t line, size_t colon)
{
    size_t from = colon < line.n ? colon + 1 : line.n;
    if (from < line.n && line.p[from] == ' ')
        from++;
    return weir_slice(line.p + from, line.n - from);
}

static size_t colon_of(weir_slice_t line)
{
    const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
    return colon == NULL ? line.n : (size_t)(colon - line.p);
}

/* A second data line joins the first: `join` is memory of at least the event's length, of which *used is filled. */
static void data_add(weir_event_t *event, weir_slice_t value, char *join, size_t *used)
{
    if (!event->has_data) {
        event->data = value;
        event->has_data = true;
        return;
    }
    if (*used == 0) {
        memcpy(join, event->data.p, event->data.n);
        *used = event->data.n;
    }
    join[(*used)++] = '\n';
    memcpy(join + *used, value.p, value.n);
    *used += value.n;
    event->data = weir_slice(join, *used);
}

static unsigned data_lines(weir_slice_t text)
{
    weir_slice_t line;
    unsigned n = 0;
    while (line_next(&text, &line))
        n += weir_slice_eq(weir_slice(line.p, colon_of(line)), WEIR_LIT("data"));
    return n;
}

static void event_read(weir_slice_t text, char *join, weir_event_t *event)
{
    weir_slice_t line;
    size_t used = 0;
    *event = (weir_event_t){0};
    while (line_next(&text, &line)) {
        size_t colon = colon_of(line);
        weir_slice_t field = weir_slice(line.p, colon), value = value_of(line, colon);
        if (weir_slice_eq(field, WEIR_LIT("data"))) {
            data_add(event, value, join, &used);
        } else if (weir_slice_eq(field, WEIR_LIT("event"))) {
            event->name = value;
        } else if (weir_slice_eq(field, WEIR_LIT("id"))) {
            event->id = value;
            event->has_id = true;
        }
    }
}

static int event_take(weir_slice_t text, weir_event_fn take, void *owner)
{
    weir_event_t event;
    char *join = NULL;
    if (data_lines(text) > 1 && (join = malloc(text.n)) == NULL)
        return WEIR_EFULL;
    event_read(text, join, &event);
    bool is_wanted = event.has_data || event.has_id || event.name.n > 0;
    bool goes_on = !is_wanted || take(owner, &event);
    free(join);
    return goes_on ? WEIR_OK : WEIR_ECLOSED;
}

/* Keep what has no end yet. */
static int sse_hold(sse_t *sse, weir_slice_t bytes)
{
    if (bytes.n > sse->limit || sse->n > sse->limit - bytes.n)
        return WEIR_EFULL;
    size_t need = sse->n + bytes.n;
    if (need > sse->size) {
        size_t size = need < 256 ? 512 : need * 2;
        char *held = realloc(sse->held, size);
        if (held == NULL)
            return WEIR_EFULL;
        sse->held = held;
        sse->size = size;
    }
    if (bytes.n > 0)
        memcpy(sse->held + sse->n, bytes.p, bytes.n);
    sse->n = need;
    return WEIR_OK;
}

/* Take the whole events from the front of a text. */
static int sse_take_all(weir_slice_t *text, weir_event_fn take, void *owner)
{
    size_t n, line = 0, seen = 0;
    for (; (n = event_length(*text, &line, &seen)) > 0; line = seen = 0) {
        weir_slice_t event = weir_slice(text->p, n);
        *text = weir_slice(text->p + n, text->n - n);
        int result = event_take(event, take, owner);
        if (result != WEIR_OK)
            return result;
    }
    return WEIR_OK;
}

/* The owner may end the reader from inside: what it holds is taken out first, and put back when it is still wanted. */
static int sse_read_held(sse_t *sse, weir_event_fn take, void *owner)
{
    if (event_length(weir_slice(sse->held, sse->n), &sse->line, &sse->seen) == 0)
        return WEIR_OK;
    char *held = sse->held;
    weir_slice_t text = weir_slice(held, sse->n);
    sse->held = NULL;
    sse->n = sse->size = sse->line = sse->seen = 0;
    int result = sse_take_all(&text, take, owner);
    if (result == WEIR_OK)
        result = sse_hold(sse, text);
    free(held);
    return result;
}

int sse_read(sse_t *sse, weir_slice_t bytes, weir_event_fn take, void *owner)
{
    if (sse->is_after_cr && bytes.n > 0 && bytes.p[0] == '\n' && sse->n == 0)
        bytes = weir_slice(bytes.p + 1, bytes.n - 1); /* the second half of a CRLF that ended an event */
    if (bytes.n > 0)
        sse->is_after_cr = bytes.p[bytes.n - 1] == '\r';
    if (sse->n > 0) {
        int result = sse_hold(sse, bytes);
        return result == WEIR_OK ? sse_read_held(sse, take, owner) : result;
    }
    int result = sse_take_all(&bytes, take, owner);
    return result == WEIR_OK && bytes.n > 0 ? sse_hold(sse, bytes) : result;
}
