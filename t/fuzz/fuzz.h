/* fuzz.h: what every fuzz target begins with. A target includes it and defines fuzz_one(): it takes bytes, as anybody could send them,
 * and says by FUZZ_CHECK what must be true of whatever is made of them. Sanitizers see the rest.
 */
#ifndef T_FUZZ_H
#define T_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/slice.h>

#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void fuzz_one(const char *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one((const char *)data, size);
    return 0;
}

/* Memory of exactly this size, so that a sanitizer sees the first byte that is read beyond it. */
static inline char *fuzz_copy(const char *p, size_t n)
{
    char *copy = malloc(n == 0 ? 1 : n);
    FUZZ_CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    return n == 0 ? copy + 1 : copy;
}

static inline void fuzz_free(char *copy, size_t n)
{
    free(n == 0 ? copy - 1 : copy);
}

/* A slice is absent, or lies inside of these bytes. */
static inline bool fuzz_is_inside(weir_slice_t slice, const char *p, size_t n)
{
    return slice.p == NULL ? slice.n == 0 : slice.p >= p && slice.n <= n && (size_t)(slice.p - p) <= n - slice.n;
}

#endif
