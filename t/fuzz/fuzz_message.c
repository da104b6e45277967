/* fuzz_message.c: JSON-RPC messages, held against jansson: what is JSON to one is JSON to the other, and what the scan notes is what
 * stands in the tree. Cutting a message and putting it together again loses nothing.
 */
#include "fuzz.h"

#include <jansson.h>

#include "jscan.h"
#include "message.h"

#define META "io.modelcontextprotocol/"

static const json_t nothing;

static json_t *load(weir_slice_t text)
{
    return json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

/* ---- JSON or not ---- */

/* What RFC 8259 allows and a tree cannot hold, and what jansson steps over where no JSON is. */
static bool is_beyond_jansson(const char *p, size_t n, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return memchr(p, '\0', n) != NULL || code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_stack_overflow || strstr(error->text, "invalid Unicode") != NULL;
}

/* The tree, or NULL: then it is no JSON, or nothing can be said. */
static json_t *check_json(const char *p, size_t n, weir_scan_t result)
{
    json_error_t error = {0};
    json_t *tree = json_loadb(p, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    bool is_ours = result == WEIR_SCAN_OK || result == WEIR_SCAN_NOT_JSONRPC;
    if (result != WEIR_SCAN_TOO_DEEP && is_ours != (tree != NULL))
        FUZZ_CHECK(tree == NULL ? is_beyond_jansson(p, n, &error) : memchr(p, '\0', n) != NULL);
    if (result == WEIR_SCAN_TOO_DEEP) {
        json_decref(tree);
        return NULL;
    }
    return tree;
}

/* ---- what the tree says ---- */

static const json_t *get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value == NULL ? &nothing : value;
}

static bool is_there(const json_t *value)
{
    return value != &nothing;
}

static bool is_token(const json_t *value)
{
    return is_there(value) && (json_is_string(value) || json_is_number(value));
}

static bool is_version(const json_t *message)
{
    const json_t *version = get(message, "jsonrpc");
    return is_there(version) && json_is_string(version) && strcmp(json_string_value(version), "2.0") == 0 &&
           json_string_length(version) == 3;
}

static weir_kind_t kind_of_reply(const json_t *message)
{
    const json_t *id = get(message, "id"), *error = get(message, "error"), *result = get(message, "result");
    bool has_error = is_there(error) && json_is_object(error);
    bool has_result = is_there(result) && !(json_is_null(result) && has_error);
    if (is_there(get(message, "params")) || has_error == has_result)
        return WEIR_KIND_NONE;
    if (has_error)
        return WEIR_KIND_ERROR;
    return is_token(id) ? WEIR_KIND_RESULT : WEIR_KIND_NONE;
}

static weir_kind_t kind_of(const json_t *message)
{
    if (json_is_array(message))
        return WEIR_KIND_BATCH;
    if (!json_is_object(message) || !is_version(message))
        return WEIR_KIND_NONE;
    const json_t *id = get(message, "id"), *method = get(message, "method"), *params = get(message, "params");
    const json_t *error = get(message, "error"), *result = get(message, "result");
    if (is_there(params) && !json_is_object(params) && !json_is_array(params))
        return WEIR_KIND_NONE;
    if (is_there(error) && !json_is_object(error) && !json_is_null(error))
        return WEIR_KIND_NONE;
    if (!is_there(method))
        return kind_of_reply(message);
    if (!json_is_string(method) || (is_there(id) && !is_token(id)))
        return WEIR_KIND_NONE;
    if ((is_there(error) && json_is_object(error)) || (is_there(result) && !json_is_null(result)))
        return WEIR_KIND_NONE;
    return is_there(id) ? WEIR_KIND_REQUEST : WEIR_KIND_NOTIFICATION;
}

static void check_raw(weir_slice_t raw, const json_t *expected, bool is_expected)
{
    FUZZ_CHECK((raw.p != NULL) == is_expected);
    if (!is_expected)
        return;
    json_t *value = load(raw);
    FUZZ_CHECK(value != NULL && json_equal(value, expected));
    json_decref(value);
}

static void check_token(weir_slice_t raw, const json_t *expected)
{
    check_raw(raw, expected, is_token(expected));
}

static void check_object(weir_slice_t raw, const json_t *expected)
{
    check_raw(raw, expected, is_there(expected) && json_is_object(expected));
}

static void check_text(weir_slice_t text, const json_t *expected)
{
    bool is_expected = is_there(expected) && json_is_string(expected);
    FUZZ_CHECK((text.p != NULL) == is_expected);
    if (!is_expected)
        return;
    char *plain = malloc(text.n + 1);
    FUZZ_CHECK(plain != NULL);
    size_t n = jscan_unescape(text, plain);
    FUZZ_CHECK(n == json_string_length(expected) && memcmp(plain, json_string_value(expected), n) == 0);
    jscan_text_t written = {.text = text, .is_escaped = memchr(text.p, '\\', text.n) != NULL};
    FUZZ_CHECK(jscan_is(written, weir_slice(plain, n)));
    free(plain);
}

static bool is_method(const json_t *message, const char *name)
{
    const json_t *method = get(message, "method");
    return is_there(method) && json_is_string(method) && strcmp(json_string_value(method), name) == 0 &&
           json_string_length(method) == strlen(name);
}

static void check_meta(const weir_envelope_t *env, const json_t *message, const json_t *inside)
{
    const json_t *found = get(inside, "_meta");
    const json_t *meta = is_there(found) && json_is_object(found) ? found : NULL;
    const json_t *capabilities = get(meta, META "clientCapabilities");
    bool is_handshake = is_method(message, "initialize") && !(is_there(capabilities) && json_is_object(capabilities));
    check_object(env->meta, found);
    check_object(env->capabilities, capabilities);
    check_text(env->version, is_handshake || env->kind == WEIR_KIND_RESULT ? get(inside, "protocolVersion")
                                                                           : get(meta, META "protocolVersion"));
    check_token(env->progress_token, is_method(message, "notifications/progress") ? get(inside, "progressToken")
                                                                                  : get(meta, "progressToken"));
    check_token(env->subscription_id, get(meta, META "subscriptionId"));
    check_text(env->traceparent, get(meta, "traceparent"));
}

static void check_envelope(const weir_envelope_t *env, const json_t *message)
{
    bool is_reply = env->kind == WEIR_KIND_RESULT || env->kind == WEIR_KIND_ERROR;
    const json_t *found = get(message, is_reply ? "result" : "params");
    const json_t *inside = is_there(found) && json_is_object(found) ? found : NULL;
    check_token(env->id, get(message, "id"));
    check_text(env->method, get(message, "method"));
    check_raw(env->params, get(message, "params"), is_there(get(message, "params")));
    if (is_reply)
        check_raw(env->result, get(message, env->kind == WEIR_KIND_ERROR ? "error" : "result"), true);
    else
        FUZZ_CHECK(env->result.p == NULL);
    if (!is_reply) {
        const json_t *name = get(inside, "name");
        check_text(env->name, is_there(name) && json_is_string(name) ? name : get(inside, "uri"));
        check_token(env->request_id, get(inside, "requestId"));
    }
    check_meta(env, message, inside);
    if (env->error_code != 0)
        FUZZ_CHECK(json_real_value(get(get(message, "error"), "code")) == env->error_code);
}

static bool has_newline(const char *p, size_t n)
{
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            in_string = !in_string;
        else if (!in_string && (p[i] == '\n' || p[i] == '\r'))
            return true;
    }
    return false;
}

