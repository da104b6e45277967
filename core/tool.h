/* tool.h: the commands that serve nothing: they look, say what they see, and end. Each returns the exit status. */
#ifndef TOOL_H
#define TOOL_H

#include "cli.h"

int tool_check(const cli_t *cli);
int tool_signal(const cli_t *cli);
int tool_status(const cli_t *cli);
int tool_modules(const cli_t *cli);
int tool_schema(const cli_t *cli);
int tool_build(void);

#endif
