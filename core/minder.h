/* minder.h: a minder is a small process between a keeper and one child, so that no child outlives weir. See minder.c. */
#ifndef MINDER_H
#define MINDER_H

#include <stdint.h>
#include <weir/module.h>

#define MINDER_TEXT_MAX 256

/* What a minder says to its keeper, one message each. */
typedef enum minder_word {
    MINDER_STARTED = 1, /* the command runs, as `pid` */
    MINDER_ENDED,       /* nothing of it is left; `text` says how it ended, or why it never began */
} minder_word_t;

typedef struct minder_message {
    uint32_t word;
    int32_t pid;
    char text[MINDER_TEXT_MAX];
} minder_message_t;

/* What a keeper says to a minder, one byte each. The end of the channel means KILL. */
#define MINDER_TERM 'T' /* to the process group of the command */
#define MINDER_KILL 'K' /* to all that descends from it */

/* The descriptors that a minder is given. */
typedef struct minder_fds {
    int control;         /* SOCK_SEQPACKET to the keeper */
    int in, out, errors; /* the command's stdin, stdout and stderr */
} minder_fds_t;

/* The whole life of a minder, from the fork with all signals blocked to its end. */
_Noreturn void minder_main(const weir_child_spec_t *spec, const minder_fds_t *fds);

#endif
