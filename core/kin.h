/* kin.h: the processes that descend from one, as the kernel tells them in /proc. */
#ifndef KIN_H
#define KIN_H

#include <stddef.h>
#include <sys/types.h>

#define KIN_MAX 1024

/* The children of a process, of all its threads; at most `max` of them. */
size_t kin_children(pid_t pid, pid_t *out, size_t max);

/* Send a signal to all descendants of a process, not to itself. One that forks meanwhile may escape: ask again until none is
 * left. Returns how many were found. */
size_t kin_signal(pid_t ancestor, int number);

#endif
