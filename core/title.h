/* title.h: the name that ps and top show for a process: "weir: worker/0". */
#ifndef TITLE_H
#define TITLE_H

#include <stddef.h>

/* The memory in which the kernel looks for the command line. */
typedef struct title {
    char *start;
    size_t size;
} title_t;

/* Find the room. What is still needed of argv must have been copied before the first title_set(). */
title_t title_room(int argc, char **argv);

/* Show a text, cut to the room there is: what the command line had. The environment behind it is left alone, so that
 * /proc/PID/environ goes on telling the truth. */
void title_set(const title_t *title, const char *text);

#endif
