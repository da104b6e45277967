/* pidfile.c: one line, a pid. A stale file (its process is gone) is replaced; a living one is respected by the caller. */
#include "pidfile.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int pidfile_write(const char *path, weir_error_t *err)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof(temporary))
        return weir_error(err, "pid_file: the name %.64s… is too long", path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return weir_error(err, "pid_file: cannot write %s: %s", temporary, strerror(errno));
    int written = fprintf(file, "%ld\n", (long)getpid());
    if (fclose(file) == 0 && written > 0 && rename(temporary, path) == 0)
        return WEIR_OK;
    weir_error(err, "pid_file: cannot write %s: %s", path, strerror(errno));
    if (unlink(temporary) != 0)
        return weir_error_wrap(err, "(%s is left behind) ", temporary);
    return WEIR_EFAIL;
}

static int pid_parse(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || (*end != '\n' && *end != '\0') || value < 1 || value > INT_MAX)
        return WEIR_EFAIL;
    *pid = (pid_t)value;
    return WEIR_OK;
}

int pidfile_read(const char *path, pid_t *pid, weir_error_t *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return weir_error(err, "pid_file: cannot read %s: %s; does weir run?", path, strerror(errno));
    char line[32] = "";
    const char *got = fgets(line, sizeof(line), file);
    if (fclose(file) != 0 || got == NULL || pid_parse(line, pid) != WEIR_OK)
        return weir_error(err, "pid_file: %s does not hold a pid", path);
    if (kill(*pid, 0) != 0 && errno == ESRCH)
        return weir_error(err, "pid_file: %s names pid %ld, and no such process runs", path, (long)*pid);
    return WEIR_OK;
}

void pidfile_remove(const char *path)
{
    pid_t pid;
    if (pidfile_read(path, &pid, NULL) == WEIR_OK && pid == getpid())
        (void)unlink(path); /* nothing can be done about it, and the next start replaces the file */
}
