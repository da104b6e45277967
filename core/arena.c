/* arena.c: see arena.h. A chain of blocks, filled from the front; what is larger than a block gets one of its own. */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT 16u

typedef struct block {
    struct block *next;
    size_t size, used; /* of data */
    _Alignas(ALIGNMENT) char data[];
} block_t;

struct arena {
    block_t *current; /* the newest; the first one is the last of the chain */
    size_t block_size;
};

static block_t *block_new(size_t size, block_t *next)
{
    block_t *block = malloc(sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->next = next;
    block->size = size;
    block->used = 0;
    return block;
}

arena_t *arena_new(size_t block_size)
{
    arena_t *arena = malloc(sizeof(*arena));
    if (arena == NULL)
        return NULL;
    arena->block_size = block_size;
    arena->current = block_new(block_size, NULL);
    if (arena->current != NULL)
        return arena;
    free(arena);
    return NULL;
}

static void blocks_free(block_t *block, const block_t *until)
{
    while (block != until) {
        block_t *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(arena_t *arena)
{
    if (arena == NULL)
        return;
    blocks_free(arena->current, NULL);
    free(arena);
}

void arena_reset(arena_t *arena)
{
    block_t *first = arena->current;
    while (first->next != NULL)
        first = first->next;
    blocks_free(arena->current, first);
    first->used = 0;
    arena->current = first;
}

void *arena_alloc(arena_t *arena, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t need = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    block_t *block = arena->current;
    if (block->size - block->used < need) {
        block = block_new(need > arena->block_size ? need : arena->block_size, block);
        if (block == NULL)
            return NULL;
        arena->current = block;
    }
    void *p = block->data + block->used;
    block->used += need;
    return memset(p, 0, n);
}

char *arena_strdup(arena_t *arena, weir_slice_t s)
{
    char *copy = arena_alloc(arena, s.n + 1);
    if (copy != NULL && s.n > 0)
        memcpy(copy, s.p, s.n);
    return copy;
}
