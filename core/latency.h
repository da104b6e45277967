/* latency.h: a histogram of times, log-linear: each power of two of microseconds is cut in four, so that a time is known to a quarter of
 * itself at worst, whether it is a hundred microseconds or a minute. Nothing but counters: they lie where counters lie, have one
 * writer, and are added up when they are read.
 *
 * Bucket 0 holds times of up to 4 us, the last one all beyond 107 s. A bucket's upper bound belongs to it, as Prometheus wants it.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 96u
#define LATENCY_PARTS 4u /* of a power of two */

static inline unsigned latency_bucket(uint64_t us)
{
    uint64_t v = (us - (us > 0)) >> 2;
    if (v < LATENCY_PARTS)
        return (unsigned)v;
    unsigned power = 63u - (unsigned)__builtin_clzll(v);
    unsigned bucket = (power - 1) * LATENCY_PARTS + ((v >> (power - 2)) & (LATENCY_PARTS - 1));
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The largest time that a bucket is meant for, in microseconds. */
uint64_t latency_bound(unsigned bucket);

uint64_t latency_count(const uint64_t *buckets);

/* The time that the part q of all was not longer than, in microseconds; 0 when there are none. */
uint64_t latency_quantile(const uint64_t *buckets, double q);

#endif