static void check_slices(const weir_envelope_t *env, const char *p, size_t n)
{
    const weir_slice_t slices[] = {env->id,         env->params,          env->result,     env->name,
                                   env->version,    env->capabilities,    env->meta,       env->progress_token,
                                   env->request_id, env->subscription_id, env->traceparent};
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
        FUZZ_CHECK(fuzz_is_inside(slices[i], p, n));
    FUZZ_CHECK(!env->is_method_escaped || fuzz_is_inside(env->method, p, n));
}

/* ---- cutting ---- */

static char *joined(const weir_message_t *message, const weir_edit_t *edits, size_t nedits, size_t *n)
{
    weir_slice_t parts[2 * WEIR_EDITS_MAX + 1];
    size_t count = message_edit(message, edits, nedits, parts, 2 * WEIR_EDITS_MAX + 1), size = 0;
    FUZZ_CHECK(count > 0);
    for (size_t i = 0; i < count; i++)
        size += parts[i].n;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].n > 0)
            memcpy(text + *n, parts[i].p, parts[i].n);
        *n += parts[i].n;
    }
    return text;
}

/* Ids give way to a number of weir's own and come back byte for byte. */
static void check_edits(const weir_message_t *message)
{
    const weir_envelope_t *env = &message->envelope;
    const weir_slice_t number = WEIR_LIT("65537");
    weir_edit_t edits[] = {
        {env->progress_token, number}, {env->id, number}, {env->request_id, number}, {env->subscription_id, number}};
    size_t n, again_n;
    char *text = joined(message, edits, 4, &n);
    weir_message_t other = {.bytes = weir_slice(text, n)};
    FUZZ_CHECK(message_scan(other.bytes, &other.envelope) == WEIR_SCAN_OK && other.envelope.kind == env->kind);
    FUZZ_CHECK(env->id.p == NULL || weir_slice_eq(other.envelope.id, number));
    weir_edit_t back[] = {{other.envelope.id, env->id},
                          {other.envelope.progress_token, env->progress_token},
                          {other.envelope.request_id, env->request_id},
                          {other.envelope.subscription_id, env->subscription_id}};
    char *again = joined(&other, back, 4, &again_n);
    FUZZ_CHECK(again_n == message->bytes.n && memcmp(again, message->bytes.p, again_n) == 0);
    free(again);
    free(text);
}

