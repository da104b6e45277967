/* status_table.h: /status as a table for people: one line for each upstream and each of its servers. */
#ifndef STATUS_TABLE_H
#define STATUS_TABLE_H

#include <stdio.h>

#include <weir/error.h>

struct json_t;

/* What a table is made of. With an earlier look at the same weir, rates and times are of what came between the two. */
typedef struct table_frame {
    const struct json_t *now, *before; /* before NULL: none */
    double seconds;                    /* between them */
    unsigned columns, rows;            /* of the window; 0: no bound */
    const char *end_of_line;           /* what stands before each newline; NULL: nothing */
} table_frame_t;

/* WEIR_EFAIL when it could not be written. */
int table_write(FILE *out, const table_frame_t *frame);

#endif
