/* latency.c: see latency.h. */
#include "latency.h"

#include <math.h>

uint64_t latency_bound(unsigned bucket)
{
    uint64_t part = bucket % LATENCY_PARTS + 1;
    unsigned power = bucket / LATENCY_PARTS;
    return power == 0 ? part << 2 : (LATENCY_PARTS + part) << (power + 1);
}

uint64_t latency_count(const uint64_t *buckets)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        count += buckets[i];
    return count;
}

/* Times lie evenly in a bucket, as far as anybody knows. */
static uint64_t latency_within(unsigned bucket, uint64_t place, uint64_t count)
{
    uint64_t from = bucket == 0 ? 0 : latency_bound(bucket - 1);
    return from + (uint64_t)((double)(latency_bound(bucket) - from) * (double)place / (double)count);
}

uint64_t latency_quantile(const uint64_t *buckets, double q)
{
    uint64_t count = latency_count(buckets), place = (uint64_t)ceil(q * (double)count);
    for (unsigned i = 0; i < LATENCY_BUCKETS && count > 0; i++) {
        if (place <= buckets[i])
            return latency_within(i, place, buckets[i]);
        place -= buckets[i];
    }
    return 0;
}
