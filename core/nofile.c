/* nofile.c: see nofile.h. */
#include "nofile.h"

#include <sys/resource.h>

static struct rlimit before;

void nofile_raise(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0)
        return;
    before = now;
    now.rlim_cur = now.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &now); /* what was enough until now may still be */
}

int nofile_restore(void)
{
    return before.rlim_max == 0 ? 0 : setrlimit(RLIMIT_NOFILE, &before);
}
