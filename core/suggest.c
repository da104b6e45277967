/* suggest.c: see suggest.h. */
#include "suggest.h"

#include <limits.h>

#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned word_distance(weir_slice_t a, weir_slice_t b)
{
    unsigned rows[3][WORD_MAX + 1];
    if (a.n > WORD_MAX || b.n > WORD_MAX)
        return UINT_MAX;
    for (unsigned j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            row[j] = least(row[j - 1] + 1, above[j] + 1, above[j - 1] + (a.p[i - 1] != b.p[j - 1]));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && twice[j - 2] + 1 < row[j])
                row[j] = twice[j - 2] + 1;
        }
    }
    return rows[a.n % 3][b.n];
}

const char *suggest_nearer(weir_slice_t written, const char *best, const char *word)
{
    unsigned limit = written.n < 6 ? 2 : (unsigned)(written.n / 3 + 1);
    unsigned distance = word_distance(written, weir_slice_str(word));
    if (distance > limit || distance >= written.n)
        return best;
    return best == NULL || distance < word_distance(written, weir_slice_str(best)) ? word : best;
}
