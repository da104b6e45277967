/* status.h: what /status says: this weir, the process that answers, and every upstream. Counters are the sum over all processes;
 * what a chain's module says is its own view in the process that answers.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>

struct json_t;

/* The same as a tree, which belongs to the caller. NULL when there is no memory. */
struct json_t *status_tree(bool is_ready);

/* One JSON object as text; the caller frees it. NULL when there is no memory. */
char *status_text(bool is_ready);

#endif
