/* command.h: what an operator tells the modules of a running weir: POST COMMAND_PATH MODULE/WORD/UPSTREAM[/SERVER] to `admin:`, which
 * is what `weir MODULE WORD UPSTREAM[/SERVER]` does. What it changes lies in shared memory, so that one worker can do it for all.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdint.h>

#include <weir/error.h>
#include <weir/slice.h>

#define COMMAND_PATH "/modules/"

/* Run what the rest of the path says. An HTTP status: 200, or 400 or 404 with the story. */
uint16_t command_run(weir_slice_t path, weir_error_t *err);

#endif
