/* connect.h: `weir connect`: a stdio server in front of a server over HTTP, with no configuration file. */
#ifndef CONNECT_H
#define CONNECT_H

#include "cli.h"
#include "title.h"

/* Serve until the client has closed our stdin, or we are told to stop; the exit status. */
int connect_main(const cli_t *cli, const title_t *title);

#endif
