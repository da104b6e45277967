/* nofile.h: how many files a process may have open. weir takes all it may have, since every client is one; what weir runs gets the
 * limit that weir was started with, since some programs cannot cope with a large one.
 */
#ifndef NOFILE_H
#define NOFILE_H

/* In the master, before anything is started. */
void nofile_raise(void);

/* In a child, before it becomes another program: 0, or -1 with errno. */
int nofile_restore(void);

#endif
