/* trial.c: see trial.h. Runs in a forked child of the master: a module that crashes takes only this child with it. */
#include "trial.h"

#include <ev.h>

#include "check.h"
#include "log.h"
#include "proc.h"
#include "room.h"
#include "timer.h"

int trial_main(config_t *config, weir_error_t *err)
{
    static proc_t trial;
    trial = (proc_t){.kind = PROC_TRIAL, .config = config};
    proc = &trial;
    proc->loop = ev_loop_new(EVFLAG_AUTO);
    proc->timers = timers_new(proc->loop);
    if (proc->loop == NULL || proc->timers == NULL)
        return weir_error(err, "no memory to try the configuration");
    if (check_config(config, err) != WEIR_OK)
        return WEIR_EFAIL;
    proc->log = log_open((weir_level_t)config->log_level, config->log_file, err);
    room_t room = {0};
    if (proc->log == NULL || room_enter(NULL, err) != WEIR_OK)
        return WEIR_EFAIL;
    int result = room_furnish(&room, config, err);
    room_clear(&room);
    return result;
}
