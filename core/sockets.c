/* sockets.c: the master's listening sockets, by address.
 *
 *   event          a place the configuration names              a place it does not name
 *   open           made with all slots, or given those missing  -
 *   commit         kept                                         closed
 *   rollback       new: closed; grown: back to what it had      kept
 *
 * A second program can share a port by SO_REUSEPORT without anybody noticing. So a new address is first bound without it, which
 * fails when somebody is there.
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "log.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

typedef struct place {
    weir_list_t node;
    char *owner; /* "listener edge", "admin" */
    char *text;  /* as configured */
    char bound[ADDRESS_TEXT_MAX + 8];
    bool is_shared;  /* one socket for all slots */
    bool is_wanted;  /* by the configuration that was opened last */
    int *fds;        /* one for each slot */
    size_t n;        /* of them open */
    size_t n_before; /* open before the last sockets_open(), 0: the place is new */
} place_t;

static place_t *place_of(weir_list_t *node)
{
    return WEIR_CONTAINER(node, place_t, node);
}

#define OWNER_MAX 256

/* Who an address is for, as the log says it; NULL is the admin service. */
static const char *owner_name(const conf_listener_t *listener, char text[OWNER_MAX])
{
    snprintf(text, OWNER_MAX, "%s%s", listener == NULL ? "admin" : "listener ", listener == NULL ? "" : listener->name);
    return text;
}

/* Port 0 is a place of its own for each owner; any other address is the same place whoever owns it, so that a listener may be
 * renamed by a reload. */
static bool is_any_port(const char *text)
{
    size_t n = strlen(text);
    return n >= 2 && strcmp(text + n - 2, ":0") == 0;
}

static place_t *place_find(const sockets_t *sockets, const conf_listener_t *listener, const char *text)
{
    char owner[OWNER_MAX];
    owner_name(listener, owner);
    WEIR_LIST_EACH(&((sockets_t *)(uintptr_t)sockets)->places, node) {
        place_t *place = place_of(node);
        if (strcmp(place->text, text) == 0 && (!is_any_port(text) || strcmp(place->owner, owner) == 0))
            return place;
    }
    return NULL;
}

static void place_shrink(place_t *place, size_t n)
{
    while (place->n > n)
        close(place->fds[--place->n]);
}

static void place_free(place_t *place)
{
    bool is_file = strncmp(place->bound, "unix:", 5) == 0 && place->n > 0;
    place_shrink(place, 0);
    if (is_file)
        (void)unlink(place->bound + 5); /* a stale file is replaced at the next start */
    weir_list_remove(&place->node);
    free(place->owner);
    free(place->text);
    free(place->fds);
    free(place);
}

static place_t *place_new(sockets_t *sockets, const conf_listener_t *listener, const char *text)
{
    char owner[OWNER_MAX];
    place_t *place = calloc(1, sizeof(*place));
    if (place == NULL)
        return NULL;
    weir_list_init(&place->node);
    place->owner = strdup(owner_name(listener, owner));
    place->text = strdup(text);
    if (place->owner == NULL || place->text == NULL) {
        place_free(place);
        return NULL;
    }
    weir_list_append(&sockets->places, &place->node);
    return place;
}

void sockets_init(sockets_t *sockets)
{
    weir_list_init(&sockets->places);
}

