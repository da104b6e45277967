/* launch.c: how a process gets what it needs: its share of the sockets, a control channel, and streams to all processes of the
 * other kind.
 *
 *   launched   from the other side
 *   worker     each living keeper gets PEER; the worker inherits its ends, -1 where a keeper is down
 *   keeper     each living worker of every generation gets PEER, and so does the keeper, for each of them
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fork.h"
#include "keeper.h"
#include "log.h"
#include "master.h"
#include "worker.h"

/* What a launch holds until the fork is done. The child keeps its copy for life. */
typedef struct launch {
    process_args_t args;
    listen_fd_t *listens;
    int *peers;       /* ends for the new process */
    int *other_peers; /* ends for the others */
    size_t npeers;
    int control[2];
} launch_t;

static void descriptors_close(int *fds, size_t n)
{
    for (size_t i = 0; fds != NULL && i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
}

static int *descriptors_new(size_t n)
{
    int *fds = calloc(n + 1, sizeof(*fds));
    for (size_t i = 0; fds != NULL && i < n; i++)
        fds[i] = -1;
    return fds;
}

static int stream_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0 ? WEIR_OK : WEIR_EFAIL;
}

/* A stream to each keeper that lives. */
static int peers_make(launch_t *l, const master_t *master)
{
    l->npeers = master->nkeepers;
    l->peers = descriptors_new(l->npeers);
    l->other_peers = descriptors_new(l->npeers);
    if (l->peers == NULL || l->other_peers == NULL)
        return WEIR_EFAIL;
    for (size_t i = 0; i < l->npeers; i++) {
        int fds[2];
        if (!slot_is_alive(&master->keepers[i]))
            continue;
        if (stream_pair(fds) != WEIR_OK)
            return WEIR_EFAIL;
        l->peers[i] = fds[0];
        l->other_peers[i] = fds[1];
    }
    return WEIR_OK;
}

static void peer_tell(slot_t *to, const slot_t *about, int fd)
{
    const control_message_t message = {.word = CONTROL_PEER, .slot = about->index, .generation = about->started_with};
    (void)slot_tell(to, &message, fd); /* one that cannot hear it is dying, and its successor gets peers of its own */
}

static void peers_tell(launch_t *l, master_t *master, const slot_t *worker)
{
    for (size_t i = 0; i < l->npeers; i++)
        if (l->other_peers[i] >= 0)
            peer_tell(&master->keepers[i], worker, l->other_peers[i]);
}

/* A stream between a keeper that was started again and one worker. */
static void pair_introduce(slot_t *keeper, slot_t *worker)
{
    int fds[2];
    if (stream_pair(fds) != WEIR_OK) {
        log_write(WEIR_LOG_ERROR, "cannot connect worker/%d with keeper/%d: %s", worker->index, keeper->index,
                  strerror(errno));
        return;
    }
    peer_tell(keeper, worker, fds[0]);
    peer_tell(worker, keeper, fds[1]);
    close(fds[0]);
    close(fds[1]);
}

static void keeper_introduce(slot_t *keeper)
{
    WEIR_LIST_EACH(&keeper->master->generations, node) {
        generation_t *generation = generation_of(node);
        for (size_t i = 0; i < generation->nworkers; i++)
            if (slot_is_alive(&generation->workers[i]))
                pair_introduce(keeper, &generation->workers[i]);
    }
}

static void launch_release(launch_t *l)
{
    descriptors_close(l->peers, l->npeers);
    descriptors_close(l->other_peers, l->npeers);
    free(l->listens);
    close(l->control[1]);
}

static int *kept_list(const process_args_t *args, size_t *n)
{
    int *kept = descriptors_new(args->nlistens + args->npeers + 2);
    if (kept == NULL)
        return NULL;
    *n = 0;
    kept[(*n)++] = args->control_fd;
    kept[(*n)++] = args->admin_fd;
    for (size_t i = 0; i < args->nlistens; i++)
        kept[(*n)++] = args->listens[i].fd;
    for (size_t i = 0; i < args->npeers; i++)
        kept[(*n)++] = args->peer_fds[i];
    return kept;
}

static int run_worker(void *arg)
{
    return worker_main(arg);
}

static int run_keeper(void *arg)
{
    return keeper_main(arg);
}

