/* mirror.c: see mirror.h. */
#include "mirror.h"

bool mirror_is_modern(weir_slice_t version)
{
    return version.n == 10 && memcmp(version.p, "2026-07-28", 10) >= 0;
}

/* The text that a slice of the message stands for. */
static bool plain_text(const weir_host_t *host, weir_exchange_t *ex, bool is_escaped, weir_slice_t *value)
{
    if (!is_escaped || value->n == 0)
        return true;
    char *text = host->exchange_alloc(ex, value->n);
    if (text == NULL)
        return false;
    *value = weir_slice(text, host->text_unescape(*value, text));
    return true;
}

void mirror_out_name(const weir_host_t *host, weir_exchange_t *ex, head_out_t *out)
{
    weir_slice_t name = ex->message.envelope.name;
    if (plain_text(host, ex, ex->message.envelope.is_name_escaped, &name) &&
        host->mirrored_encode(ex, &name) == WEIR_OK)
        out_field(out, WEIR_LIT("Mcp-Name"), name);
}

typedef struct mirror {
    const char *name;
    weir_field_id_t field;
    weir_slice_t body;
    bool is_escaped;
    bool is_encoded; /* may have the Base64 sentinel */
} mirror_t;

static int check_field(const weir_host_t *host, weir_exchange_t *ex, mirror_t mirror, weir_error_t *err)
{
    unsigned count = head_count(ex->head, mirror.field);
    weir_slice_t value = weir_head_value(ex->head, mirror.field);
    if (count == 0)
        return weir_error(err, "Header mismatch: %s is missing", mirror.name);
    if (count > 1)
        return weir_error(err, "Header mismatch: %s is there %u times", mirror.name, count);
    weir_slice_t said = value;
    if (mirror.is_encoded && host->mirrored_decode(ex, &value) != WEIR_OK)
        return weir_error(err, "Header mismatch: %s has invalid characters or invalid Base64", mirror.name);
    if (!plain_text(host, ex, mirror.is_escaped, &mirror.body) || !weir_slice_eq(value, mirror.body))
        return weir_error(err, "Header mismatch: %s header value '%.*s' does not match body value '%.*s'", mirror.name,
                          (int)(said.n < 128 ? said.n : 128), said.p == NULL ? "" : said.p,
                          (int)(mirror.body.n < 128 ? mirror.body.n : 128), mirror.body.p == NULL ? "" : mirror.body.p);
    return WEIR_OK;
}

static bool has_name(weir_slice_t method)
{
    return weir_slice_eq(method, WEIR_LIT("tools/call")) || weir_slice_eq(method, WEIR_LIT("resources/read")) ||
           weir_slice_eq(method, WEIR_LIT("prompts/get"));
}

int mirror_check(const weir_host_t *host, weir_exchange_t *ex, weir_error_t *err)
{
    const weir_envelope_t *env = &ex->message.envelope;
    weir_slice_t said = weir_head_value(ex->head, WEIR_FIELD_MCP_PROTOCOL_VERSION);
    bool is_handshake = weir_slice_eq(env->method, WEIR_LIT("initialize")) && env->capabilities.p == NULL;
    if (env->kind != WEIR_KIND_REQUEST || is_handshake)
        return WEIR_OK;
    if (!mirror_is_modern(said) && !mirror_is_modern(env->version))
        return WEIR_OK;
    ex->era = WEIR_ERA_MODERN;
    mirror_t version = {"MCP-Protocol-Version", WEIR_FIELD_MCP_PROTOCOL_VERSION, env->version, false, false};
    mirror_t method = {"Mcp-Method", WEIR_FIELD_MCP_METHOD, env->method, env->is_method_escaped, false};
    mirror_t name = {"Mcp-Name", WEIR_FIELD_MCP_NAME, env->name, env->is_name_escaped, true};
    if (env->version.n > 0 && check_field(host, ex, version, err) != WEIR_OK)
        return WEIR_EFAIL;
    if (check_field(host, ex, method, err) != WEIR_OK)
        return WEIR_EFAIL;
    /* A call without a name is the server's to refuse; one whose field has a name that its body lacks is not the same call. */
    bool is_nameless = env->name.p == NULL && ex->head->known[WEIR_FIELD_MCP_NAME] < 0;
    if (has_name(env->method) && !is_nameless)
        return check_field(host, ex, name, err);
    return WEIR_OK;
}
