/* master.h: the process that stays: it owns the sockets, the pid file and the other processes, and runs no module code.
 *
 * This header is shared by its parts: master.c (signals, the end), change.c (from one configuration to the next), generation.c,
 * launch.c (how a process gets what it needs), master_files.c (logs, pid file). One master_t, on the stack of master_run().
 */
#ifndef MASTER_H
#define MASTER_H

#include <ev.h>

#include <weir/list.h>

#include "process.h"
#include "slot.h"
#include "sockets.h"
#include "title.h"
#include "tryout.h"

typedef struct master_options {
    const char *file; /* name of the configuration */
    const char *text; /* its text, or NULL: the file is read, and read again on SIGHUP */
    title_t title;
    bool is_daemon; /* somebody waits for daemon_ready() */
    /* All is ready for the first time; `address` is the first listener's. May be NULL. */
    void (*on_ready)(const void *arg, const char *address);
    const void *arg;
} master_options_t;

/* Serve until told to stop. The exit status. */
int master_run(const master_options_t *options);

/* A configuration and the workers that were started with it. Freed when it is in force no more and its last worker has left. */
typedef struct generation {
    weir_list_t node; /* in master.generations */
    uint32_t number;
    config_t *config;
    char *text; /* of the configuration, for keepers */
    slot_t *workers;
    size_t nworkers;
} generation_t;

/* From one configuration to the next; see change.c. */
typedef enum change_state { CHANGE_NONE, CHANGE_TRYING, CHANGE_APPLYING, CHANGE_STARTING } change_state_t;

typedef enum ending { ENDING_NOT, ENDING_QUIT, ENDING_STOP, ENDING_KILL } ending_t;

typedef struct master {
    proc_t proc;
    const master_options_t *options;
    int signal_fd;
    struct ev_io signals;
    struct ev_prepare settle;
    sockets_t sockets;
    weir_list_t generations; /* all that live, oldest first */
    generation_t *current;   /* in force; NULL until the first is */
    generation_t *coming;    /* while a change is under way */
    uint32_t generation_last;
    slot_t *keepers;
    size_t nkeepers;

    change_state_t change;
    bool is_change_due;        /* SIGHUP came during a change */
    weir_error_t change_error; /* not empty: the change has failed, and is undone at the end of this turn */
    tryout_t tryout;
    struct ev_io tryout_answer;
    struct ev_timer change_limit;

    ending_t ending;
    struct ev_timer strays_limit, strays_patience;
    bool is_patience_over; /* strays are killed */
    int status;
    char *pid_file; /* that we wrote, or NULL */
    void *shared;
    pid_t *strangers; /* children that were there before us, 0 ends them */
    uint8_t seed[PROCESS_SEED_SIZE];
} master_t;

static inline generation_t *generation_of(weir_list_t *node)
{
    return WEIR_CONTAINER(node, generation_t, node);
}

/* --- change.c --- */

/* Begin to change to what the configuration says now. During a change it is remembered. */
void change_begin(master_t *master);
/* Give the change up, at the end of this turn. */
void change_fail(master_t *master, const char *why);
void change_abort(master_t *master);
/* Do what the states of the processes allow; true when something was done. */
bool change_settle(master_t *master);

/* --- generation.c --- */

/* Of what the configuration says now; its workers' slots are empty, and their owner's. */
generation_t *generation_new(master_t *master, const slot_owner_t *owner, weir_error_t *err);
void generation_free(generation_t *generation);
bool generation_is_empty(const generation_t *generation);

/* --- launch.c --- */

/* Make the processes of a slot; see slot_owner_t. */
int launch(slot_t *slot, weir_error_t *err);
/* Send a configuration to a keeper, and expect its answer. */
int launch_config(slot_t *keeper, const generation_t *generation);

/* --- master_files.c --- */

/* Give the files of the logs to the user that processes run as, so that they can open them again. */
int master_give_logs(const config_t *config, weir_error_t *err);
/* Log to where this configuration says. */
int master_log(master_t *master, const config_t *config, weir_error_t *err);
bool master_logs_to_stderr(const config_t *config);
int master_pid_file(master_t *master, const config_t *config, weir_error_t *err);

#endif
