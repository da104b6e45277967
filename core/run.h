/* run.h: `weir run`: one server behind weir, with no configuration file. */
#ifndef RUN_H
#define RUN_H

#include "cli.h"
#include "title.h"

/* Serve until told to stop; the exit status. */
int run_main(const cli_t *cli, const title_t *title);

#endif