/* Whether nobody else listens there. */
static int place_probe(const place_t *place, weir_error_t *err)
{
    struct address address;
    if (address_parse(place->text, &address, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (address.kind != ADDRESS_INET || address.port == 0)
        return WEIR_OK;
    int fd = address_listen(place->text, false, 1, err);
    if (fd < 0)
        return WEIR_EFAIL;
    close(fd);
    return WEIR_OK;
}

/* What a listener on our own stdin and stdout has in place of a socket. */
static int place_add_stdio(place_t *place, weir_error_t *err)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return weir_error(err, "our own stdin is not open: %s", strerror(errno));
    snprintf(place->bound, sizeof(place->bound), "%s", place->text);
    place->fds[place->n++] = fd;
    return WEIR_OK;
}

/* One more socket. All after the first take the address that the first one got, since its port may have been 0. */
static int place_add(place_t *place, weir_error_t *err)
{
    const char *text = place->n == 0 ? place->text : place->bound;
    if (strcmp(text, ADDRESS_STDIO_TEXT) == 0)
        return place_add_stdio(place, err);
    int fd = address_listen(text, !place->is_shared, BACKLOG, err);
    if (fd < 0)
        return WEIR_EFAIL;
    if (place->n == 0 && address_bound(fd, place->bound, sizeof(place->bound)) != WEIR_OK) {
        close(fd);
        return weir_error(err, "cannot tell the address that %s was bound to: %s", text, strerror(errno));
    }
    place->fds[place->n++] = fd;
    return WEIR_OK;
}

static int place_grow(place_t *place, size_t n, weir_error_t *err)
{
    if (n <= place->n)
        return WEIR_OK;
    int *fds = realloc(place->fds, n * sizeof(*fds));
    if (fds == NULL)
        return weir_error(err, "out of memory");
    place->fds = fds;
    if (place->n == 0 && place_probe(place, err) != WEIR_OK)
        return WEIR_EFAIL;
    while (place->n < n)
        if (place_add(place, err) != WEIR_OK)
            return WEIR_EFAIL;
    return WEIR_OK;
}

/* An address of a listener, or of the admin service (NULL), whose one socket all workers share. */
static int place_want(sockets_t *sockets, const conf_listener_t *listener, const char *text, size_t nslots,
                      weir_error_t *err)
{
    char owner[OWNER_MAX];
    owner_name(listener, owner);
    place_t *place = place_find(sockets, listener, text);
    if (place != NULL && place->is_wanted)
        return weir_error(err, "%s: %s is the address of %s already", owner, text, place->owner);
    if (place == NULL && (place = place_new(sockets, listener, text)) == NULL)
        return weir_error(err, "out of memory");
    place->is_wanted = true;
    place->is_shared = listener == NULL || strncmp(text, "unix:", 5) == 0 || strcmp(text, ADDRESS_STDIO_TEXT) == 0;
    if (place_grow(place, place->is_shared ? 1 : nslots, err) != WEIR_OK)
        return weir_error_wrap(err, "%s: ", owner);
    return WEIR_OK;
}

static int listener_want(sockets_t *sockets, const config_t *config, const conf_listener_t *listener, size_t nworkers,
                         weir_error_t *err)
{
    for (size_t i = 0; i < listener->listen.count; i++)
        if (place_want(sockets, listener, listener->listen.items[i], nworkers, err) != WEIR_OK)
            return config_error_at(&config->source, config_listen_node(listener, i), err);
    return WEIR_OK;
}

static int places_want(sockets_t *sockets, const config_t *config, size_t nworkers, weir_error_t *err)
{
    for (size_t i = 0; i < config->nlisteners; i++)
        if (listener_want(sockets, config, &config->listeners[i], nworkers, err) != WEIR_OK)
            return WEIR_EFAIL;
    if (config->admin_listen == NULL || place_want(sockets, NULL, config->admin_listen, 1, err) == WEIR_OK)
        return WEIR_OK;
    return config_error_at(&config->source, node_get(node_get(config->node, "admin"), "listen"), err);
}

int sockets_open(sockets_t *sockets, const config_t *config, size_t nworkers, weir_error_t *err)
{
    WEIR_LIST_EACH(&sockets->places, node) {
        place_of(node)->is_wanted = false;
        place_of(node)->n_before = place_of(node)->n;
    }
    if (places_want(sockets, config, nworkers, err) == WEIR_OK)
        return WEIR_OK;
    sockets_rollback(sockets);
    return WEIR_EFAIL;
}

void sockets_commit(sockets_t *sockets)
{
    WEIR_LIST_EACH(&sockets->places, node) {
        place_t *place = place_of(node);
        if (place->is_wanted && place->n_before == 0)
            log_write(WEIR_LOG_NOTICE, "%s: listening on %s", place->owner, place->bound);
        if (!place->is_wanted) {
            log_write(WEIR_LOG_NOTICE, "%s: no longer listening on %s", place->owner, place->bound);
            place_free(place);
            continue;
        }
        place->n_before = place->n;
    }
}

void sockets_rollback(sockets_t *sockets)
{
    WEIR_LIST_EACH(&sockets->places, node) {
        place_t *place = place_of(node);
        place->is_wanted = true;
        place_shrink(place, place->n_before);
        if (place->n == 0)
            place_free(place);
    }
}

/* Slot `slot` serves every socket whose number leaves it as remainder: its own, and those of slots that are gone. */
static size_t place_share(const place_t *place, size_t listener, size_t slot, size_t nworkers, listen_fd_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < place->n; i++)
        if (place->is_shared || i % nworkers == slot)
            out[n++] = (listen_fd_t){.listener = listener, .address = place->bound, .fd = place->fds[i]};
    return n;
}

static size_t sockets_count(const sockets_t *sockets)
{
    size_t n = 0;
    WEIR_LIST_EACH(&((sockets_t *)(uintptr_t)sockets)->places, node)
        n += place_of(node)->n;
    return n;
}

int sockets_share(const sockets_t *sockets, const config_t *config, size_t slot, size_t nworkers, listen_fd_t **listens,
                  size_t *n)
{
    *n = 0;
    *listens = calloc(sockets_count(sockets) + 1, sizeof(**listens));
    if (*listens == NULL)
        return WEIR_EFAIL;
    for (size_t i = 0; i < config->nlisteners; i++) {
        const weir_strings_t *texts = &config->listeners[i].listen;
        for (size_t k = 0; k < texts->count; k++) {
            const place_t *place = place_find(sockets, &config->listeners[i], texts->items[k]);
            if (place != NULL)
                *n += place_share(place, i, slot, nworkers, *listens + *n);
        }
    }
    return WEIR_OK;
}

int sockets_admin(const sockets_t *sockets, const config_t *config)
{
    const place_t *place = config->admin_listen == NULL ? NULL : place_find(sockets, NULL, config->admin_listen);
    return place == NULL || place->n == 0 ? -1 : place->fds[0];
}

const char *sockets_first(const sockets_t *sockets)
{
    return weir_list_empty(&sockets->places) ? NULL : place_of(sockets->places.next)->bound;
}

void sockets_close(sockets_t *sockets)
{
    WEIR_LIST_EACH(&sockets->places, node)
        place_free(place_of(node));
}
