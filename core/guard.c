/* guard.c: see guard.h. */
#include "guard.h"

#include "listener.h"
#include "url.h"

static bool list_has(const weir_strings_t *list, weir_slice_t value)
{
    for (size_t i = 0; i < list->count; i++)
        if (weir_slice_ieq(weir_slice_str(list->items[i]), value))
            return true;
    return false;
}

static unsigned field_count(const weir_head_t *head, weir_field_id_t id)
{
    unsigned n = 0;
    for (int i = head->known[id]; i >= 0 && i < head->nfields; i++)
        n += head->fields[i].id == id;
    return n;
}

/* An entry without a port stands for all of them. */
static bool host_is_allowed(const weir_guard_t *guard, weir_slice_t authority)
{
    const weir_strings_t *hosts = &guard->allowed_hosts;
    return host_is_loopback(authority_host(authority)) || list_has(hosts, authority) ||
           list_has(hosts, authority_host(authority));
}

weir_reason_t guard_host(const weir_listener_t *listener, const weir_guard_t *guard, const weir_head_t *head,
                         weir_error_t *err)
{
    unsigned count = field_count(head, WEIR_FIELD_HOST);
    weir_slice_t host = weir_head_value(head, WEIR_FIELD_HOST);
    if (count > 1 || (count == 0 && head->minor > 0)) {
        (void)weir_error(err, "%u Host fields; HTTP/1.1 asks for one", count);
        return WEIR_REASON_BAD_REQUEST;
    }
    bool is_guarded = listener->is_loopback || guard->allowed_hosts.count > 0;
    if (!is_guarded || host_is_allowed(guard, host))
        return WEIR_REASON_NONE;
    (void)weir_error(err, "Host \"%.*s\" is not allowed here; see allowed_hosts", (int)(host.n < 256 ? host.n : 256),
                     host.p == NULL ? "" : host.p);
    return WEIR_REASON_BAD_ORIGIN;
}

/* Without a list: pages of this machine, and pages of the very host that is guarded by guard_host(). */
static bool origin_is_allowed(const weir_guard_t *guard, const weir_head_t *head, weir_slice_t origin)
{
    if (guard->allowed_origins.count > 0)
        return list_has(&guard->allowed_origins, origin) || list_has(&guard->allowed_origins, WEIR_LIT("*"));
    weir_slice_t from = origin_authority(origin);
    weir_slice_t host = weir_head_value(head, WEIR_FIELD_HOST);
    if (from.n == 0)
        return false;
    if (host_is_loopback(authority_host(host)) && host_is_loopback(authority_host(from)))
        return true;
    return guard->allowed_hosts.count > 0 && weir_slice_ieq(from, host);
}

weir_reason_t guard_origin(const weir_guard_t *guard, const weir_head_t *head, weir_error_t *err)
{
    unsigned count = field_count(head, WEIR_FIELD_ORIGIN);
    weir_slice_t origin = weir_head_value(head, WEIR_FIELD_ORIGIN);
    if (count == 0 || (count == 1 && origin_is_allowed(guard, head, origin)))
        return WEIR_REASON_NONE;
    (void)weir_error(err, "Origin \"%.*s\" is not allowed here; see allowed_origins",
                     (int)(origin.n < 256 ? origin.n : 256), origin.p);
    return WEIR_REASON_BAD_ORIGIN;
}
