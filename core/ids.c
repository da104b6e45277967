/* ids.c: see ids.h. */
#include "ids.h"

#include <stdlib.h>
#include <string.h>

#define PLACE_BITS 16
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
#define USES_MASK 0x7fffu

void ids_init(ids_t *ids, uint32_t max)
{
    memset(ids, 0, sizeof(*ids));
    ids->max = max < IDS_MAX ? max : IDS_MAX;
}

void ids_free(ids_t *ids)
{
    free(ids->places);
    ids->places = NULL;
    ids->count = 0;
}

static int ids_grow(ids_t *ids)
{
    uint32_t count = ids->count == 0 ? 16 : ids->count * 2;
    if (count > ids->max)
        count = ids->max;
    if (count == ids->count)
        return -1;
    id_place_t *places = realloc(ids->places, count * sizeof(*places));
    if (places == NULL)
        return -1;
    for (uint32_t i = count; i-- > ids->count;) {
        places[i] = (id_place_t){.next_free = ids->free_head};
        ids->free_head = i + 1;
    }
    ids->places = places;
    ids->count = count;
    return 0;
}

uint32_t ids_put(ids_t *ids, void *what)
{
    if (ids->free_head == 0 && ids_grow(ids) != 0)
        return 0;
    uint32_t at = ids->free_head - 1;
    id_place_t *place = &ids->places[at];
    ids->free_head = place->next_free;
    place->what = what;
    /* Never 0, so that no number is 0 either. */
    place->uses = (place->uses & USES_MASK) == USES_MASK ? 1 : place->uses + 1;
    ids->used++;
    return place->uses << PLACE_BITS | at;
}

static id_place_t *ids_place(const ids_t *ids, uint32_t id)
{
    uint32_t at = id & PLACE_MASK;
    if (at >= ids->count || ids->places[at].what == NULL || ids->places[at].uses != id >> PLACE_BITS)
        return NULL;
    return &ids->places[at];
}

void *ids_get(const ids_t *ids, uint32_t id)
{
    const id_place_t *place = ids_place(ids, id);
    return place == NULL ? NULL : place->what;
}

void ids_remove(ids_t *ids, uint32_t id)
{
    id_place_t *place = ids_place(ids, id);
    if (place == NULL)
        return;
    place->what = NULL;
    place->next_free = ids->free_head;
    ids->free_head = (id & PLACE_MASK) + 1;
    ids->used--;
}
