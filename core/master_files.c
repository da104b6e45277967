/* master_files.c: the files that the master keeps for all: the logs, and the pid file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "master.h"
#include "pidfile.h"
#include "user.h"

bool master_logs_to_stderr(const config_t *config)
{
    return config->log_file == NULL || strcmp(config->log_file, "stderr") == 0;
}

int master_give_logs(const config_t *config, weir_error_t *err)
{
    user_t user;
    if (config->user == NULL || geteuid() != 0)
        return WEIR_OK;
    if (user_find(config->user, &user, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (!master_logs_to_stderr(config) && user_give_file(&user, config->log_file, err) != WEIR_OK)
        return WEIR_EFAIL;
    return config->access_file == NULL ? WEIR_OK : user_give_file(&user, config->access_file, err);
}

int master_log(master_t *master, const config_t *config, weir_error_t *err)
{
    struct log *log = log_open((weir_level_t)config->log_level, config->log_file, err);
    if (log == NULL)
        return WEIR_EFAIL;
    log_close(master->proc.log);
    master->proc.log = log;
    return WEIR_OK;
}

int master_pid_file(master_t *master, const config_t *config, weir_error_t *err)
{
    if (master->pid_file != NULL && config->pid_file != NULL && strcmp(master->pid_file, config->pid_file) == 0)
        return WEIR_OK;
    if (master->pid_file != NULL)
        pidfile_remove(master->pid_file);
    free(master->pid_file);
    master->pid_file = NULL;
    if (config->pid_file == NULL)
        return WEIR_OK;
    if (pidfile_write(config->pid_file, err) != WEIR_OK)
        return WEIR_EFAIL;
    master->pid_file = strdup(config->pid_file);
    return master->pid_file == NULL ? weir_error(err, "pid_file: out of memory") : WEIR_OK;
}
