/* check.h: what a configuration names outside of itself: files, folders, users, addresses. Whether they can be used is found out
 * when it is tried, and told with the place in the file; nothing is made or kept.
 */
#ifndef CHECK_H
#define CHECK_H

#include <weir/error.h>

#include "config.h"

/* With the rights of this process. An address that somebody listens on passes: it may be the weir that runs. */
int check_config(const config_t *config, weir_error_t *err);

/* Of that only whether this process may start every server as the user that it is to run as. */
int check_server_users(const config_t *config, weir_error_t *err);

/* Tell of every command of an upstream that cannot be run here. No reason to refuse a configuration: it may be installed yet, and
 * the other upstreams serve. */
void check_commands(const config_t *config, void (*tell)(const char *text));

/* Whether nobody listens on any of its addresses. */
int check_addresses_are_free(const config_t *config, weir_error_t *err);

#endif
