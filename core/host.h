/* host.h: the table of functions that modules are given. */
#ifndef HOST_H
#define HOST_H

#include <weir/module.h>

const weir_host_t *host_table(void);

#endif
