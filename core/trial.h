/* trial.h: the main of the child in which a configuration is tried before it serves: load the modules, read their options, make
 * every listener and upstream, start nothing that the world would see. Runs with the privileges of the master.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include <weir/error.h>

#include "config.h"

int trial_main(config_t *config, weir_error_t *err);

#endif
