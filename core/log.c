/* log.c: the error log of a process. The master opens the file, workers and keepers inherit it and reopen it on SIGUSR1.
 *
 * Owns its fd (not stderr's). A line is put together on the stack and written with one write(2): O_APPEND keeps the lines of
 * several processes apart, and there is nothing to flush when a process dies. Calls nothing of weir, so that everything else
 * may call it.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"

/* A line is at most what a pipe takes whole or not at all (PIPE_BUF). */
#define LINE_MAX_BYTES 4096u

struct log {
    weir_level_t level;
    int fd;
    bool may_block;   /* a pipe, a socket or a terminal: ask before writing */
    uint32_t dropped; /* lines lost since the last one that passed */
    char *file;       /* NULL: stderr */
};

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug"};

const char *log_level_name(weir_level_t level)
{
    return (size_t)level < sizeof(level_names) / sizeof(level_names[0]) ? level_names[level] : "?";
}

static const char *kind_name(proc_kind_t kind)
{
    static const char *const names[] = {"master", "worker", "keeper", "trial", "weir"};
    return names[kind];
}

static int open_file(const char *file, weir_error_t *err)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0)
        return weir_error(err, "cannot open the log %s: %s", file,
                          errno == ENOENT ? "there is no such folder" : strerror(errno));
    return fd;
}

static bool can_block(int fd)
{
    struct stat st;
    return fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
}

struct log *log_open(weir_level_t level, const char *file, weir_error_t *err)
{
    bool is_stderr = file == NULL || strcmp(file, "stderr") == 0;
    struct log *log = calloc(1, sizeof(*log));
    if (log == NULL || (!is_stderr && (log->file = strdup(file)) == NULL)) {
        free(log);
        weir_error(err, "cannot open the log: out of memory");
        return NULL;
    }
    log->level = level;
    log->fd = is_stderr ? STDERR_FILENO : open_file(file, err);
    if (log->fd < 0) {
        free(log->file);
        free(log);
        return NULL;
    }
    log->may_block = can_block(log->fd);
    return log;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    if (log->file != NULL)
        close(log->fd);
    free(log->file);
    free(log);
}

int log_reopen(struct log *log, weir_error_t *err)
{
    if (log->file == NULL)
        return WEIR_OK;
    int fd = open_file(log->file, err);
    if (fd < 0)
        return WEIR_EFAIL;
    close(log->fd);
    log->fd = fd;
    log->may_block = can_block(fd);
    return WEIR_OK;
}

int log_chown(struct log *log, unsigned uid, unsigned gid, weir_error_t *err)
{
    if (log->file == NULL || fchown(log->fd, uid, gid) == 0)
        return WEIR_OK;
    return weir_error(err, "cannot give the log %s to user %u: %s", log->file, uid, strerror(errno));
}

bool log_is_on(weir_level_t level)
{
    return level <= (proc != NULL && proc->log != NULL ? proc->log->level : WEIR_LOG_NOTICE);
}

/* "2026-11-24T01:50:00.123Z notice [worker/0 12345] " */
static size_t write_prefix(char *p, size_t n, weir_level_t level)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t used = strftime(p, n, "%Y-%m-%dT%H:%M:%S", &tm);
    proc_kind_t kind = proc != NULL ? proc->kind : PROC_TOOL;
    char slot[16] = "";
    if (kind == PROC_WORKER || kind == PROC_KEEPER)
        snprintf(slot, sizeof(slot), "/%d", proc->slot);
    int more = snprintf(p + used, n - used, ".%03dZ %s [%s%s %d] ", (int)(now.tv_nsec / 1000000), log_level_name(level),
                        kind_name(kind), slot, (int)getpid());
    return more < 0 ? used : used + (size_t)more;
}

/* Copy with control characters as \xNN: what a peer sent must not forge lines or drive a terminal. */
static size_t escape(char *to, size_t room, const char *from)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    for (; *from != '\0' && used + 4 <= room; from++) {
        unsigned char c = (unsigned char)*from;
        if ((c >= 0x20 && c != 0x7f) || c == '\t') {
            to[used++] = (char)c;
            continue;
        }
        to[used++] = '\\';
        if (c == '\n' || c == '\r') {
            to[used++] = c == '\n' ? 'n' : 'r';
            continue;
        }
        to[used++] = 'x';
        to[used++] = hex[c >> 4];
        to[used++] = hex[c & 15];
    }
    return used;
}

/* One write(2). A pipe that is full now would stop the loop, so it is asked first and the line is lost instead. */
static bool write_line(int fd, bool may_block, const char *p, size_t n)
{
    struct pollfd ask = {.fd = fd, .events = POLLOUT};
    if (may_block && (poll(&ask, 1, 0) != 1 || (ask.revents & POLLOUT) == 0))
        return false;
    ssize_t written;
    do
        written = write(fd, p, n);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)n;
}

static bool say(struct log *log, weir_level_t level, const char *text)
{
    char line[LINE_MAX_BYTES];
    size_t used = write_prefix(line, sizeof(line), level);
    used += escape(line + used, sizeof(line) - used - 1, text);
    line[used++] = '\n';
    if (log == NULL)
        return write_line(STDERR_FILENO, true, line, used);
    return write_line(log->fd, log->may_block, line, used);
}

void log_write(weir_level_t level, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    int kept = errno;
    struct log *log = proc != NULL ? proc->log : NULL;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    if (log != NULL && log->dropped > 0) {
        char lost[64];
        snprintf(lost, sizeof(lost), "log: %u lines were lost: its reader is too slow", log->dropped);
        if (say(log, WEIR_LOG_WARN, lost))
            log->dropped = 0;
    }
    if (!say(log, level, text) && log != NULL)
        log->dropped++;
    errno = kept;
}
