/* keeper.h: the main of a keeper. See process.h for what it is given. */
#ifndef KEEPER_H
#define KEEPER_H

#include "process.h"

int keeper_main(const process_args_t *args);

#endif
