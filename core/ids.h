/* ids.h: the numbers that requests carry on a stream link, in place of their clients' ids. A number is a place in a table and the
 * count of its uses, so that an answer to a request that is no longer there is recognised as late. Numbers stay below 2^31:
 * every JSON reader keeps them exactly.
 */
#ifndef IDS_H
#define IDS_H

#include <stdint.h>

typedef struct id_place {
    void *what; /* NULL: free */
    uint32_t uses;
    uint32_t next_free;
} id_place_t;

typedef struct ids {
    id_place_t *places;
    uint32_t count, max;
    uint32_t free_head; /* index + 1; 0: none */
    uint32_t used;
} ids_t;

#define IDS_MAX 65536u /* requests in flight on one link */

void ids_init(ids_t *ids, uint32_t max);
void ids_free(ids_t *ids);

/* A number for `what` (not NULL); 0 when `max` are in use or there is no memory. */
uint32_t ids_put(ids_t *ids, void *what);
/* What a number stands for, or NULL when it stands for nothing (any more). */
void *ids_get(const ids_t *ids, uint32_t id);
void ids_remove(ids_t *ids, uint32_t id);

#endif
