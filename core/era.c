/* era.c: see the table in era.h. */
#include "era.h"

#include <stdlib.h>

#include "ask.h"
#include "jscan.h"
#include "log.h"
#include "message.h"
#include "param.h"

/* A server whose transport has pinned it to the modern era may not look at the revision of a request any more. The one that was found
 * last is looked at first: most clients say the same. */
static bool era_has_revision(upstream_t *up, weir_slice_t revision)
{
    if (up->revisions == NULL || (revision.n > 0 && weir_slice_eq(up->revision, revision)))
        return true;
    const char *found = revision.n == 0 ? NULL : memmem(up->revisions, strlen(up->revisions), revision.p, revision.n);
    if (found == NULL || found[-1] != '"' || found[revision.n] != '"')
        return false;
    up->revision = weir_slice(found, revision.n);
    return true;
}

static void era_refuse_revision(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    weir_chunk_t parts[] = {
        {.bytes = WEIR_LIT("{\"jsonrpc\":\"2.0\",\"id\":")},
        {.bytes = env->id},
        {.bytes = WEIR_LIT(
             ",\"error\":{\"code\":-32022,\"message\":\"Unsupported protocol version\",\"data\":{\"supported\":")},
        {.bytes = weir_slice_str(ex->upstream->revisions)},
        {.bytes = WEIR_LIT(",\"requested\":\"")},
        {.bytes = env->version},
        {.bytes = WEIR_LIT("\"}}}")},
    };
    ex->pub.reply_status = 400;
    reply_message(ex, parts, sizeof(parts) / sizeof(parts[0]), (weir_slice_t){NULL, 0}, true);
}

static void era_refuse(exchange_t *ex)
{
    exchange_fail(&ex->pub, WEIR_REASON_NOT_MODERN,
                  "%s speaks protocol revisions up to 2025-11-25 only: send initialize, then use its session",
                  ex->upstream->pub.name);
}

/* Whether a modern request may be sent now. If not it waits or has failed. */
static bool era_allows(exchange_t *ex)
{
    upstream_t *up = ex->upstream;
    switch (up->era) {
    case UPSTREAM_ERA_MODERN:
        if (era_has_revision(up, ex->pub.message.envelope.version))
            return true;
        era_refuse_revision(ex);
        return false;
    case UPSTREAM_ERA_LEGACY:
        era_refuse(ex);
        return false;
    case UPSTREAM_ERA_UNKNOWN:
        up->era = UPSTREAM_ERA_ASKED;
        if (ask(ex->link, WEIR_LIT("server/discover"), (weir_slice_t){NULL, 0}) == NULL) {
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

void era_send(exchange_t *ex)
{
    if (era_allows(ex))
        params_send(ex);
}

static void era_release(upstream_t *up)
{
    while (!weir_list_empty(&up->era_waits)) {
        weir_exchange_t *pub = WEIR_CONTAINER(up->era_waits.next, weir_exchange_t, carrier_node);
        weir_list_remove(&pub->carrier_node);
        exchange_t *ex = exchange_of(pub);
        if (era_allows(ex))
            params_send(ex);
        else if (up->era == UPSTREAM_ERA_ASKED)
            return;
    }
}

bool era_is_told(const weir_envelope_t *answer)
{
    return answer->kind == WEIR_KIND_RESULT || answer->error_code == WEIR_CODE_METHOD_NOT_FOUND;
}

/* The list of revisions of a DiscoverResult, as JSON text. Where there is none, every revision is the server's to judge. */
static void era_note_revisions(upstream_t *up, const weir_envelope_t *answer)
{
    static const weir_slice_t name = {"supportedVersions", 17};
    weir_slice_t list;
    if (answer->kind != WEIR_KIND_RESULT || !jscan_get(answer->result, &name, &list, 1) || list.n == 0 ||
        list.p[0] != '[')
        return;
    free(up->revisions);
    up->revision = (weir_slice_t){NULL, 0};
    up->revisions = strndup(list.p, list.n);
}

void era_learn(upstream_t *up, link_t *link, const weir_envelope_t *answer)
{
    bool is_modern = answer->kind == WEIR_KIND_RESULT || message_is_modern_error(answer);
    upstream_era_t era = is_modern ? UPSTREAM_ERA_MODERN : UPSTREAM_ERA_LEGACY;
    if (up->era != era)
        log_write(WEIR_LOG_INFO, "%s: %s speaks the %s era", up->pub.name, link->pub.server->name,
                  is_modern ? "modern" : "legacy");
    up->era = era;
    era_note_revisions(up, answer);
    era_release(up);
}

void era_forget(upstream_t *up)
{
    if (up->era != UPSTREAM_ERA_ASKED)
        return;
    up->era = UPSTREAM_ERA_UNKNOWN;
    era_release(up);
}
