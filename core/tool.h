/* tool.h: the commands that serve nothing: they look, say what they see, and end. Each returns the exit status. */
#ifndef TOOL_H
#define TOOL_H

#include "cli.h"
#include "proc.h"

#include <weir/error.h>

int tool_check(const cli_t *cli);
int tool_signal(const cli_t *cli);
int tool_status(const cli_t *cli);
int tool_modules(const cli_t *cli);
int tool_schema(const cli_t *cli);
int tool_command(const cli_t *cli);
int tool_build(void);

/* What every tool begins and ends with: a context in `proc`, the configuration in it. tool_end() says the error, also that of
 * tool_begin(), and makes the exit status. */
int tool_begin(proc_t *context, const cli_t *cli, weir_error_t *err);
int tool_end(proc_t *context, int rc, const weir_error_t *err);

#endif
