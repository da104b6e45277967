/* era.c: see the table in era.h. */
#include "era.h"

#include <stdio.h>

#include "calls.h"
#include "log.h"
#include "message.h"
#include <build_config.h>

static const char probe_format[] =
    "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"server/discover\",\"params\":{\"_meta\":{"
    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"weir\",\"version\":\"" WEIR_VERSION "\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";

static bool era_probe(link_t *link)
{
    call_t *call = call_new(link, WEIR_LIT("0"), (weir_slice_t){NULL, 0});
    if (call == NULL)
        return false;
    char text[sizeof(probe_format) + 16];
    int n = snprintf(text, sizeof(text), probe_format, call->id);
    call->is_discover = call->is_probe = true;
    weir_slice_t part = weir_slice(text, n < 0 ? 0 : (size_t)n);
    return call_write(link, &part, 1) != WEIR_ECLOSED;
}

static void era_refuse(exchange_t *ex)
{
    exchange_fail(&ex->pub, WEIR_REASON_NOT_MODERN,
                  "%s speaks protocol revisions up to 2025-11-25 only: send initialize, then use its session",
                  ex->upstream->pub.name);
}

bool era_allows(exchange_t *ex)
{
    upstream_t *up = ex->upstream;
    switch (up->era) {
    case UPSTREAM_ERA_MODERN:
        return true;
    case UPSTREAM_ERA_LEGACY:
        era_refuse(ex);
        return false;
    case UPSTREAM_ERA_UNKNOWN:
        up->era = UPSTREAM_ERA_ASKED;
        if (!era_probe(ex->link)) {
            up->era = UPSTREAM_ERA_UNKNOWN;
            exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: cannot ask the server for its era", up->pub.name);
            return false;
        }
        break;
    case UPSTREAM_ERA_ASKED:
        break;
    }
    weir_list_append(&up->era_waits, &ex->pub.carrier_node);
    return false;
}

static void era_release(upstream_t *up)
{
    while (!weir_list_empty(&up->era_waits)) {
        weir_exchange_t *pub = WEIR_CONTAINER(up->era_waits.next, weir_exchange_t, carrier_node);
        weir_list_remove(&pub->carrier_node);
        exchange_t *ex = exchange_of(pub);
        if (era_allows(ex))
            call_request(ex);
        else if (up->era == UPSTREAM_ERA_ASKED)
            return;
    }
}

bool era_is_told(const weir_envelope_t *answer)
{
    return answer->kind == WEIR_KIND_RESULT || answer->error_code == WEIR_CODE_METHOD_NOT_FOUND;
}

void era_learn(upstream_t *up, link_t *link, const weir_envelope_t *answer)
{
    bool is_modern = answer->kind == WEIR_KIND_RESULT || message_is_modern_error(answer);
    upstream_era_t era = is_modern ? UPSTREAM_ERA_MODERN : UPSTREAM_ERA_LEGACY;
    if (up->era != era)
        log_write(WEIR_LOG_INFO, "%s: %s speaks the %s era", up->pub.name, link->pub.server->name,
                  is_modern ? "modern" : "legacy");
    up->era = era;
    era_release(up);
}

void era_forget(upstream_t *up)
{
    if (up->era != UPSTREAM_ERA_ASKED)
        return;
    up->era = UPSTREAM_ERA_UNKNOWN;
    era_release(up);
}
