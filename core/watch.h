/* watch.h: `weir status --watch`: looks at the running weir again and again. */
#ifndef WATCH_H
#define WATCH_H

#include <stdint.h>

#include <weir/error.h>

#include "config.h"

struct json_t;

/* One look: /status, which belongs to the caller; NULL with the reason. */
struct json_t *watch_look(const config_t *config, weir_error_t *err);

/* Look every `ms` until somebody says stop. On a terminal one table is drawn over the other; elsewhere they follow each other. Fails
 * when the first look does; later ones tell why there is nothing to see, and it goes on. */
int watch_run(const config_t *config, uint64_t ms, weir_error_t *err);

#endif
