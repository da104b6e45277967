/* inlet.h: the keeper's ends of the channels: where the exchanges of the workers come in. An accept side of the host's own. */
#ifndef INLET_H
#define INLET_H

#include "channel.h"

/* Take a worker's stream. The descriptor is the inlet's. */
int inlet_open(int worker, uint32_t generation, int fd, weir_error_t *err);
size_t inlets_count(void);
/* Whether there is a worker of a configuration before this one. */
bool inlets_are_older_than(uint32_t generation);
/* Close all of them; what is under way is abandoned. */
void inlets_close(void);

#endif
