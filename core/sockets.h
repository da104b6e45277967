/* sockets.h: the listening sockets of the master.
 *
 * For each address a place, with one SO_REUSEPORT socket for each worker slot (a Unix socket and the admin address have one,
 * shared by all). A place is opened when a configuration first names its address and closed when no configuration names it any
 * more; reloads in between inherit the very same sockets, so that no connection in a queue is lost. When there are fewer workers
 * than before, the sockets of the slots that are gone are handed to the workers that are left.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/list.h>

#include "process.h"

typedef struct sockets {
    weir_list_t places;
} sockets_t;

void sockets_init(sockets_t *sockets);

/* Open what this configuration needs and is not open yet, for `nworkers` slots. On failure what was opened is closed again. */
int sockets_open(sockets_t *sockets, const config_t *config, size_t nworkers, weir_error_t *err);

/* The configuration that sockets_open() was last called for is in force: close the places it does not name, and log those that
 * are new. Or it is not: close what was opened for it. */
void sockets_commit(sockets_t *sockets);
void sockets_rollback(sockets_t *sockets);

/* The share of one worker slot. `*listens` is the caller's to free; its addresses live as long as the place. */
int sockets_share(const sockets_t *sockets, const config_t *config, size_t slot, size_t nworkers, listen_fd_t **listens,
                  size_t *n);
int sockets_admin(const sockets_t *sockets, const config_t *config);

/* The address that the first listener got, for people; NULL when there is none. */
const char *sockets_first(const sockets_t *sockets);

void sockets_close(sockets_t *sockets);

#endif
