/* slice.h: a string that somebody else owns.
 *
 * The one string type of weir: a pointer and a length, never terminated by a NUL. A slice borrows; it is valid as long as
 * the buffer or arena it points into, and whoever hands one out says how long that is.
 */
#ifndef WEIR_SLICE_H
#define WEIR_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct weir_slice {
    const char *p;
    size_t n;
} weir_slice_t;

/* A slice of a string literal. */
#define WEIR_LIT(s) ((weir_slice_t){(s), sizeof(s) - 1})

/* For printf's "%.*s". */
#define WEIR_FMT(s) (int)(s).n, (s).p

static inline weir_slice_t weir_slice(const char *p, size_t n)
{
    return (weir_slice_t){p, n};
}

static inline weir_slice_t weir_slice_str(const char *s)
{
    return s == NULL ? (weir_slice_t){NULL, 0} : (weir_slice_t){s, strlen(s)};
}

static inline bool weir_slice_eq(weir_slice_t a, weir_slice_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char weir_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Equality with ASCII case folded: field names, URL schemes and hosts. */
static inline bool weir_slice_ieq(weir_slice_t a, weir_slice_t b)
{
    if (weir_slice_eq(a, b))
        return true;
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (weir_lower(a.p[i]) != weir_lower(b.p[i]))
            return false;
    return true;
}

static inline bool weir_slice_starts(weir_slice_t s, weir_slice_t prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline weir_slice_t weir_slice_trim(weir_slice_t s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

#endif
