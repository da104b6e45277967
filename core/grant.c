/* grant.c: see grant.h. */
#include "grant.h"

#include <time.h>

#include "exchanges.h"
#include "log.h"
#include "principal.h"
#include "proc.h"
#include "session.h"
#include "token.h"
#include "upstreams.h"

static int grant_refuse(exchange_t *ex, const char *why)
{
    exchange_fail(&ex->pub, WEIR_REASON_SESSION_NOT_FOUND, "%s: %s; initialize again", ex->upstream->pub.name, why);
    return WEIR_EFAIL;
}

static weir_slice_t keep(exchange_t *ex, weir_slice_t s)
{
    char *copy = exchange_alloc(&ex->pub, s.n);
    if (copy == NULL)
        return (weir_slice_t){NULL, 0};
    memcpy(copy, s.p, s.n);
    return weir_slice(copy, s.n);
}

static int grant_bind_kept(exchange_t *ex, const token_t *token)
{
    if (!ex->upstream->is_kept || token->session_n != SESSION_ID_SIZE)
        return grant_refuse(ex, "the session is of another kind of upstream");
    memcpy(ex->session_id, token->session, SESSION_ID_SIZE);
    ex->has_session = true;
    ex->keeper = token->keeper;
    return WEIR_OK;
}

static int grant_bind_server(exchange_t *ex, const token_t *token)
{
    ex->server = upstream_server_by_hash(ex->upstream, token->server);
    if (ex->server == NULL)
        return grant_refuse(ex, "the session's server is no longer part of the configuration");
    ex->pub.server_session = keep(ex, weir_slice(token->session, token->session_n));
    return ex->pub.server_session.p == NULL ? WEIR_EFAIL : WEIR_OK;
}

/* A child pins itself to the era of the first message it sees: one careless client must not choose for all that share it. */
static int grant_check_modern(exchange_t *ex)
{
    const weir_envelope_t *env = &ex->pub.message.envelope;
    if (env->kind != WEIR_KIND_REQUEST || (env->version.n > 0 && env->capabilities.n > 0))
        return WEIR_OK;
    exchange_fail(&ex->pub, WEIR_REASON_BAD_PARAMS, "params._meta lacks io.modelcontextprotocol/%s",
                  env->version.n == 0 ? "protocolVersion" : "clientCapabilities");
    return WEIR_EFAIL;
}

/* What only somebody who answers in the server's place has to check: a kept session has no HTTP server behind it. */
static int grant_check_kept(exchange_t *ex)
{
    const weir_exchange_t *pub = &ex->pub;
    if (pub->era == WEIR_ERA_MODERN && pub->verb == WEIR_VERB_MESSAGE)
        return grant_check_modern(ex);
    weir_slice_t revision =
        pub->head == NULL ? (weir_slice_t){NULL, 0} : weir_head_value(pub->head, WEIR_FIELD_MCP_PROTOCOL_VERSION);
    bool is_initialize = weir_slice_eq(pub->message.envelope.method, WEIR_LIT("initialize"));
    if (revision.n > 0 && !is_initialize && token_version(revision) == 0) {
        exchange_fail(&ex->pub, WEIR_REASON_BAD_REQUEST, "MCP-Protocol-Version %.*s is not known", WEIR_FMT(revision));
        return WEIR_EFAIL;
    }
    if (ex->has_session || is_initialize)
        return WEIR_OK;
    if (pub->verb == WEIR_VERB_MESSAGE)
        exchange_fail(&ex->pub, WEIR_REASON_SESSION_REQUIRED, "%s: Mcp-Session-Id is missing: send initialize first",
                      ex->upstream->pub.name);
    else
        exchange_fail(&ex->pub, WEIR_REASON_BAD_METHOD, "%s: without a session only POST is served",
                      ex->upstream->pub.name);
    return WEIR_EFAIL;
}

