/* number.c: see number.h. */
#include "number.h"

#include <math.h>
#include <stdio.h>

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit_t;

bool digits_read(weir_slice_t *text, uint64_t *value)
{
    size_t n = 0;
    *value = 0;
    if (text->n == 0)
        return false;
    while (n < text->n && text->p[n] >= '0' && text->p[n] <= '9') {
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(text->p[n] - '0'), value))
            return false;
        n++;
    }
    text->p += n;
    text->n -= n;
    return n > 0;
}

bool integer_read(weir_slice_t text, int64_t *value)
{
    uint64_t size;
    bool is_negative = text.n > 0 && text.p[0] == '-';
    if (is_negative)
        text = weir_slice(text.p + 1, text.n - 1);
    if (!digits_read(&text, &size) || text.n > 0 || size > INT64_MAX)
        return false;
    *value = is_negative ? -(int64_t)size : (int64_t)size;
    return true;
}

static bool unit_read(weir_slice_t text, const unit_t *units, uint64_t *value)
{
    uint64_t number;
    if (!digits_read(&text, &number))
        return false;
    if (number == 0 && text.n == 0) {
        *value = 0;
        return true;
    }
    for (; units->name != NULL; units++)
        if (weir_slice_eq(text, weir_slice_str(units->name)))
            return !__builtin_mul_overflow(number, units->factor, value);
    return false;
}

bool duration_read(weir_slice_t text, uint64_t *ms)
{
    static const unit_t units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
    return unit_read(text, units, ms);
}

bool size_read(weir_slice_t text, uint64_t *bytes)
{
    static const unit_t units[] = {{"", 1},           {"B", 1},        {"KiB", 1u << 10}, {"MiB", 1u << 20},
                                   {"GiB", 1u << 30}, {"k", 1u << 10}, {"m", 1u << 20},   {NULL, 0}};
    return unit_read(text, units, bytes);
}

void number_write(char *text, size_t n, weir_type_t type, double value)
{
    static const unit_t one[] = {{"", 1}};
    static const unit_t durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const unit_t sizes[] = {{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"", 1}};
    const unit_t *unit = type == WEIR_TYPE_DURATION ? durations : type == WEIR_TYPE_SIZE ? sizes : one;
    while (unit->factor > 1 && (value == 0 || fmod(value, (double)unit->factor) != 0))
        unit++;
    snprintf(text, n, "%.15g%s", value / (double)unit->factor, value == 0 ? "" : unit->name);
}
