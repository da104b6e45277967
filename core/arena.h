/* arena.h: memory that goes at once: what belongs to one exchange, one configuration, one upstream. */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>

#include <weir/slice.h>

typedef struct arena arena_t;

/* block_size: bytes asked from the system at a time. NULL when there is no memory. */
arena_t *arena_new(size_t block_size);
void arena_free(arena_t *arena); /* NULL is fine */

/* Zeroed, aligned for any type; NULL when there is no memory. */
void *arena_alloc(arena_t *arena, size_t n);
/* A NUL-terminated copy. */
char *arena_strdup(arena_t *arena, weir_slice_t s);

/* Forget everything and keep the first block. */
void arena_reset(arena_t *arena);

#endif
