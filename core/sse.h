/* sse.h: server-sent events (WHATWG HTML, "Server-sent events"), read as their bytes come.
 *
 * An event that stands whole in the bytes at hand is handed out where it stands. What is cut by the end of a read, or has data of
 * several lines, is put together in memory of the reader's own, bounded by its limit.
 */
#ifndef SSE_H
#define SSE_H

#include <stdbool.h>
#include <stddef.h>

#include <weir/http.h>

typedef struct weir_events {
    char *held; /* the beginning of an event whose end has not come */
    size_t n, size, limit;
    size_t line, seen; /* how far it was looked through, and where that line begins */
    bool is_after_cr;  /* an LF that comes next belongs to the line end before it */
} sse_t;

/* limit: bytes that one event may have. Zeroed memory with a limit is a reader that has read nothing. */
void sse_init(sse_t *sse, size_t limit);
void sse_free(sse_t *sse);
/* The same in memory of its own; NULL when there is none. */
sse_t *sse_new(size_t limit);
void sse_delete(sse_t *sse);

/* Read on. WEIR_OK, WEIR_ECLOSED when the owner stopped it (the reader may be gone by then), WEIR_EFULL when an event is larger than
 * the limit or there is no memory. */
int sse_read(sse_t *sse, weir_slice_t bytes, weir_event_fn take, void *owner);

#endif
