/* minder.c: the process between a keeper and one child.
 *
 * A keeper that is killed cannot clean up, and what its child started cannot be found by anyone but an ancestor: so every child
 * has a minder, a fork of the keeper that does nothing else. It is a subreaper: what loses its parent below it becomes its own
 * child, also after setsid(). It ends only when it has no child left. It has a name of its own, so that `pkill -9 weir` does not
 * take it with the rest; should it be killed all the same, the command dies with it (PR_SET_PDEATHSIG), and the keeper, a
 * subreaper as well, inherits and ends the others.
 *
 * Holds the channel to the keeper, a signalfd, and nothing of the command's pipes. All signals are blocked in it.
 *
 *   state     event                             next     what happens
 *   STARTING  the report pipe closes: exec done RUNNING  STARTED to the keeper
 *   STARTING  the report pipe says why not      ENDING
 *   any       the command exits                 ENDING   KILL to its group, and to all descendants
 *   any       TERM from the keeper              same     TERM to its group
 *   any       KILL, the keeper's end, SIGTERM   ENDING   KILL to all descendants
 *   ENDING    no child is left                  -        ENDED to the keeper, _exit
 */
#include "minder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork.h"
#include "kin.h"
#include "nofile.h"
#include "proc.h"
#include "title.h"
#include "user.h"

#define CONTROL_FD 3 /* behind the three that the command gets */
#define SWEEP_MS 5   /* between two rounds of killing */

typedef enum minder_state { STARTING, RUNNING, ENDING } minder_state_t;

typedef struct minder {
    minder_state_t state;
    int signals; /* signalfd */
    int report;  /* why the command could not be run; ends when it runs */
    pid_t command;
    char how[MINDER_TEXT_MAX];
} minder_t;

/* ---- the command, after its fork ---- */

static int limit_set(int resource, uint64_t limit)
{
    struct rlimit now;
    if (limit == 0)
        return 0;
    if (getrlimit(resource, &now) != 0)
        return -1;
    rlim_t value = limit > now.rlim_max ? now.rlim_max : limit;
    return setrlimit(resource, &(struct rlimit){value, value});
}

static int limits_set(const weir_child_spec_t *spec)
{
    if (nofile_restore() != 0 || limit_set(RLIMIT_AS, spec->limit_memory) != 0 ||
        limit_set(RLIMIT_NOFILE, spec->limit_files) != 0)
        return -1;
    return limit_set(RLIMIT_CPU, spec->limit_cpu_s);
}

static int environment_set(const weir_map_t *env)
{
    for (size_t i = 0; i < env->count; i++)
        if (setenv(env->names[i], env->values[i], 1) != 0)
            return -1;
    return 0;
}

static int signals_give_back(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < SIGRTMIN; number++)
        if (sigaction(number, &plain, NULL) != 0 && errno != EINVAL) /* KILL, STOP */
            return -1;
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Asked for after the change of user, which makes the kernel forget it; and a minder that died before is not noticed. */
static int follow_minder(pid_t minder)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return -1;
    errno = ESRCH;
    return getppid() == minder ? 0 : -1;
}

/* A keeper that is still root is it for the sake of other children: this one runs as weir does. */
static const char *user_wanted(const weir_child_spec_t *spec)
{
    if (spec->user != NULL)
        return spec->user;
    return geteuid() == 0 && proc->config != NULL ? proc->config->user : NULL;
}

static int user_take(const char *name, weir_error_t *err)
{
    user_t user;
    if (user_find(name, &user, err) != WEIR_OK)
        return WEIR_EFAIL;
    return user.uid == geteuid() ? WEIR_OK : user_become(&user, err);
}

