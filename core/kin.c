/* kin.c: see kin.h. A process group would be simpler to hit, and is left by the first program that calls setsid(). */
#include "kin.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numbers with a blank behind each; one that is cut by the end of the buffer waits for the next read. */
static size_t pids_read(int fd, pid_t *out, size_t max)
{
    char text[4096];
    size_t have = 0, found = 0;
    ssize_t n;
    while (found < max && (n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
        have += (size_t)n;
        text[have] = '\0';
        char *p = text, *end;
        for (; found < max && (end = strchrnul(p, ' ')) < text + have; p = end + 1)
            out[found++] = (pid_t)strtol(p, NULL, 10);
        have = (size_t)(text + have - p);
        memmove(text, p, have);
    }
    return found;
}

size_t kin_children(pid_t pid, pid_t *out, size_t max)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return 0; /* it has ended meanwhile */
    size_t found = 0;
    for (const struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "%.20s/children", entry->d_name);
        int fd = openat(dirfd(threads), path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        found += pids_read(fd, out + found, max - found);
        close(fd);
    }
    closedir(threads);
    return found;
}

size_t kin_signal(pid_t ancestor, int number)
{
    pid_t pids[KIN_MAX];
    size_t n = kin_children(ancestor, pids, KIN_MAX);
    for (size_t i = 0; i < n; i++) {
        n += kin_children(pids[i], pids + n, KIN_MAX - n);
        (void)kill(pids[i], number); /* ESRCH: it was quicker */
    }
    return n;
}