static void check_error(const weir_envelope_t *env, const char *p, size_t n)
{
    size_t size = 256 + env->id.n + 6 * n, half = n / 2;
    char *out = malloc(size);
    FUZZ_CHECK(out != NULL);
    size_t used = message_error(out, size, env->id, -32000, weir_slice(p, half), weir_slice(p + half, n - half));
    weir_envelope_t error;
    FUZZ_CHECK(used > 0 && message_scan(weir_slice(out, used), &error) == WEIR_SCAN_OK);
    FUZZ_CHECK(error.kind == WEIR_KIND_ERROR && error.error_code == -32000 && weir_slice_eq(error.id, env->id));
    FUZZ_CHECK(!error.has_newline);
    FUZZ_CHECK(message_error(out, used - 1, env->id, -32000, weir_slice(p, half), weir_slice(p + half, n - half)) == 0);
    free(out);
}

static void fuzz_one(const char *p, size_t n)
{
    weir_message_t message = {.bytes = weir_slice(p, n)};
    weir_envelope_t *env = &message.envelope;
    weir_scan_t result = message_scan(message.bytes, env);
    json_t *tree = check_json(p, n, result);
    check_slices(env, p, n);
    check_error(env, p, n);
    if (result == WEIR_SCAN_OK) {
        FUZZ_CHECK(env->has_newline == has_newline(p, n));
        check_edits(&message);
    }
    if (tree != NULL && (result == WEIR_SCAN_OK || result == WEIR_SCAN_NOT_JSONRPC)) {
        FUZZ_CHECK(env->kind == kind_of(tree));
        if (env->kind != WEIR_KIND_NONE && env->kind != WEIR_KIND_BATCH)
            check_envelope(env, tree);
    }
    json_decref(tree);
}
