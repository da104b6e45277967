/* decimal.h: numbers as text where printf would be felt: once or more per message. */
#ifndef DECIMAL_H
#define DECIMAL_H

#include <stdint.h>

#include <weir/slice.h>

#define DECIMAL_MAX 20

/* The digits of a number; they stand at the end of `room`. */
static inline weir_slice_t decimal(char room[DECIMAL_MAX], uint64_t number)
{
    char *end = room + DECIMAL_MAX, *p = end;
    do
        *--p = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return weir_slice(p, (size_t)(end - p));
}

#endif
