/* daemon.c: the one who typed `weir -d` gets the prompt back when the daemon serves, or its errors when it does not.
 *
 *   caller ── waits for "+" or the end of the pipe
 *     └── session leader, leaves at once, so that the daemon can never get a terminal
 *           └── daemon
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int null_to(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return WEIR_EFAIL;
    int rc = dup2(null, fd);
    close(null);
    return rc < 0 ? WEIR_EFAIL : WEIR_OK;
}

static int wait_ready(int fd, pid_t leader)
{
    char answer = '-';
    ssize_t n;
    do
        n = read(fd, &answer, 1);
    while (n < 0 && errno == EINTR);
    close(fd);
    (void)waitpid(leader, NULL, 0); /* it left right after its fork; nothing depends on how */
    return n == 1 && answer == '+' ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* In the session leader and the daemon. True in the daemon; the leader has to leave. */
static bool is_daemon(int *status)
{
    *status = EXIT_FAILURE;
    if (setsid() < 0)
        return false;
    pid_t pid = fork();
    if (pid != 0) {
        *status = pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        return false;
    }
    return null_to(STDIN_FILENO) == WEIR_OK && null_to(STDOUT_FILENO) == WEIR_OK;
}

bool daemon_begin(int *ready_fd, int *status, weir_error_t *err)
{
    int fds[2];
    *status = EXIT_FAILURE;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        weir_error(err, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid > 0) {
        close(fds[1]);
        *status = wait_ready(fds[0], pid);
        return false;
    }
    close(fds[0]);
    *ready_fd = fds[1];
    if (pid == 0 && is_daemon(status))
        return true;
    close(fds[1]);
    if (pid < 0)
        weir_error(err, "cannot start a process: %s", strerror(errno));
    return false;
}

int daemon_settle(void)
{
    return null_to(STDERR_FILENO);
}
