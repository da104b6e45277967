/* method.h: the methods of MCP, by name. */
#ifndef METHOD_H
#define METHOD_H

#include <weir/slice.h>

/* The plain name, in static memory, of a method that was written with JSON escapes ("tools\/call"); p is NULL when MCP has none of
 * that name. */
weir_slice_t method_plain(weir_slice_t escaped);

#endif
