/* log.h: the error log. One line per event, written with one write(2), so that lines of several processes never mix. */
#ifndef LOG_H
#define LOG_H

#include <weir/error.h>
#include <weir/module.h>

struct log;

/* Open a log. `file` is a path, or NULL or "stderr". The caller hangs it into proc->log; NULL with `err` on failure. */
struct log *log_open(weir_level_t level, const char *file, weir_error_t *err);
void log_close(struct log *log);

/* Open the file again under its name (after rotation). The old file stays in use when that fails. */
int log_reopen(struct log *log, weir_error_t *err);

/* Give the file to the user that the workers run as, so that they can reopen it. Nothing happens to stderr. */
int log_chown(struct log *log, unsigned uid, unsigned gid, weir_error_t *err);

/* Write a line to proc->log, or to stderr from level notice up while there is none. Never blocks: a line that a full pipe
 * does not take is dropped and counted, and the next line that passes says how many were lost. errno is kept. */
void log_write(weir_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_is_on(weir_level_t level);

const char *log_level_name(weir_level_t level);

#endif
