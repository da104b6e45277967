/* server.c: a server of an http upstream: its options, its URL, its address. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

/* The largest head that a client may send, and what weir adds to it. */
#define OUT_SIZE (96 * 1024)

#define UP(member) offsetof(upstream_options_t, member)
#define SRV(member) offsetof(server_options_t, member)

static const char *const forwarded_names[] = {"off", "x_forwarded", "forwarded", "both", NULL};

const weir_option_t upstream_option_table[] = {
    {.name = "send_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = UP(send_timeout_ms),
     .fallback = "60s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a server may take no byte of a request"},
    {.name = "idle_timeout",
     .type = WEIR_TYPE_DURATION,
     .offset = UP(idle_timeout_ms),
     .fallback = "60s",
     .min = 1,
     .max = 86400000,
     .doc = "how long a connection to a server is kept between two requests"},
    {.name = "max_head",
     .type = WEIR_TYPE_SIZE,
     .offset = UP(max_head),
     .fallback = "16KiB",
     .min = 1024,
     .max = 65536,
     .doc = "largest head of a reply"},
    {.name = "preserve_host",
     .type = WEIR_TYPE_BOOL,
     .offset = UP(preserve_host),
     .fallback = "false",
     .doc = "send the client's Host instead of that of the url"},
    {.name = "forwarded",
     .type = WEIR_TYPE_ENUM,
     .offset = UP(forwarded),
     .fallback = "x_forwarded",
     .names = forwarded_names,
     .doc = "tell the server who asks: X-Forwarded-For, -Host and -Proto, Forwarded, or both"},
    {.name = NULL},
};

const weir_option_t server_option_table[] = {
    {.name = "url",
     .type = WEIR_TYPE_STRING,
     .offset = SRV(url),
     .is_required = true,
     .doc = "http:// or https://, host, port, path; http://unix:/path/of/socket:/path for a Unix socket"},
    WEIR_REACH_OPTIONS(SRV(reach)),
    {.name = NULL},
};

static bool is_unix(const weir_url_t *url)
{
    return weir_slice_starts(url->host, WEIR_LIT("unix:"));
}

/* Without the usual ones, and without a query, which may hold a secret. */
static weir_slice_t path_in_name(const weir_url_t *url)
{
    const char *query = memchr(url->target.p, '?', url->target.n);
    weir_slice_t path = query == NULL ? url->target : weir_slice(url->target.p, (size_t)(query - url->target.p));
    bool is_usual = weir_slice_eq(path, WEIR_LIT("/")) || weir_slice_eq(path, WEIR_LIT("/mcp"));
    return is_usual ? weir_slice(NULL, 0) : path;
}

static char *name_of(const weir_url_t *url)
{
    weir_slice_t host = url->host, path = path_in_name(url);
    bool is_v6 = !is_unix(url) && memchr(host.p, ':', host.n) != NULL;
    size_t size = host.n + path.n + sizeof("[]:65535");
    char *name = malloc(size);
    if (name == NULL)
        return NULL;
    if (is_unix(url))
        (void)snprintf(name, size, "%.*s%.*s", WEIR_FMT(host), WEIR_FMT(path));
    else
        (void)snprintf(name, size, is_v6 ? "[%.*s]:%u%.*s" : "%.*s:%u%.*s", WEIR_FMT(host), (unsigned)url->port,
                       WEIR_FMT(path));
    return name;
}

static void target_free(target_t *target)
{
    if (target == NULL)
        return;
    free(target->name);
    free(target->out.p);
    free(target);
}

static target_t *target_new(const weir_host_t *host, const weir_server_t *server, const weir_url_t *url)
{
    target_t *target = calloc(1, sizeof(*target));
    if (target == NULL)
        return NULL;
    target->host = host;
    target->options = server->upstream->options;
    target->idle_timeouts = host->timeouts(target->options->idle_timeout_ms);
    target->url = *url;
    target->name = name_of(url);
    target->out = (head_out_t){.p = malloc(OUT_SIZE), .size = OUT_SIZE};
    if (target->idle_timeouts != NULL && target->name != NULL && target->out.p != NULL)
        return target;
    target_free(target);
    return NULL;
}

int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    const server_options_t *options = server->options;
    weir_url_t url;
    if (host->url_parse(options->url, &url, err) != WEIR_OK)
        return WEIR_EFAIL;
    target_t *target = target_new(host, server, &url);
    if (target == NULL)
        return weir_error(err, "url: no memory for a server");
    if (host->server_address(server, url.host, url.port, url.is_tls, &options->reach, err) != WEIR_OK) {
        target_free(target);
        return WEIR_EFAIL;
    }
    server->name = target->name;
    server->carrier = target;
    return WEIR_OK;
}

void server_close(weir_server_t *server)
{
    target_free(server->carrier);
    server->carrier = NULL;
}