static pid_t launch_fork(slot_t *slot, process_args_t *args)
{
    char title[32];
    snprintf(title, sizeof(title), "weir: %s/%d", slot_kind(slot), slot->index);
    size_t nkept = 0;
    int *kept = kept_list(args, &nkept);
    if (kept == NULL)
        return -1;
    const fork_plan_t plan = {.kind = slot->kind,
                              .slot = slot->index,
                              .generation = args->generation,
                              .title = title,
                              .room = &slot->master->options->title,
                              .config = args->config,
                              .kept = kept,
                              .nkept = nkept};
    pid_t pid = fork_child(&plan, slot->kind == PROC_WORKER ? run_worker : run_keeper, args);
    free(kept);
    return pid;
}

static int args_fill(launch_t *l, slot_t *slot, const generation_t *generation)
{
    master_t *master = slot->master;
    l->args = (process_args_t){.config = generation->config,
                               .slot = slot->index,
                               .generation = generation->number,
                               .control_fd = l->control[1],
                               .admin_fd = -1,
                               .nworkers = generation->nworkers,
                               .seed = master->seed,
                               .shared = master->shared};
    if (slot->kind == PROC_KEEPER)
        return WEIR_OK;
    size_t n = 0;
    if (sockets_share(&master->sockets, generation->config, (size_t)slot->index, generation->nworkers, &l->listens,
                      &n) != WEIR_OK ||
        peers_make(l, master) != WEIR_OK)
        return WEIR_EFAIL;
    l->args.listens = l->listens;
    l->args.nlistens = n;
    l->args.admin_fd = sockets_admin(&master->sockets, generation->config);
    l->args.peer_fds = l->peers;
    l->args.npeers = l->npeers;
    return WEIR_OK;
}

/* A keeper is started with what is in force, which the coming configuration is not yet. */
static generation_t *launch_generation(const slot_t *slot)
{
    const master_t *master = slot->master;
    if (slot->kind == PROC_WORKER)
        return slot->generation;
    return master->current != NULL ? master->current : master->coming;
}

static int launch_process(launch_t *l, slot_t *slot, const generation_t *generation, weir_error_t *err)
{
    pid_t pid = -1;
    if (args_fill(l, slot, generation) == WEIR_OK)
        pid = launch_fork(slot, &l->args);
    if (pid < 0)
        return weir_error(err, "could not be started: %s", strerror(errno));
    slot->pid = pid;
    slot->control_fd = l->control[0];
    slot->started_with = generation->number;
    return WEIR_OK;
}

static void keeper_catch_up(slot_t *keeper)
{
    master_t *master = keeper->master;
    keeper_introduce(keeper);
    if (master->current != NULL && (master->change == CHANGE_APPLYING || master->change == CHANGE_STARTING))
        (void)launch_config(keeper, master->coming); /* as peer_tell() */
}

int launch(slot_t *slot, weir_error_t *err)
{
    launch_t l = {.control = {-1, -1}};
    if (control_pair(l.control) != WEIR_OK)
        return weir_error(err, "could not be started: %s", strerror(errno));
    int rc = launch_process(&l, slot, launch_generation(slot), err);
    if (rc != WEIR_OK)
        close(l.control[0]);
    else if (slot->kind == PROC_WORKER)
        peers_tell(&l, slot->master, slot);
    else
        keeper_catch_up(slot);
    launch_release(&l);
    return rc;
}

static int text_descriptor(const char *text)
{
    int fd = memfd_create("weir configuration", MFD_CLOEXEC);
    size_t size = strlen(text);
    for (size_t done = 0; fd >= 0 && done < size;) {
        ssize_t n = write(fd, text + done, size - done);
        if (n < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return fd;
}

int launch_config(slot_t *keeper, const generation_t *generation)
{
    control_message_t message = {.word = CONTROL_CONFIG, .slot = keeper->index, .generation = generation->number};
    snprintf(message.text, sizeof(message.text), "%s", generation->config->file);
    int fd = text_descriptor(generation->text);
    if (fd < 0)
        return WEIR_EFAIL;
    int rc = slot_tell(keeper, &message, fd);
    keeper->is_answer_due = rc == WEIR_OK;
    close(fd);
    return rc;
}
