/* lines.h: the bytes of a stream cut into lines; see weir_lines_t. */
#ifndef LINES_H
#define LINES_H

#include <weir/module.h>

weir_slice_t lines_room(weir_lines_t *lines);
void lines_filled(weir_lines_t *lines, size_t n);
weir_lines_found_t lines_next(weir_lines_t *lines, size_t *at, uint64_t max_message, weir_slice_t *line);
void lines_free(weir_lines_t *lines);

#endif
