/* strays.c: the kernel lists our children in /proc/PID/task/PID/children. */
#include "strays.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

static pid_t *list_grow(pid_t *list, size_t n)
{
    /* Powers of two: most masters have a handful of children. */
    if (n < 8 || (n & (n - 1)) != 0)
        return list;
    pid_t *larger = realloc(list, 2 * n * sizeof(*list));
    if (larger == NULL)
        free(list);
    return larger;
}

static pid_t *list_read(FILE *file)
{
    pid_t *list = malloc(8 * sizeof(*list));
    size_t n = 0;
    long pid;
    while (list != NULL && file != NULL && fscanf(file, "%ld", &pid) == 1) {
        list[n++] = (pid_t)pid;
        list = list_grow(list, n);
    }
    if (list != NULL)
        list[n] = 0;
    return list;
}

pid_t *strays_list(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    FILE *file = fopen(path, "re");
    pid_t *list = list_read(file);
    if (file != NULL && fclose(file) != 0) {
        free(list);
        return NULL;
    }
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
