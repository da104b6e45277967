/* tryout.c: the child tells its story through a pipe; the end of the pipe is the end of the child.
 *
 *   the pipe says           meaning
 *   "+"                     the configuration is good
 *   "-" and a text          it is not, and why
 *   nothing                 the child died: its status says how
 */
#include "tryout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork.h"
#include "log.h"
#include "proc.h"
#include "trial.h"

typedef struct tryout_child {
    config_t *config;
    int fd;
} tryout_child_t;

static int child_main(void *arg)
{
    const tryout_child_t *child = arg;
    weir_error_t err = {""};
    char answer[sizeof(err.text) + 1];
    int rc = trial_main(child->config, &err);
    int n = snprintf(answer, sizeof(answer), "%c%s", rc == WEIR_OK ? '+' : '-', err.text);
    ssize_t written = write(child->fd, answer, (size_t)n);
    return rc == WEIR_OK && written == n ? EXIT_SUCCESS : EXIT_FAILURE;
}

int tryout_start(tryout_t *tryout, config_t *config, weir_error_t *err)
{
    int fds[2];
    *tryout = (tryout_t){.fd = -1};
    if (pipe2(fds, O_CLOEXEC) != 0)
        return weir_error(err, "cannot make a pipe: %s", strerror(errno));
    tryout_child_t child = {config, fds[1]};
    const fork_plan_t plan = {
        .kind = PROC_TRIAL, .title = "weir: trial", .config = config, .kept = &fds[1], .nkept = 1};
    tryout->pid = fork_child(&plan, child_main, &child);
    close(fds[1]);
    tryout->fd = fds[0];
    if (tryout->pid > 0)
        return WEIR_OK;
    close(fds[0]);
    *tryout = (tryout_t){.fd = -1};
    return weir_error(err, "cannot start a process: %s", strerror(errno));
}

static size_t answer_read(int fd, char *text, size_t size)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, text + n, size - 1 - n);
        if (got > 0)
            n += (size_t)got;
        if (got == 0 || n == size - 1 || (got < 0 && errno != EINTR))
            break;
    }
    text[n] = '\0';
    return n;
}

bool tryout_reaped(tryout_t *tryout, pid_t pid, int status)
{
    if (pid <= 0 || pid != tryout->pid)
        return false;
    tryout->is_reaped = true;
    tryout->status = status;
    return true;
}

static void child_wait(tryout_t *tryout)
{
    while (!tryout->is_reaped && waitpid(tryout->pid, &tryout->status, 0) < 0 && errno == EINTR)
        ;
}

int tryout_finish(tryout_t *tryout, bool is_late, weir_error_t *err)
{
    char answer[sizeof(err->text) + 1] = "", how[96];
    if (is_late && !tryout->is_reaped)
        (void)kill(tryout->pid, SIGKILL); /* cannot fail: it is ours and not waited for yet */
    if (!is_late)
        answer_read(tryout->fd, answer, sizeof(answer));
    close(tryout->fd);
    child_wait(tryout);
    fork_status(tryout->status, how, sizeof(how));
    *tryout = (tryout_t){.fd = -1};
    if (is_late)
        return weir_error(err, "trying the configuration took longer than %d s: a module hangs", TRYOUT_SECONDS);
    if (answer[0] == '+')
        return WEIR_OK;
    if (answer[0] == '-')
        return weir_error(err, "%s", answer + 1);
    return weir_error(err, "the process that tried the configuration ended without an answer: %s; look at its modules",
                      how);
}

int tryout_run(config_t *config, weir_error_t *err)
{
    tryout_t tryout;
    if (tryout_start(&tryout, config, err) != WEIR_OK)
        return WEIR_EFAIL;
    struct pollfd answer = {.fd = tryout.fd, .events = POLLIN};
    int n;
    do
        n = poll(&answer, 1, TRYOUT_SECONDS * 1000);
    while (n < 0 && errno == EINTR);
    return tryout_finish(&tryout, n == 0, err);
}
