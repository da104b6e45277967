/* server.c: a server of an sse upstream: its options, its URL, its address. */
#include <stdlib.h>

#include "link.h"

static void target_free(target_t *t)
{
    free(t);
}

static target_t *target_new(const weir_host_t *host, const weir_server_t *server, const weir_url_t *url)
{
    const server_options_t *o = server->options;
    target_t *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->host = host;
    t->url = *url;
    t->options = server->upstream->options;
    t->connect_timeouts = host->timeouts(o->reach.connect_timeout_ms);
    t->idle_timeouts = host->timeouts(t->options->idle_timeout_ms);
    uint64_t reply_timeout_ms = server->upstream->reply_timeout_ms;
    t->reply_timeouts = reply_timeout_ms == 0 ? NULL : host->timeouts(reply_timeout_ms);
    if (t->connect_timeouts != NULL && t->idle_timeouts != NULL && (t->reply_timeouts != NULL || reply_timeout_ms == 0))
        return t;
    target_free(t);
    return NULL;
}

int server_open(const weir_host_t *host, weir_server_t *server, weir_error_t *err)
{
    const server_options_t *o = server->options;
    weir_url_t url;
    if (host->url_parse(o->url, &url, err) != WEIR_OK)
        return WEIR_EFAIL;
    target_t *t = target_new(host, server, &url);
    if (t == NULL)
        return weir_error(err, "url: no memory for a server");
    if (host->server_address(server, url.host, url.port, url.is_tls, &o->reach, err) != WEIR_OK) {
        target_free(t);
        return WEIR_EFAIL;
    }
    server->name = o->url;
    server->carrier = t;
    return WEIR_OK;
}

void server_close(weir_server_t *server)
{
    target_free(server->carrier);
    server->carrier = NULL;
}

#define UP(member) offsetof(upstream_options_t, member)
#define SRV(member) offsetof(server_options_t, member)

const weir_option_t upstream_option_table[] = {
    {"send_timeout", WEIR_TYPE_DURATION, UP(send_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a server may take no byte of what waits for it"},
    {"idle_timeout", WEIR_TYPE_DURATION, UP(idle_timeout_ms), "60s", 1, 86400000, NULL, false,
     "how long a connection for POSTs is kept between two of them"},
    {"max_head", WEIR_TYPE_SIZE, UP(max_head), "16KiB", 1024, 65536, NULL, false, "largest head of a reply"},
    {"max_posts", WEIR_TYPE_INT, UP(max_posts), "16", 1, 1024, NULL, false,
     "requests of one session that the server has not taken yet; more wait"},
    {.name = NULL},
};

const weir_option_t server_option_table[] = {
    {"url", WEIR_TYPE_STRING, SRV(url), NULL, 0, 0, NULL, true,
     "http:// or https://, host, port, path of the event stream; http://unix:/path/of/socket:/path for a Unix socket"},
    WEIR_REACH_OPTIONS(SRV(reach)),
    {.name = NULL},
};
