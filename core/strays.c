/* strays.c: the kernel knows our children better than our own tables do. */
#include "strays.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

size_t strays_signal(const pid_t *spared, bool (*is_ours)(void *arg, pid_t pid), void *arg, int number)
{
    size_t n = 0;
    pid_t *list = strays_list();
    for (pid_t *pid = list; pid != NULL && *pid != 0; pid++) {
        if (is_listed(spared, *pid) || is_ours(arg, *pid) || kill(*pid, number) != 0)
            continue;
        log_write(number == SIGKILL ? WEIR_LOG_INFO : WEIR_LOG_DEBUG,
                  "pid %ld was left behind by a process that ended; SIG%s", (long)*pid, sigabbrev_np(number));
        n++;
    }
    free(list);
    return n;
}
