/* session.c: both eras. A request that names a protocol version in its _meta is modern and carries all that is known of its
 * client; any other belongs to the one legacy session of this process, which begins with `initialize`.
 */
#include <stdio.h>
#include <string.h>

#include "handlers.h"

#define META(name) "io.modelcontextprotocol/" name

static const char modern_version[] = "2026-07-28";
static const char *const legacy_versions[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};

static era_t spoken = ERA_BOTH;
static const char *agreed_version; /* of the legacy session, NULL: there is none */
static json_t *client_capabilities;
static int session_level = LEVEL_NONE;

void session_speak(era_t eras)
{
    spoken = eras;
}

bool session_is_since(const char *version)
{
    return agreed_version && strcmp(agreed_version, version) >= 0;
}

static json_t *server_capabilities(void)
{
    return json_pack("{s:{}, s:{s:b}, s:{}, s:{}, s:{}}", "tools", "resources", "subscribe", 1, "prompts",
                     "completions", "logging");
}

static json_t *instructions(void)
{
    return json_string(
        "A server to try weir with. Call `echo`, `add`, `countdown` (with progress) or `ask_name`, which asks "
        "you a question.");
}

static void refuse_version(const request_t *rq, const char *requested)
{
    json_t *data = json_pack("{s:[s]}", "supported", modern_version);
    if (requested)
        json_object_set_new(data, "requested", json_string(requested));
    rpc_error(rq, RPC_UNSUPPORTED_VERSION, data, "Unsupported protocol version: this server speaks %s", modern_version);
}

static const char *agree(const char *requested)
{
    for (size_t i = 0; requested && i < sizeof(legacy_versions) / sizeof(*legacy_versions); i++)
        if (strcmp(legacy_versions[i], requested) == 0)
            return legacy_versions[i];
    return legacy_versions[0];
}

void session_initialize(const request_t *rq)
{
    json_t *capabilities = json_object_get(rq->params, "capabilities");
    agreed_version = agree(json_string_value(json_object_get(rq->params, "protocolVersion")));
    session_level = LEVEL_NONE;
    json_decref(client_capabilities);
    client_capabilities = json_is_object(capabilities) ? json_incref(capabilities) : json_object();
    rpc_result(rq, json_pack("{s:s, s:o, s:o, s:o}", "protocolVersion", agreed_version, "capabilities",
                             server_capabilities(), "serverInfo", rpc_server_info(), "instructions", instructions()));
}

void session_discover(const request_t *rq)
{
    rpc_result(rq, json_pack("{s:[s], s:o, s:o}", "supportedVersions", modern_version, "capabilities",
                             server_capabilities(), "instructions", instructions()));
}

void session_ping(const request_t *rq)
{
    rpc_result(rq, json_object());
}

void session_set_level(const request_t *rq)
{
    int level = rpc_level(json_string_value(json_object_get(rq->params, "level")));
    if (level < 0) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "logging/setLevel: `level` must be one of debug … emergency");
        return;
    }
    session_level = level;
    rpc_result(rq, json_object());
}

static bool admit_modern(request_t *rq, json_t *meta, const char *version)
{
    rq->is_modern = true;
    rq->capabilities = json_object_get(meta, META("clientCapabilities"));
    int level = rpc_level(json_string_value(json_object_get(meta, META("logLevel"))));
    rq->log_level = level < 0 ? LEVEL_NONE : level;
    if (strcmp(version, modern_version) != 0) {
        refuse_version(rq, version);
        return false;
    }
    if (!json_is_object(rq->capabilities)) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "_meta lacks " META("clientCapabilities"));
        return false;
    }
    return true;
}

static bool admit_legacy(request_t *rq)
{
    rq->capabilities = client_capabilities;
    rq->log_level = session_level;
    bool is_opening = strcmp(rq->method, "initialize") == 0;
    if (is_opening && !(spoken & ERA_LEGACY)) {
        refuse_version(rq, json_string_value(json_object_get(rq->params, "protocolVersion")));
        return false;
    }
    if (is_opening || agreed_version || strcmp(rq->method, "ping") == 0)
        return true;
    rpc_error(rq, RPC_INVALID_PARAMS, NULL, "%s: neither initialized (legacy) nor with %s in _meta (modern)",
              rq->method, META("protocolVersion"));
    return false;
}

bool session_admit(request_t *rq)
{
    json_t *meta = json_object_get(rq->params, "_meta");
    const char *version = json_string_value(json_object_get(meta, META("protocolVersion")));
    rq->progress_token = json_object_get(meta, "progressToken");
    return version && (spoken & ERA_MODERN) ? admit_modern(rq, meta, version) : admit_legacy(rq);
}
