/* target.c: the place that connections to one server go to.
 *
 * Owned by its server from target_new() to target_free(), and by every dial under way through a reference. Addresses that were
 * given as numbers never age. Those of a name are asked for when the first connection wants them, and again when their TTL
 * has passed; the old ones serve until new ones come, so that a nameserver that is down stops nobody who is there already.
 *
 *   addresses   asked   a connection wants them
 *   none        no      ask; it waits
 *   none        yes     it waits
 *   fresh       no      it goes on
 *   old         no      ask; it goes on with the old ones
 *   old         yes     it goes on with the old ones
 */
#include "target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "log.h"
#include "timer.h"
#include "tls.h"

#define TARGET_MAGIC 0x54415247u
#define RETRY_S 5u /* after a name that could not be resolved again */

struct target {
    uint32_t magic;
    uint32_t refs;
    char *name;
    char *host; /* to be resolved; NULL: the address was given */
    uint16_t port;
    uint32_t first; /* index of the address that answered last */
    resolved_t found;
    uint64_t expires_ms;
    struct resolve_query *query; /* NULL: not asked */
    weir_list_t waiting;         /* of struct target_wait */
    struct tls_client *tls;
    uint64_t connect_timeout_ms;
};

static char *make_name(const char *host, uint16_t port)
{
    size_t n = strlen(host) + 16;
    char *name = malloc(n);
    if (name == NULL)
        return NULL;
    if (strncmp(host, "unix:", 5) == 0)
        memcpy(name, host, strlen(host) + 1);
    else
        snprintf(name, n, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    return name;
}

/* A number or a path is known at once; a name has to be asked for. */
static int set_host(struct target *target, const char *host, weir_error_t *err)
{
    if (address_number(host, target->port, &target->found.items[0].sa, &target->found.items[0].len) == WEIR_OK) {
        target->found.count = 1;
        return WEIR_OK;
    }
    if (host[0] == '\0' || strncmp(host, "unix:", 5) == 0)
        return weir_error(err, "\"%s\" is no host, no address and no unix:/path of a usable length", host);
    target->host = strdup(host);
    return target->host != NULL ? WEIR_OK : weir_error(err, "out of memory");
}

static int target_show(struct target *target, const weir_reach_t *reach, weir_error_t *err)
{
    if (reach->certificate == NULL && reach->key == NULL)
        return WEIR_OK;
    if (reach->certificate == NULL)
        return weir_error(err, "key: %s is the key of no certificate; `certificate` is missing", reach->key);
    if (target->tls == NULL)
        return weir_error(err, "certificate: %s cannot be shown: there is no TLS to %s", reach->certificate,
                          target->name);
    return tls_client_show(target->tls, &(struct tls_certificate){reach->certificate, reach->key}, err);
}

static int target_secure(struct target *target, const char *host, const weir_reach_t *reach, weir_error_t *err)
{
    target->tls = tls_client_new(host, reach->ca, reach->pin, reach->verify, err);
    return target->tls == NULL ? WEIR_EFAIL : WEIR_OK;
}

struct target *target_new(const char *host, uint16_t port, bool is_tls, const weir_reach_t *reach, weir_error_t *err)
{
    struct target *target = calloc(1, sizeof(*target));
    if (target == NULL || (target->name = make_name(host, port)) == NULL) {
        free(target);
        weir_error(err, "out of memory");
        return NULL;
    }
    target->magic = TARGET_MAGIC;
    target->refs = 1;
    target->port = port;
    target->connect_timeout_ms = reach->connect_timeout_ms;
    weir_list_init(&target->waiting);
    if (set_host(target, host, err) == WEIR_OK && (!is_tls || target_secure(target, host, reach, err) == WEIR_OK) &&
        target_show(target, reach, err) == WEIR_OK)
        return target;
    target_unref(target);
    return NULL;
}

struct target *target_ref(struct target *target)
{
    assert(target->magic == TARGET_MAGIC);
    target->refs++;
    return target;
}

void target_unref(struct target *target)
{
    assert(target->magic == TARGET_MAGIC);
    if (--target->refs > 0)
        return;
    if (target->query != NULL)
        resolve_cancel(target->query);
    tls_client_free(target->tls);
    target->magic = 0;
    free(target->host);
    free(target->name);
    free(target);
}

void target_free(struct target *target)
{
    if (target != NULL)
        target_unref(target);
}

const char *target_name(const struct target *target)
{
    return target->name;
}

struct tls_client *target_tls(const struct target *target)
{
    return target->tls;
}

uint64_t target_connect_timeout(const struct target *target)
{
    return target->connect_timeout_ms;
}

/* Tell everybody who waits. One that is told may make others wait or give up, so each is taken out first. */
static void tell_waiting(struct target *target, const char *why)
{
    weir_list_t told;
    weir_list_init(&told);
    while (!weir_list_empty(&target->waiting)) {
        weir_list_t *node = target->waiting.next;
        weir_list_remove(node);
        weir_list_append(&told, node);
    }
    while (!weir_list_empty(&told)) {
        struct target_wait *wait = WEIR_CONTAINER(told.next, struct target_wait, node);
        target_give_up(wait);
        wait->ready(wait->arg, why);
    }
}

static void on_resolved(void *arg, const resolved_t *found, const char *why)
{
    struct target *target = target_ref(arg); /* those who are told may drop theirs */
    target->query = NULL;
    if (found != NULL) {
        target->found = *found;
        target->first = 0;
    } else if (target->found.count > 0) {
        log_write(WEIR_LOG_WARN, "server %s: %s; going on with its %u old addresses", target->name, why,
                  target->found.count);
    }
    target->expires_ms = now_ms() + (found != NULL ? found->ttl_s : RETRY_S) * 1000;
    tell_waiting(target, target->found.count > 0 ? NULL : why);
    target_unref(target);
}

int target_want(struct target *target, struct target_wait *wait, weir_error_t *err)
{
    assert(target->magic == TARGET_MAGIC);
    bool is_old = target->host != NULL && now_ms() >= target->expires_ms;
    if (target->query == NULL && (target->found.count == 0 || is_old))
        target->query = resolve(target->host, target->port, on_resolved, target, err);
    if (target->found.count > 0)
        return WEIR_OK;
    if (target->query == NULL)
        return WEIR_EFAIL;
    weir_list_append(&target->waiting, &wait->node);
    return WEIR_EAGAIN;
}

void target_give_up(struct target_wait *wait)
{
    if (wait->node.next != NULL)
        weir_list_remove(&wait->node);
}

uint32_t target_count(const struct target *target)
{
    return target->found.count;
}

const struct sockaddr *target_address(const struct target *target, uint32_t nth, socklen_t *len)
{
    uint32_t index = (target->first + nth) % target->found.count;
    *len = target->found.items[index].len;
    return (const struct sockaddr *)&target->found.items[index].sa;
}

void target_answered(struct target *target, const struct sockaddr *sa, socklen_t len)
{
    for (uint32_t i = 0; i < target->found.count; i++)
        if (target->found.items[i].len == len && memcmp(&target->found.items[i].sa, sa, len) == 0)
            target->first = i;
}
