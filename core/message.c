/* message.c: see message.h. The scan is one pass: objects that may hold something of interest are read member by member, everything
 * else is only checked.
 */
#include "message.h"

#include "jscan.h"
#include "method.h"

#define META "io.modelcontextprotocol/"

/* What may stand in a _meta. */
typedef struct meta {
    weir_slice_t whole, version, capabilities, progress_token, subscription_id, traceparent;
} meta_t;

/* What may stand in params, and in a result. It is known only at the end which of the two counts. */
typedef struct parts {
    meta_t meta;
    weir_slice_t name, uri;
    weir_slice_t handshake_version; /* protocolVersion beside, not inside, _meta */
    weir_slice_t request_id, token; /* requestId, progressToken: likewise */
    bool is_name_escaped, is_uri_escaped;
} parts_t;

typedef struct scan {
    jscan_t json;
    weir_envelope_t *env;
    parts_t *at;                    /* the ones being read */
    const parts_t *params, *result; /* NULL: there are none */
    weir_slice_t error;             /* raw */
    bool has_version, has_id, has_result, has_error, is_result_null;
    bool is_id_bad, is_method_bad, is_params_bad, is_error_bad;
    parts_t params_room, result_room; /* cleared when they are read, and not before: most messages have one of them */
} scan_t;

typedef bool (*member_fn)(scan_t *s, weir_slice_t key);

/* No key of interest is longer, not even with an escape for every character. */
#define ESCAPED_KEY_MAX 256

/* Read an object member by member. A key is what it says, not how it is written: "\u0069d" is "id" to whoever parses it. */
static bool each_member(scan_t *s, member_fn fn)
{
    jscan_text_t key;
    char plain[ESCAPED_KEY_MAX];
    bool is_over = false;
    for (bool is_first = true;;) {
        if (!jscan_member(&s->json, &is_first, &key, &is_over))
            return false;
        if (is_over)
            return true;
        if (key.is_escaped && key.text.n <= sizeof(plain))
            key.text = weir_slice(plain, jscan_unescape(key.text, plain));
        if (!fn(s, key.text))
            return false;
    }
}

/* A string member as text, or any other value stepped over. */
static bool text_or_skip(scan_t *s, weir_slice_t *text, bool *is_escaped)
{
    jscan_text_t found;
    if (jscan_peek(&s->json) != '"') {
        *text = (weir_slice_t){NULL, 0};
        return jscan_value(&s->json, NULL);
    }
    if (!jscan_string(&s->json, &found))
        return false;
    *text = found.text;
    if (is_escaped != NULL)
        *is_escaped = found.is_escaped;
    return true;
}

/* An object as it stands; anything else does not count. */
static bool object_or_skip(scan_t *s, weir_slice_t *raw)
{
    bool is_object = jscan_peek(&s->json) == '{';
    weir_slice_t value;
    if (!jscan_value(&s->json, &value))
        return false;
    *raw = is_object ? value : (weir_slice_t){NULL, 0};
    return true;
}

/* A string or number as it stands; anything else is stepped over and does not count. */
static bool token_or_skip(scan_t *s, weir_slice_t *raw)
{
    weir_slice_t value;
    char first = jscan_peek(&s->json);
    if (!jscan_value(&s->json, &value))
        return false;
    *raw = first == '"' || first == '-' || (first >= '0' && first <= '9') ? value : (weir_slice_t){NULL, 0};
    return true;
}

/* An object is read by `fn`; what is no object is only checked. `raw` becomes the whole. */
static bool scan_object(scan_t *s, member_fn fn, weir_slice_t *raw)
{
    bool is_object = jscan_peek(&s->json) == '{';
    const char *begin = s->json.p;
    if (is_object ? !each_member(s, fn) : !jscan_value(&s->json, NULL))
        return false;
    *raw = weir_slice(begin, (size_t)(s->json.p - begin));
    return true;
}

static bool scan_meta_member(scan_t *s, weir_slice_t key)
{
    meta_t *meta = &s->at->meta;
    if (weir_slice_eq(key, WEIR_LIT("progressToken")))
        return token_or_skip(s, &meta->progress_token);
    if (weir_slice_eq(key, WEIR_LIT(META "protocolVersion")))
        return text_or_skip(s, &meta->version, NULL);
    if (weir_slice_eq(key, WEIR_LIT(META "clientCapabilities")))
        return object_or_skip(s, &meta->capabilities);
    if (weir_slice_eq(key, WEIR_LIT(META "subscriptionId")))
        return token_or_skip(s, &meta->subscription_id);
    if (weir_slice_eq(key, WEIR_LIT("traceparent")))
        return text_or_skip(s, &meta->traceparent, NULL);
    return jscan_value(&s->json, NULL);
}