/* Returns only when it fails, with the story. */
static int command_run(const weir_child_spec_t *spec, pid_t minder, weir_error_t *err)
{
    const char *name = user_wanted(spec);
    if (setpgid(0, 0) != 0)
        return weir_error(err, "cannot make a process group: %s", strerror(errno));
    if (limits_set(spec) != 0)
        return weir_error(err, "cannot set its resource limits: %s", strerror(errno));
    if (name != NULL && user_take(name, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (follow_minder(minder) != 0)
        return weir_error(err, "cannot follow its minder: %s", strerror(errno));
    if (spec->cwd != NULL && chdir(spec->cwd) != 0)
        return weir_error(err, "cannot go to its cwd %s: %s", spec->cwd, strerror(errno));
    if (environment_set(&spec->env) != 0 || signals_give_back() != 0)
        return weir_error(err, "cannot set its environment: %s", strerror(errno));
    execvp(spec->command.items[0], (char *const *)spec->command.items);
    return weir_error(err, "cannot run %s: %s", spec->command.items[0], strerror(errno));
}

_Noreturn static void command_main(const weir_child_spec_t *spec, pid_t minder, int report)
{
    weir_error_t err;
    command_run(spec, minder, &err);
    ssize_t n = write(report, err.text, strlen(err.text));
    _exit(n < 0 ? 126 : 127);
}

/* ---- the minder ---- */

/* Descriptors 0 to 2 are the command's, 3 is the channel, and there are no others. */
static int descriptors_place(const minder_fds_t *fds)
{
    const int given[] = {fds->in, fds->out, fds->errors, fds->control};
    int out_of_the_way[4];
    for (int i = 0; i < 4; i++)
        if ((out_of_the_way[i] = fcntl(given[i], F_DUPFD, CONTROL_FD + 1)) < 0)
            return -1;
    for (int i = 0; i < 4; i++)
        if (dup2(out_of_the_way[i], i) < 0)
            return -1;
    return close_range(CONTROL_FD + 1, ~0u, 0) != 0 || fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0 ? -1 : 0;
}

/* The command's ends must close when the command does. */
static int descriptors_give_up(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -1;
    for (int i = 0; i < CONTROL_FD; i++)
        if (dup2(null, i) < 0)
            return -1;
    return close(null);
}

/* Where the kernel looks for the command line: arg_start and arg_end, fields 48 and 49 of stat (proc(5)). */
static title_t title_room_of_self(void)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return (title_t){NULL, 0};
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* of the second field, which may hold anything */
    for (int field = 2; p != NULL && field < 48; field++)
        p = strchr(p + 1, ' ');
    if (p == NULL)
        return (title_t){NULL, 0};
    char *end;
    uintptr_t first = strtoul(p, &end, 10), last = strtoul(end, NULL, 10);
    return first == 0 || last <= first ? (title_t){NULL, 0} : (title_t){(char *)first, last - first};
}

static void title_show(const char *name)
{
    char text[64];
    snprintf(text, sizeof(text), "mcp:%s", name);
    title_t room = title_room_of_self();
    title_set(&room, text);
}

static void say(minder_word_t word, pid_t pid, const char *text)
{
    minder_message_t message = {.word = word, .pid = pid};
    snprintf(message.text, sizeof(message.text), "%s", text);
    (void)send(CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL); /* a keeper that has gone needs no news */
}

static int signals_open(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int command_fork(minder_t *m, const weir_child_spec_t *spec, weir_error_t *err)
{
    int report[2];
    pid_t self = getpid();
    if (pipe2(report, O_CLOEXEC) != 0)
        return weir_error(err, "cannot make a pipe: %s", strerror(errno));
    m->command = fork();
    if (m->command == 0)
        command_main(spec, self, report[1]);
    m->report = report[0];
    close(report[1]);
    if (m->command < 0)
        return weir_error(err, "cannot fork: %s", strerror(errno));
    (void)setpgid(m->command, m->command); /* as the command does: whoever comes first */
    return WEIR_OK;
}

static int minder_start(minder_t *m, const weir_child_spec_t *spec, const minder_fds_t *fds, weir_error_t *err)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    if (descriptors_place(fds) != 0)
        return weir_error(err, "cannot place its descriptors: %s", strerror(errno));
    if (sigaction(SIGCHLD, &plain, NULL) != 0 || (m->signals = signals_open()) < 0)
        return weir_error(err, "cannot hear signals: %s", strerror(errno));
    if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return weir_error(err, "cannot become a subreaper: %s", strerror(errno));
    title_show(spec->name);
    if (command_fork(m, spec, err) != WEIR_OK)
        return WEIR_EFAIL;
    return descriptors_give_up() == 0 ? WEIR_OK : weir_error(err, "cannot open /dev/null: %s", strerror(errno));
}

static void minder_end(minder_t *m)
{
    m->state = ENDING;
    kin_signal(getpid(), SIGKILL);
}

static void on_report(minder_t *m)
{
    ssize_t n = read(m->report, m->how, sizeof(m->how) - 1);
    close(m->report);
    m->report = -1;
    if (n > 0) {
        m->how[n] = '\0';
        m->state = ENDING;
    } else if (m->state == STARTING) {
        m->state = RUNNING;
        say(MINDER_STARTED, m->command, "");
    }
}

/* One child has ended. The command's number stays taken until it is reaped, so its group cannot be another's yet. Whether it
 * ever ran is known by now. */
static void minder_reap(minder_t *m, pid_t pid)
{
    int status;
    if (pid == m->command)
        (void)kill(-m->command, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || pid != m->command)
        return;
    if (m->report >= 0)
        on_report(m);
    m->command = -1;
    if (m->how[0] == '\0')
        fork_status(status, m->how, sizeof(m->how));
    minder_end(m);
}

/* False when there is no child left at all. */
static bool minder_reap_all(minder_t *m)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno != EINTR)
            return false;
        if (info.si_pid == 0)
            return true;
        minder_reap(m, info.si_pid);
    }
}

static void on_control(minder_t *m)
{
    char word;
    ssize_t n = recv(CONTROL_FD, &word, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 1 && word == MINDER_TERM && m->command > 0)
        (void)kill(-m->command, SIGTERM);
    else if (n <= 0 || word == MINDER_KILL)
        minder_end(m);
}

static void on_signal(minder_t *m)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM)
            minder_end(m);
}

/* While it is ending it asks again every few milliseconds: what is killed may just have forked. The keeper has nothing more to
 * say then, and its end would be heard without a pause. */
static void minder_wait(minder_t *m)
{
    struct pollfd fds[] = {
        {.fd = m->signals, .events = POLLIN},
        {.fd = m->report, .events = POLLIN},
        {.fd = m->state == ENDING ? -1 : CONTROL_FD, .events = POLLIN},
    };
    if (poll(fds, 3, m->state == ENDING ? SWEEP_MS : -1) < 0)
        return;
    if (fds[0].revents != 0)
        on_signal(m);
    if (fds[1].revents != 0)
        on_report(m);
    if (fds[2].revents != 0)
        on_control(m);
}

void minder_main(const weir_child_spec_t *spec, const minder_fds_t *fds)
{
    minder_t m = {.signals = -1, .report = -1, .command = -1};
    weir_error_t err;
    if (minder_start(&m, spec, fds, &err) != WEIR_OK) {
        snprintf(m.how, sizeof(m.how), "%.*s", (int)sizeof(m.how) - 1, err.text);
        minder_end(&m);
    }
    while (minder_reap_all(&m)) {
        if (m.state == ENDING)
            minder_end(&m);
        minder_wait(&m);
    }
    say(MINDER_ENDED, 0, m.how[0] == '\0' ? "killed by signal 9 (SIGKILL)" : m.how);
    _exit(EXIT_SUCCESS);
}
