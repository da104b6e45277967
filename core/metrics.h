/* metrics.h: what /metrics says: the numbers of /status as Prometheus text, version 0.0.4. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The caller frees it. NULL when there is no memory. */
char *metrics_text(bool is_ready);

#endif
