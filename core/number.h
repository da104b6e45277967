/* number.h: numbers as people write them in a configuration, with their units: "30s", "64KiB". */
#ifndef NUMBER_H
#define NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/option.h>
#include <weir/slice.h>

/* From text. False when they are not well-formed or overflow. */
bool integer_read(weir_slice_t text, int64_t *value);
bool duration_read(weir_slice_t text, uint64_t *ms);
bool size_read(weir_slice_t text, uint64_t *bytes);
/* The digits that it begins with; what follows them is left. */
bool digits_read(weir_slice_t *text, uint64_t *value);

/* A number of an option as one would write it: in the largest unit that leaves no fraction. */
void number_write(char *text, size_t n, weir_type_t type, double value);

#endif
