/* strays.c: the kernel knows our children better than our own tables do. */
#include "strays.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "kin.h"
#include "log.h"

pid_t *strays_list(void)
{
    pid_t *list = calloc(KIN_MAX + 1, sizeof(*list));
    if (list != NULL)
        list[kin_children(getpid(), list, KIN_MAX)] = 0;
    return list;
}

static bool is_listed(const pid_t *list, pid_t pid)
{
    while (*list != 0 && *list != pid)
        list++;
    return *list == pid;
}

size_t strays_kill(const pid_t *spared, bool (*is_ours)(void *arg, pid_t pid), void *arg)
{
    size_t n = 0;
    pid_t *list = strays_list();
    for (pid_t *pid = list; pid != NULL && *pid != 0; pid++) {
        if (is_listed(spared, *pid) || is_ours(arg, *pid) || kill(*pid, SIGKILL) != 0)
            continue;
        log_write(WEIR_LOG_INFO, "pid %ld was left behind by a process that ended; killed it", (long)*pid);
        n++;
    }
    free(list);
    return n;
}
