/* renewal.c: see renewal.h. */
#include "renewal.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

typedef struct refused {
    weir_list_t node;
    weir_chunk_t request;
} refused_t;

void renewal_init(renewal_t *renewal)
{
    *renewal = (renewal_t){0};
    weir_list_init(&renewal->refused);
}

void renewal_clear(renewal_t *renewal)
{
    weir_chunk_t request;
    while (renewal_next(renewal, &request))
        buf_unref(request.buf);
    free(renewal->initialize);
    renewal->initialize = NULL;
}

int renewal_note(renewal_t *renewal, weir_slice_t initialize)
{
    free(renewal->initialize);
    renewal->initialize = malloc(initialize.n);
    if (renewal->initialize == NULL)
        return WEIR_EFAIL;
    memcpy(renewal->initialize, initialize.p, initialize.n);
    renewal->initialize_n = initialize.n;
    return WEIR_OK;
}

int renewal_keep(renewal_t *renewal, const weir_chunk_t *request)
{
    refused_t *refused = malloc(sizeof(*refused));
    if (refused == NULL)
        return WEIR_EFAIL;
    refused->request = *request;
    buf_ref(request->buf);
    weir_list_append(&renewal->refused, &refused->node);
    return WEIR_OK;
}

bool renewal_next(renewal_t *renewal, weir_chunk_t *request)
{
    if (weir_list_empty(&renewal->refused))
        return false;
    refused_t *refused = WEIR_CONTAINER(renewal->refused.next, refused_t, node);
    *request = refused->request;
    weir_list_remove(&refused->node);
    free(refused);
    return true;
}