static bool scan_meta(scan_t *s)
{
    if (s->at->meta.whole.p != NULL)
        s->at->meta = (meta_t){0};
    if (jscan_peek(&s->json) != '{')
        return jscan_value(&s->json, NULL);
    return scan_object(s, scan_meta_member, &s->at->meta.whole);
}

static bool scan_params_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("_meta")))
        return scan_meta(s);
    if (weir_slice_eq(key, WEIR_LIT("name")))
        return text_or_skip(s, &s->at->name, &s->at->is_name_escaped);
    if (weir_slice_eq(key, WEIR_LIT("uri")))
        return text_or_skip(s, &s->at->uri, &s->at->is_uri_escaped);
    if (weir_slice_eq(key, WEIR_LIT("protocolVersion")))
        return text_or_skip(s, &s->at->handshake_version, NULL);
    if (weir_slice_eq(key, WEIR_LIT("requestId")))
        return token_or_skip(s, &s->at->request_id);
    if (weir_slice_eq(key, WEIR_LIT("progressToken")))
        return token_or_skip(s, &s->at->token);
    return jscan_value(&s->json, NULL);
}

static bool scan_result_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("_meta")))
        return scan_meta(s);
    if (weir_slice_eq(key, WEIR_LIT("protocolVersion")))
        return text_or_skip(s, &s->at->handshake_version, NULL);
    return jscan_value(&s->json, NULL);
}

static int32_t small_int(weir_slice_t raw)
{
    int64_t value = 0;
    bool is_negative = raw.n > 0 && raw.p[0] == '-';
    for (size_t i = is_negative; i < raw.n; i++) {
        if (raw.p[i] < '0' || raw.p[i] > '9' || value > INT32_MAX)
            return 0;
        value = value * 10 + (raw.p[i] - '0');
    }
    return value > INT32_MAX ? 0 : (int32_t)(is_negative ? -value : value);
}

static bool scan_error_member(scan_t *s, weir_slice_t key)
{
    weir_slice_t raw;
    if (!jscan_value(&s->json, &raw))
        return false;
    if (weir_slice_eq(key, WEIR_LIT("code")))
        s->env->error_code = small_int(raw);
    return true;
}

/* ---- the members of a message; of a key that stands twice, nothing of the first one's value is left ---- */

static bool scan_params(scan_t *s)
{
    char first = jscan_peek(&s->json);
    s->is_params_bad = first != '{' && first != '[';
    s->params_room = (parts_t){0};
    s->params = s->at = &s->params_room;
    return scan_object(s, scan_params_member, &s->env->params);
}

static bool scan_result(scan_t *s)
{
    s->has_result = true;
    s->is_result_null = jscan_peek(&s->json) == 'n';
    s->result_room = (parts_t){0};
    s->result = s->at = &s->result_room;
    return scan_object(s, scan_result_member, &s->env->result);
}

/* Some write `"error": null` beside a result. */
static bool scan_error(scan_t *s)
{
    char first = jscan_peek(&s->json);
    s->has_error = first == '{';
    s->is_error_bad = first != '{' && first != 'n';
    s->env->error_code = 0;
    return scan_object(s, scan_error_member, &s->error);
}

static bool scan_id(scan_t *s)
{
    bool is_null = jscan_peek(&s->json) == 'n';
    s->has_id = !is_null;
    if (!token_or_skip(s, &s->env->id))
        return false;
    s->is_id_bad = s->env->id.p == NULL;
    return true;
}

/* "tools\/call", as some JSON writers have it, is what everybody who asks for "tools/call" has to see. */
static bool scan_method(scan_t *s)
{
    weir_envelope_t *env = s->env;
    s->is_method_bad = jscan_peek(&s->json) != '"';
    env->is_method_escaped = false;
    if (!text_or_skip(s, &env->method, &env->is_method_escaped))
        return false;
    weir_slice_t plain = env->is_method_escaped ? method_plain(env->method) : (weir_slice_t){NULL, 0};
    if (plain.p != NULL) {
        env->method = plain;
        env->is_method_escaped = false;
    }
    return true;
}

static bool scan_jsonrpc(scan_t *s)
{
    jscan_text_t text = {.text = {NULL, 0}};
    bool is_read = text_or_skip(s, &text.text, &text.is_escaped);
    s->has_version = is_read && jscan_is(text, WEIR_LIT("2.0"));
    return is_read;
}

