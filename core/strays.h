/* strays.h: children of ours that we did not start: what a process that was killed left behind, and we inherited.
 *
 * Among them may be minders (minder.h), who are ending what they mind. They must not be killed before they have done so: should
 * we be killed too at that moment, nobody would find it any more. So strays get TERM first, which a minder understands, and KILL
 * when they are still there after a while.
 */
#ifndef STRAYS_H
#define STRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The pids of all our children, ended by 0; NULL with errno. The caller frees it. Empty on a kernel that cannot tell. */
pid_t *strays_list(void);

/* Send a signal to every child that is neither in `spared` (ended by 0) nor `is_ours`. Returns how many there were; their own
 * children may come to us next. */
size_t strays_signal(const pid_t *spared, bool (*is_ours)(void *arg, pid_t pid), void *arg, int number);

#endif
