/* trial.c: see trial.h. Runs in a forked child of the master: a module that crashes takes only this child with it. */
#include "trial.h"

#include <ev.h>

#include "access.h"
#include "log.h"
#include "proc.h"
#include "room.h"
#include "timer.h"
#include "user.h"

static int trial_user(const config_t *config, weir_error_t *err)
{
    user_t user;
    return config->user == NULL ? WEIR_OK : user_find(config->user, &user, err);
}

static int trial_logs(const config_t *config, weir_error_t *err)
{
    proc->log = log_open((weir_level_t)config->log_level, config->log_file, err);
    if (proc->log == NULL)
        return WEIR_EFAIL;
    struct access *access = access_open(config, err);
    if (access == NULL && config->access_file != NULL)
        return WEIR_EFAIL;
    access_close(access);
    return WEIR_OK;
}

int trial_main(config_t *config, weir_error_t *err)
{
    static proc_t trial;
    trial = (proc_t){.kind = PROC_TRIAL, .config = config};
    proc = &trial;
    proc->loop = ev_loop_new(EVFLAG_AUTO);
    proc->timers = timers_new(proc->loop);
    if (proc->loop == NULL || proc->timers == NULL)
        return weir_error(err, "no memory to try the configuration");
    room_t room = {0};
    if (trial_user(config, err) != WEIR_OK || trial_logs(config, err) != WEIR_OK || room_enter(NULL, err) != WEIR_OK)
        return WEIR_EFAIL;
    int result = room_furnish(&room, config, err);
    if (result == WEIR_OK)
        room_clear(&room);
    return result;
}
