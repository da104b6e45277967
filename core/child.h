/* child.h: the children of a keeper: programs that speak MCP over their stdin and stdout. weir_host_t's child_… functions are
 * these. Each child is a process group of its own behind a minder (minder.h); both end whatever kills weir.
 *
 *   state     event                   next      what happens
 *   RUNNING   child_stop              CLOSING   its owner has closed its stdin; stop_timeout runs
 *   CLOSING   stop_timeout            TERMED    TERM to its group; stop_timeout runs again
 *   RUNNING   children_stop           TERMED    the same
 *   TERMED    stop_timeout            KILLED    KILL to all that descends from it
 *   any       its minder has ended    -         the owner is told unless it called child_stop; freed
 */
#ifndef CHILD_H
#define CHILD_H

#include <weir/module.h>

struct children;

/* To be hung into proc->children of a process with a loop. Makes the process a subreaper. */
struct children *children_new(void);

/* What still runs is killed by its minder, which is not waited for. */
void children_free(struct children *children);

size_t children_count(const struct children *children);

/* End all children: TERM, and KILL after stop_timeout; or KILL at once. Their owners are told as ever. */
void children_stop(struct children *children, bool is_hurried);

/* Call back once when this process has no children; before it returns when there are none now. */
void children_on_empty(void (*fn)(void));

/* See weir_child_spec_t. What the spec points to is not needed after the call. */
weir_child_t *child_start(const weir_child_spec_t *spec, void *owner, weir_stream_t **stream, weir_error_t *err);
void child_stop(weir_child_t *child);
long child_pid(const weir_child_t *child);

#endif
