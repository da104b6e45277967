/* resources.c: a text that never changes, a count that changes with every tool call, and squares by template. Who subscribed to
 * the count is told: a legacy session by what it subscribed to, a modern client through each of its subscriptions/listen.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "jobs.h"

#define SUBSCRIPTION_ID "io.modelcontextprotocol/subscriptionId"

static const char greeting_uri[] = "demo://greeting", calls_uri[] = "demo://calls", square_prefix[] = "demo://square/";

static json_int_t calls;
static bool is_subscribed; /* the legacy session, to demo://calls, the one that changes */

void resources_list(const request_t *rq)
{
    rpc_result(rq, json_pack("{s:[{s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s}]}", "resources",                         //
                             "uri", greeting_uri, "name", "greeting", "description", "A greeting that never changes", //
                             "mimeType", "text/plain",                                                                //
                             "uri", calls_uri, "name", "calls", "description", "How many tools have been called",     //
                             "mimeType", "text/plain"));
}

void resources_templates(const request_t *rq)
{
    rpc_result(rq, json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "resourceTemplates", "uriTemplate", "demo://square/{n}",
                             "name", "square", "description", "The square of a number", "mimeType", "text/plain"));
}

/* The text of a resource, or NULL when there is none of that name. */
static json_t *read_text(const char *uri)
{
    if (strcmp(uri, greeting_uri) == 0)
        return json_string("Hello from the server behind weir.");
    if (strcmp(uri, calls_uri) == 0)
        return json_sprintf("%lld", (long long)calls);
    if (strncmp(uri, square_prefix, sizeof(square_prefix) - 1) != 0)
        return NULL;
    const char *digits = uri + sizeof(square_prefix) - 1;
    char *end;
    double n = strtod(digits, &end);
    return end > digits && *end == '\0' ? json_sprintf("%.17g", n * n) : NULL;
}

void resources_read(const request_t *rq)
{
    const char *uri = json_string_value(json_object_get(rq->params, "uri"));
    json_t *text = uri ? read_text(uri) : NULL;
    if (!text) {
        rpc_error(rq, uri && !rq->is_modern ? RPC_RESOURCE_NOT_FOUND : RPC_INVALID_PARAMS,
                  uri ? json_pack("{s:s}", "uri", uri) : NULL, "Resource not found");
        return;
    }
    json_t *result = json_pack("{s:[{s:s, s:s, s:o}]}", "contents", "uri", uri, "mimeType", "text/plain", "text", text);
    if (rq->is_modern && strcmp(uri, calls_uri) == 0) {
        json_object_set_new(result, "ttlMs", json_integer(0));
        json_object_set_new(result, "cacheScope", json_string("private"));
    }
    rpc_result(rq, result);
}

/* --- subscriptions --- */

static void set_subscribed(const request_t *rq, bool yes)
{
    const char *uri = json_string_value(json_object_get(rq->params, "uri"));
    if (uri && strcmp(uri, calls_uri) == 0)
        is_subscribed = yes;
    rpc_result(rq, json_object());
}

void resources_subscribe(const request_t *rq)
{
    set_subscribed(rq, true);
}

void resources_unsubscribe(const request_t *rq)
{
    set_subscribed(rq, false);
}

/* What of the wanted resources there is. */
static json_t *known_uris(json_t *wanted)
{
    json_t *known = json_array(), *uri;
    size_t i;
    json_array_foreach(wanted, i, uri)
    {
        json_t *text = json_is_string(uri) ? read_text(json_string_value(uri)) : NULL;
        if (text)
            json_array_append(known, uri);
        json_decref(text);
    }
    return known;
}

/* The lists of this server never change, so of what a client may ask for only the resources are honoured. */
void subscriptions_listen(const request_t *rq)
{
    json_t *filter = json_object_get(rq->params, "notifications");
    if (!json_is_object(filter)) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "subscriptions/listen: `notifications` must be an object");
        return;
    }
    job_t *job = job_new(rq);
    job->uris = known_uris(json_object_get(filter, "resourceSubscriptions"));
    json_t *honoured = json_object();
    if (json_array_size(job->uris) > 0)
        json_object_set(honoured, "resourceSubscriptions", job->uris);
    rpc_notify("notifications/subscriptions/acknowledged",
               json_pack("{s:{s:O}, s:o}", "_meta", SUBSCRIPTION_ID, rq->id, "notifications", honoured));
}

static void tell_listener(job_t *job, void *arg)
{
    (void)arg;
    json_t *uri;
    size_t i;
    json_array_foreach(job->uris, i, uri) if (strcmp(json_string_value(uri), calls_uri) == 0)
        rpc_notify("notifications/resources/updated",
                   json_pack("{s:{s:O}, s:s}", "_meta", SUBSCRIPTION_ID, job->request.id, "uri", calls_uri));
}

void resources_count_call(void)
{
    calls++;
    if (is_subscribed)
        rpc_notify("notifications/resources/updated", json_pack("{s:s}", "uri", calls_uri));
    jobs_each(tell_listener, NULL);
}
