/* status_links.h: what /status says of each link to a server, whatever process has it. */
#ifndef STATUS_LINKS_H
#define STATUS_LINKS_H

#include "upstream.h"

struct json_t;

struct json_t *links_status(const upstream_t *up, const server_t *server);

#endif