static bool scan_top_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("jsonrpc")))
        return scan_jsonrpc(s);
    if (weir_slice_eq(key, WEIR_LIT("id")))
        return scan_id(s);
    if (weir_slice_eq(key, WEIR_LIT("method")))
        return scan_method(s);
    if (weir_slice_eq(key, WEIR_LIT("params")))
        return scan_params(s);
    if (weir_slice_eq(key, WEIR_LIT("result")))
        return scan_result(s);
    if (weir_slice_eq(key, WEIR_LIT("error")))
        return scan_error(s);
    return jscan_value(&s->json, NULL);
}

/* Which of JSON-RPC's four it is, WEIR_KIND_NONE: none, or two of them, which one reader could take for one and another for the other. */
static weir_kind_t kind_of(const scan_t *s)
{
    const weir_envelope_t *env = s->env;
    if (!s->has_version || s->is_method_bad || s->is_params_bad || s->is_error_bad)
        return WEIR_KIND_NONE;
    bool has_result = s->has_result && !(s->is_result_null && (env->method.p != NULL || s->has_error));
    if (env->method.p != NULL) {
        if (has_result || s->has_error || s->is_id_bad)
            return WEIR_KIND_NONE;
        return s->has_id ? WEIR_KIND_REQUEST : WEIR_KIND_NOTIFICATION;
    }
    if (env->params.p != NULL || has_result == s->has_error)
        return WEIR_KIND_NONE;
    if (s->has_error)
        return WEIR_KIND_ERROR;
    return s->has_id && !s->is_id_bad ? WEIR_KIND_RESULT : WEIR_KIND_NONE;
}

/* Some members mean something only beside others, which may come later. */
static void settle(scan_t *s)
{
    weir_envelope_t *env = s->env;
    bool is_reply = env->method.p == NULL;
    static const parts_t nothing;
    const parts_t *read = is_reply ? s->result : s->params, *at = read == NULL ? &nothing : read;
    bool is_handshake = weir_slice_eq(env->method, WEIR_LIT("initialize")) && at->meta.capabilities.p == NULL;
    bool is_progress = weir_slice_eq(env->method, WEIR_LIT("notifications/progress"));
    env->name = at->name.p != NULL ? at->name : at->uri;
    env->is_name_escaped = at->name.p != NULL ? at->is_name_escaped : at->is_uri_escaped;
    env->version = is_handshake || env->kind == WEIR_KIND_RESULT ? at->handshake_version : at->meta.version;
    env->capabilities = at->meta.capabilities;
    env->meta = at->meta.whole;
    env->progress_token = is_progress ? at->token : at->meta.progress_token;
    env->request_id = at->request_id;
    env->subscription_id = at->meta.subscription_id;
    env->traceparent = at->meta.traceparent;
    if (env->kind == WEIR_KIND_ERROR)
        env->result = s->error;
    else if (!is_reply)
        env->result = (weir_slice_t){NULL, 0};
    env->has_newline = s->json.has_newline;
}

static weir_scan_t refuse(const scan_t *s, weir_envelope_t *env, weir_scan_t why)
{
    weir_slice_t id = why == WEIR_SCAN_NOT_JSONRPC ? env->id : (weir_slice_t){NULL, 0};
    memset(env, 0, sizeof(*env));
    env->id = id;
    return why == WEIR_SCAN_NOT_JSON && s->json.is_too_deep ? WEIR_SCAN_TOO_DEEP : why;
}

weir_scan_t message_scan(weir_slice_t bytes, weir_envelope_t *envelope)
{
    scan_t s;
    memset(&s, 0, offsetof(scan_t, params_room));
    memset(envelope, 0, sizeof(*envelope));
    s.json = jscan_over(bytes);
    s.env = envelope;
    char first = jscan_peek(&s.json);
    bool is_read = first == '{' ? each_member(&s, scan_top_member) : jscan_value(&s.json, NULL);
    if (!is_read || !jscan_at_end(&s.json))
        return refuse(&s, envelope, WEIR_SCAN_NOT_JSON);
    envelope->kind = first == '[' ? WEIR_KIND_BATCH : first == '{' ? kind_of(&s) : WEIR_KIND_NONE;
    if (envelope->kind == WEIR_KIND_NONE)
        return refuse(&s, envelope, WEIR_SCAN_NOT_JSONRPC);
    settle(&s);
    return WEIR_SCAN_OK;
}

bool message_is_modern_error(const weir_envelope_t *envelope)
{
    return envelope->error_code <= WEIR_CODE_HEADER_MISMATCH && envelope->error_code >= WEIR_CODE_BAD_VERSION;
}