/* A session that was begun while another upstream stood in for this one stays there. */
static void grant_follow(exchange_t *ex, const token_t *token)
{
    upstream_t *fallback = upstream_fallback(ex->upstream);
    if (fallback == NULL || token->upstream != fallback->name_hash)
        return;
    ex->upstream = fallback;
    ex->pub.upstream = &fallback->pub;
}

/* A token is of use to whoever it was given to, and to nobody else; that of nobody in particular to nobody in particular. */
static bool grant_is_theirs(const exchange_t *ex, const token_t *token)
{
    uint64_t principal;
    return principal_digest(ex->pub.principal, &principal) && principal == token->principal;
}

int grant_open(exchange_t *ex)
{
    weir_slice_t text = ex->pub.session_token;
    bool is_initialize = weir_slice_eq(ex->pub.message.envelope.method, WEIR_LIT("initialize"));
    bool is_modern = ex->pub.era == WEIR_ERA_MODERN && ex->pub.verb == WEIR_VERB_MESSAGE;
    /* The modern era has no sessions: a token there is ignored (2026-07-28, Earlier Streamable HTTP Revisions). */
    if (text.n > 0 && !is_initialize && !is_modern) {
        token_t token;
        if (!token_open(proc->keys, text, &token))
            return grant_refuse(ex, "Mcp-Session-Id is no session of this weir");
        if (!grant_is_theirs(ex, &token))
            return grant_refuse(ex, "the session belongs to another principal");
        grant_follow(ex, &token);
        if (token.upstream != ex->upstream->name_hash)
            return grant_refuse(ex, "the session belongs to another upstream");
        int result = token.is_kept ? grant_bind_kept(ex, &token) : grant_bind_server(ex, &token);
        if (result != WEIR_OK)
            return result;
        ex->version = token_revision(token.version);
    }
    return ex->upstream->is_kept ? grant_check_kept(ex) : WEIR_OK;
}

static weir_slice_t grant_seal(exchange_t *ex, token_t *token)
{
    token->upstream = ex->upstream->name_hash;
    token->issued_s = (uint32_t)time(NULL);
    char text[TOKEN_TEXT_MAX];
    size_t n = principal_digest(ex->pub.principal, &token->principal) ? token_seal(proc->keys, token, text) : 0;
    if (n == 0)
        log_write(WEIR_LOG_ERROR, "%s: a session token could not be sealed", ex->upstream->pub.name);
    return n == 0 ? (weir_slice_t){NULL, 0} : keep(ex, weir_slice(text, n));
}

void grant_from_reply(exchange_t *ex, const weir_head_t *head)
{
    weir_slice_t session = weir_head_value(head, WEIR_FIELD_MCP_SESSION_ID);
    if (session.n == 0)
        return;
    /* Many servers repeat the id with every reply: the client has its token already. */
    if (ex->pub.server_session.n > 0 && weir_slice_eq(session, ex->pub.server_session)) {
        ex->pub.session_grant = ex->pub.session_token;
        return;
    }
    if (session.n > TOKEN_SESSION_MAX) {
        log_write(WEIR_LOG_ERROR,
                  "%s: the server's Mcp-Session-Id has %zu bytes, more than %d; the session is not granted",
                  ex->upstream->pub.name, session.n, TOKEN_SESSION_MAX);
        return;
    }
    token_t token = {.server = ex->server == NULL ? 0 : ex->server->name_hash, .session_n = (uint16_t)session.n};
    memcpy(token.session, session.p, session.n);
    ex->pub.session_grant = grant_seal(ex, &token);
}

void grant_kept(exchange_t *ex, uint8_t keeper, const uint8_t *id, size_t n, weir_slice_t revision)
{
    token_t token = {.is_kept = true, .keeper = keeper, .version = token_version(revision), .session_n = (uint16_t)n};
    memcpy(token.session, id, n);
    ex->pub.session_grant = grant_seal(ex, &token);
}
