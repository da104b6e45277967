/* generation.c: a configuration and the workers that were started with it. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master.h"

void generation_free(generation_t *generation)
{
    if (generation == NULL)
        return;
    weir_list_remove(&generation->node);
    config_free(generation->config);
    free(generation->text);
    free(generation->workers);
    free(generation);
}

bool generation_is_empty(const generation_t *generation)
{
    for (size_t i = 0; i < generation->nworkers; i++)
        if (generation->workers[i].state != SLOT_EMPTY)
            return false;
    return true;
}

static size_t workers_wanted(const config_t *config)
{
    if (config->workers > 0)
        return (size_t)config->workers;
    cpu_set_t cpus; /* those we may run on: a container may have fewer than the machine */
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        return (size_t)CPU_COUNT(&cpus);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (size_t)online;
}

static int generation_equip(master_t *master, generation_t *generation, const slot_owner_t *owner, weir_error_t *err)
{
    const master_options_t *options = master->options;
    generation->text = options->text != NULL ? strdup(options->text) : config_read(options->file, err);
    if (generation->text == NULL)
        return options->text != NULL ? weir_error(err, "out of memory") : WEIR_EFAIL;
    if (config_parse(generation->text, options->file, &generation->config, err) != WEIR_OK)
        return WEIR_EFAIL;
    generation->nworkers = workers_wanted(generation->config);
    generation->workers = calloc(generation->nworkers, sizeof(*generation->workers));
    if (generation->workers == NULL)
        return weir_error(err, "out of memory");
    for (size_t i = 0; i < generation->nworkers; i++) {
        slot_init(&generation->workers[i], owner, master, PROC_WORKER, (int)i);
        generation->workers[i].generation = generation;
    }
    return WEIR_OK;
}

generation_t *generation_new(master_t *master, const slot_owner_t *owner, weir_error_t *err)
{
    generation_t *generation = calloc(1, sizeof(*generation));
    if (generation == NULL) {
        weir_error(err, "out of memory");
        return NULL;
    }
    weir_list_init(&generation->node);
    generation->number = ++master->generation_last;
    if (generation_equip(master, generation, owner, err) != WEIR_OK) {
        generation_free(generation);
        return NULL;
    }
    weir_list_append(&master->generations, &generation->node);
    return generation;
}
