/* hash.c: the strategy hash: what is equal goes to the same server.
 *
 * Every server has a number for every key, and the highest wins (rendezvous hashing). A server that goes away leaves only its own
 * keys to the others, one that comes takes from each only what it wins; nothing else moves. The numbers come from the servers' names,
 * so that all processes, and all machines with the same configuration, choose alike. Weights stretch the numbers so that a server of
 * twice the weight wins twice the keys.
 */
#include <math.h>
#include <stdlib.h>

#include "strategy.h"

typedef struct hash {
    const weir_load_t *loads;
    weir_hash_by_t by;
    weir_slice_t header;
    uint64_t names[]; /* of the servers, hashed */
} hash_t;

static uint64_t hash_bytes(weir_slice_t s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.n; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return hash;
}

/* Every bit of the result depends on every bit of x (the finalizer of MurmurHash3). */
static uint64_t hash_mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static weir_slice_t field_named(const weir_head_t *head, weir_slice_t name)
{
    for (size_t i = 0; i < head->nfields; i++)
        if (weir_slice_ieq(head->fields[i].name, name))
            return head->fields[i].value;
    return weir_slice(NULL, 0);
}

static weir_slice_t authorization_of(const weir_exchange_t *ex)
{
    return ex->head == NULL ? ex->authorization : weir_head_value(ex->head, WEIR_FIELD_AUTHORIZATION);
}

static weir_slice_t hash_key(const hash_t *h, const weir_exchange_t *ex)
{
    weir_slice_t key = {NULL, 0};
    if (h->by == WEIR_HASH_SESSION)
        key = ex->session_token;
    else if (h->by == WEIR_HASH_PRINCIPAL)
        key = ex->principal.n > 0 ? ex->principal : authorization_of(ex);
    else if (ex->head != NULL)
        key = field_named(ex->head, h->header);
    return key.n > 0 ? key : ex->peer;
}

static void *hash_create(const weir_host_t *host, weir_upstream_t *upstream, const weir_balancing_t *balancing,
                         weir_error_t *err)
{
    if (balancing->hash_by == WEIR_HASH_HEADER && balancing->hash_header == NULL) {
        weir_error(err, "hash_by: header needs hash_header: the field's name");
        return NULL;
    }
    hash_t *h = calloc(1, sizeof(*h) + upstream->nservers * sizeof(h->names[0]));
    if (h == NULL) {
        weir_error(err, "no memory for the strategy");
        return NULL;
    }
    h->loads = balancing->loads;
    h->by = balancing->hash_by;
    h->header = weir_slice_str(balancing->hash_header);
    for (uint32_t i = 0; i < upstream->nservers; i++)
        h->names[i] = hash_bytes(weir_slice_str(host->upstream_server(upstream, i)->name));
    return h;
}

static void hash_destroy(void *self)
{
    free(self);
}

static uint32_t hash_choose(void *self, const weir_exchange_t *ex, const uint32_t *servers, uint32_t n)
{
    const hash_t *h = self;
    uint64_t key = hash_bytes(hash_key(h, ex));
    uint32_t best = 0;
    double highest = -1;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t number = hash_mix(key ^ hash_mix(h->names[servers[i]]));
        double unit = ((double)(number >> 11) + 0.5) / 9007199254740992.0; /* between 0 and 1, never either */
        double height = -(double)h->loads[servers[i]].server->weight / log(unit);
        if (height <= highest)
            continue;
        highest = height;
        best = i;
    }
    return best;
}

const weir_balancer_t strategy_hash = {.create = hash_create, .destroy = hash_destroy, .choose = hash_choose};
