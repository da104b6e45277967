/* fuzz_sse.c: event streams. In whatever pieces they come, the events are those that the standard's own description of a line by line
 * reader gives (WHATWG HTML 9.2.6).
 */
#include "fuzz.h"

#include <weir/error.h>

#include "sse.h"

#define EVENTS_MAX 256
#define TEXT_MAX 4096

/* Events written down, to be compared. */
typedef struct story {
    char text[TEXT_MAX];
    size_t n, events;
} story_t;

static void tell(story_t *story, char mark, weir_slice_t value)
{
    FUZZ_CHECK(story->n + value.n + 2 <= sizeof(story->text));
    story->text[story->n++] = mark;
    if (value.n > 0)
        memcpy(story->text + story->n, value.p, value.n);
    story->n += value.n;
    story->text[story->n++] = '\0';
}

static bool tell_event(void *owner, const weir_event_t *event)
{
    story_t *story = owner;
    tell(story, 'e', event->name);
    if (event->has_data)
        tell(story, 'd', event->data);
    if (event->has_id)
        tell(story, 'i', event->id);
    return ++story->events < EVENTS_MAX;
}

/* ---- the standard's reader ---- */

typedef struct reader {
    char data[TEXT_MAX];
    size_t data_n;
    weir_event_t event;
    story_t *story;
} reader_t;

static void read_field(reader_t *r, weir_slice_t field, weir_slice_t value)
{
    if (weir_slice_eq(field, WEIR_LIT("event"))) {
        r->event.name = value;
    } else if (weir_slice_eq(field, WEIR_LIT("data"))) {
        if (value.n > 0)
            memcpy(r->data + r->data_n, value.p, value.n);
        r->data_n += value.n;
        r->data[r->data_n++] = '\n';
        r->event.has_data = true;
    } else if (weir_slice_eq(field, WEIR_LIT("id"))) {
        r->event.id = value;
        r->event.has_id = true;
    }
}

static bool read_line(reader_t *r, weir_slice_t line)
{
    bool goes_on = true;
    if (line.n > 0) {
        const char *colon = memchr(line.p, ':', line.n);
        size_t n = colon == NULL ? line.n : (size_t)(colon - line.p), skip = n < line.n;
        skip += n + skip < line.n && line.p[n + skip] == ' ';
        read_field(r, weir_slice(line.p, n), weir_slice(line.p + n + skip, line.n - n - skip));
        return true;
    }
    if (r->event.has_data || r->event.has_id || r->event.name.n > 0) {
        r->event.data = weir_slice(r->data, r->data_n - (r->data_n > 0));
        goes_on = tell_event(r->story, &r->event);
    }
    r->event = (weir_event_t){0};
    r->data_n = 0;
    return goes_on;
}

static void read_by_standard(const char *p, size_t n, story_t *story)
{
    static reader_t r;
    r.data_n = 0;
    r.event = (weir_event_t){0};
    r.story = story;
    size_t begin = 0;
    for (size_t at = 0; at < n; at++) {
        if (p[at] != '\n' && p[at] != '\r')
            continue;
        if (!read_line(&r, weir_slice(p + begin, at - begin)))
            return;
        at += p[at] == '\r' && at + 1 < n && p[at + 1] == '\n';
        begin = at + 1;
    }
}

static void read_in_pieces(const char *p, size_t n, size_t piece, story_t *story)
{
    sse_t sse;
    int result = WEIR_OK;
    sse_init(&sse, TEXT_MAX);
    for (size_t at = 0; at < n && result == WEIR_OK; at += piece) {
        size_t have = n - at < piece ? n - at : piece;
        char *copy = fuzz_copy(p + at, have);
        result = sse_read(&sse, weir_slice(copy, have), tell_event, story);
        fuzz_free(copy, have);
        FUZZ_CHECK(result == WEIR_OK || (result == WEIR_ECLOSED && story->events == EVENTS_MAX));
        if (piece > n)
            break;
    }
    sse_free(&sse);
}

/* What has no room is refused, and nothing else happens. */
static void check_limit(const char *p, size_t n)
{
    static story_t story;
    sse_t sse;
    story.n = story.events = 0;
    sse_init(&sse, 16);
    for (size_t at = 0; at < n && story.events < EVENTS_MAX; at++)
        if (sse_read(&sse, weir_slice(p + at, 1), tell_event, &story) != WEIR_OK)
            break;
    FUZZ_CHECK(sse.n <= 16);
    sse_free(&sse);
}

static void fuzz_one(const char *p, size_t n)
{
    static const size_t pieces[] = {1, 2, 3, 13, SIZE_MAX};
    static story_t expected, story;
    if (n > 1024)
        return;
    expected.n = expected.events = 0;
    read_by_standard(p, n, &expected);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        story.n = story.events = 0;
        read_in_pieces(p, n, pieces[i], &story);
        FUZZ_CHECK(story.events == expected.events && story.n == expected.n);
        FUZZ_CHECK(memcmp(story.text, expected.text, story.n) == 0);
    }
    check_limit(p, n);
}
