/* worker.h: the main of a worker. See process.h for what it is given. */
#ifndef WORKER_H
#define WORKER_H

#include "process.h"

int worker_main(const process_args_t *args);

#endif
