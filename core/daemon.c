/* daemon.c: the one who typed `weir -d` gets the prompt back when the daemon serves, or its errors when it does not.
 *
 *   caller ── reads the pipe, shows it on stderr, until READY or its end
 *     └── session leader, leaves at once, so that the daemon can never get a terminal
 *           └── daemon ── its stderr is the pipe
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A byte that no message contains. */
#define READY '\0'

static int null_to(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return WEIR_EFAIL;
    int rc = dup2(null, fd);
    close(null);
    return rc < 0 ? WEIR_EFAIL : WEIR_OK;
}

static int relay_until_ready(int fd)
{
    char text[4096];
    for (;;) {
        ssize_t n = read(fd, text, sizeof(text));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return EXIT_FAILURE;
        const char *ready = memchr(text, READY, (size_t)n);
        fwrite(text, 1, ready == NULL ? (size_t)n : (size_t)(ready - text), stderr);
        if (ready != NULL)
            return EXIT_SUCCESS;
    }
}

static int caller_wait(const int fds[2], pid_t leader)
{
    close(fds[1]);
    int status = relay_until_ready(fds[0]);
    close(fds[0]);
    (void)waitpid(leader, NULL, 0); /* it left right after its fork; nothing depends on how */
    return status;
}

/* In the session leader and in the daemon; true in the daemon. */
static bool become_daemon(const int fds[2], int *status)
{
    *status = EXIT_FAILURE;
    close(fds[0]);
    int rc = dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    if (rc < 0 || setsid() < 0)
        return false;
    pid_t pid = fork();
    if (pid != 0) {
        *status = pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        return false;
    }
    return null_to(STDIN_FILENO) == WEIR_OK && null_to(STDOUT_FILENO) == WEIR_OK;
}

bool daemon_begin(int *status, weir_error_t *err)
{
    int fds[2];
    *status = EXIT_FAILURE;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        weir_error(err, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0)
        return become_daemon(fds, status);
    if (pid > 0) {
        *status = caller_wait(fds, pid);
        return false;
    }
    weir_error(err, "cannot start a process: %s", strerror(errno));
    close(fds[0]);
    close(fds[1]);
    return false;
}

int daemon_ready(void)
{
    const char ready = READY;
    if (write(STDERR_FILENO, &ready, 1) != 1)
        return WEIR_EFAIL;
    return null_to(STDERR_FILENO);
}
