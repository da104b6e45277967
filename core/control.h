/* control.h: the words between the master and its processes, on one SOCK_SEQPACKET socketpair each: one message, one packet.
 *
 *   word      from     means                                             carries
 *   READY     process  it serves                                         generation
 *   APPLIED   keeper   the configuration is in force                     generation
 *   FAILED    keeper   it could not be put in force                      generation, text: why
 *   DRAIN     master   finish and leave                                  generation: of those that follow, 0: nobody does
 *   STOP      master   leave now
 *   REOPEN    master   open the logs again
 *   PEER      master   a stream to a process of the other kind           slot, generation, descriptor
 *   CONFIG    master   put this configuration in force                   generation, text: its file name, descriptor: its text
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdint.h>

#include <weir/error.h>

typedef enum control_word {
    CONTROL_READY = 1,
    CONTROL_APPLIED,
    CONTROL_FAILED,
    CONTROL_DRAIN,
    CONTROL_STOP,
    CONTROL_REOPEN,
    CONTROL_PEER,
    CONTROL_CONFIG,
} control_word_t;

#define CONTROL_TEXT_MAX 4096

typedef struct control_message {
    uint32_t word; /* control_word_t */
    int32_t slot;
    uint32_t generation;
    char text[CONTROL_TEXT_MAX]; /* NUL-terminated; only what is used travels */
} control_message_t;

/* Make the two ends, both non-blocking and close-on-exec. */
int control_pair(int fds[2]);

/* Send one message, and a descriptor with it unless it is -1 (it stays the caller's too). */
int control_send(int fd, const control_message_t *message, int descriptor);

/* Take one message: WEIR_OK, WEIR_EAGAIN (none now), WEIR_ECLOSED (the other end has gone), WEIR_EFAIL (not a message of ours).
 * `descriptor` becomes the one that came with it, the caller's from now on, or -1. */
int control_receive(int fd, control_message_t *message, int *descriptor);

#endif
