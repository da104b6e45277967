/* status.h: what /status says: this weir, the process that answers, and every upstream. Counters are the sum over all processes;
 * what a chain's module says is its own view in the process that answers.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>

/* One JSON object as text; the caller frees it. NULL when there is no memory. */
char *status_text(bool is_ready);

#endif
