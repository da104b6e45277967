/* message.c: see message.h. The scan is one pass: objects that may hold something of interest are read member by member, everything
 * else is only checked.
 */
#include "message.h"

#include <stdio.h>

#include "jscan.h"

#define META "io.modelcontextprotocol/"

/* What is found before it is known which of it counts. */
typedef struct scan {
    jscan_t json;
    weir_envelope_t *env;
    weir_slice_t uri, handshake_version; /* params.uri; protocolVersion beside, not inside, _meta */
    weir_slice_t token;                  /* params.progressToken */
    bool is_uri_escaped;
    bool has_version, has_result, has_error, has_id, is_id_bad, is_params_bad, is_method_bad;
} scan_t;

typedef bool (*member_fn)(scan_t *s, weir_slice_t key);

static bool each_member(scan_t *s, member_fn fn)
{
    jscan_text_t key;
    bool is_over = false;
    for (bool is_first = true;;) {
        if (!jscan_member(&s->json, &is_first, &key, &is_over))
            return false;
        if (is_over)
            return true;
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

static bool scan_meta_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("progressToken")))
        return token_or_skip(s, &s->env->progress_token);
    if (weir_slice_eq(key, WEIR_LIT(META "protocolVersion")))
        return text_or_skip(s, &s->env->version, NULL);
    if (weir_slice_eq(key, WEIR_LIT(META "clientCapabilities")))
        return object_or_skip(s, &s->env->capabilities);
    if (weir_slice_eq(key, WEIR_LIT(META "subscriptionId")))
        return token_or_skip(s, &s->env->subscription_id);
    if (weir_slice_eq(key, WEIR_LIT("traceparent")))
        return text_or_skip(s, &s->env->traceparent, NULL);
    return jscan_value(&s->json, NULL);
}

static bool scan_meta(scan_t *s)
{
    if (jscan_peek(&s->json) != '{')
        return jscan_value(&s->json, NULL);
    const char *begin = s->json.p;
    if (!each_member(s, scan_meta_member))
        return false;
    s->env->meta = weir_slice(begin, (size_t)(s->json.p - begin));
    return true;
}

static bool scan_params_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("_meta")))
        return scan_meta(s);
    if (weir_slice_eq(key, WEIR_LIT("name")))
        return text_or_skip(s, &s->env->name, &s->env->is_name_escaped);
    if (weir_slice_eq(key, WEIR_LIT("uri")))
        return text_or_skip(s, &s->uri, &s->is_uri_escaped);
    if (weir_slice_eq(key, WEIR_LIT("protocolVersion")))
        return text_or_skip(s, &s->handshake_version, NULL);
    if (weir_slice_eq(key, WEIR_LIT("requestId")))
        return token_or_skip(s, &s->env->request_id);
    if (weir_slice_eq(key, WEIR_LIT("progressToken")))
        return token_or_skip(s, &s->token);
    return jscan_value(&s->json, NULL);
}

static bool scan_result_member(scan_t *s, weir_slice_t key)
{
    if (weir_slice_eq(key, WEIR_LIT("_meta")))
        return scan_meta(s);
    if (weir_slice_eq(key, WEIR_LIT("protocolVersion")))
        return text_or_skip(s, &s->handshake_version, NULL);
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

/* Of a key that stands twice the last one counts: what the first one's value left behind goes. */
static void forget_params(scan_t *s)
{
    weir_envelope_t *env = s->env;
    env->name = env->version = env->meta = env->progress_token = env->request_id = (weir_slice_t){NULL, 0};
    env->capabilities = env->subscription_id = env->traceparent = (weir_slice_t){NULL, 0};
    s->uri = s->handshake_version = s->token = (weir_slice_t){NULL, 0};
}

static bool scan_params(scan_t *s)
{
    forget_params(s);
    char first = jscan_peek(&s->json);
    s->is_params_bad = first != '{' && first != '[';
    return scan_object(s, scan_params_member, &s->env->params);
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

static bool scan_top_member(scan_t *s, weir_slice_t key)
{
    weir_slice_t text;
    if (weir_slice_eq(key, WEIR_LIT("jsonrpc"))) {
        bool is_read = text_or_skip(s, &text, NULL);
        s->has_version = is_read && weir_slice_eq(text, WEIR_LIT("2.0"));
        return is_read;
    }
    if (weir_slice_eq(key, WEIR_LIT("id")))
        return scan_id(s);
    if (weir_slice_eq(key, WEIR_LIT("method"))) {
        s->is_method_bad = jscan_peek(&s->json) != '"';
        return text_or_skip(s, &s->env->method, &s->env->is_method_escaped);
    }
    if (weir_slice_eq(key, WEIR_LIT("params")))
        return scan_params(s);
    if (weir_slice_eq(key, WEIR_LIT("result"))) {
        s->has_result = true;
        return scan_object(s, scan_result_member, &s->env->result);
    }
    if (weir_slice_eq(key, WEIR_LIT("error"))) {
        s->has_error = jscan_peek(&s->json) == '{';
        return scan_object(s, scan_error_member, &s->env->result);
    }
    return jscan_value(&s->json, NULL);
}

/* Which of JSON-RPC's four it is, WEIR_KIND_NONE: none. */
static weir_kind_t kind_of(const scan_t *s)
{
    const weir_envelope_t *env = s->env;
    if (!s->has_version || s->is_method_bad || s->is_params_bad)
        return WEIR_KIND_NONE;
    if (env->method.p != NULL && !s->is_id_bad)
        return s->has_id ? WEIR_KIND_REQUEST : WEIR_KIND_NOTIFICATION;
    if (env->method.p == NULL && s->has_result && !s->has_error && s->has_id && !s->is_id_bad)
        return WEIR_KIND_RESULT;
    if (env->method.p == NULL && s->has_error && !s->has_result)
        return WEIR_KIND_ERROR;
    return WEIR_KIND_NONE;
}

/* Some members mean something only beside others, which may come later. */
static void settle(scan_t *s)
{
    weir_envelope_t *env = s->env;
    if (env->name.p == NULL) {
        env->name = s->uri;
        env->is_name_escaped = s->is_uri_escaped;
    }
    bool is_handshake = weir_slice_eq(env->method, WEIR_LIT("initialize")) && env->capabilities.p == NULL;
    if (env->kind == WEIR_KIND_RESULT || is_handshake)
        env->version = s->handshake_version;
    if (weir_slice_eq(env->method, WEIR_LIT("notifications/progress")))
        env->progress_token = s->token;
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
    scan_t s = {.json = jscan_over(bytes), .env = envelope};
    memset(envelope, 0, sizeof(*envelope));
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

/* The edit that stands first behind `from`, or NULL. */
static const weir_edit_t *edit_after(const weir_edit_t *edits, size_t nedits, const char *from)
{
    const weir_edit_t *first = NULL;
    for (size_t i = 0; i < nedits; i++)
        if (edits[i].at.p != NULL && edits[i].at.p >= from && (first == NULL || edits[i].at.p < first->at.p))
            first = &edits[i];
    return first;
}

size_t message_edit(const weir_message_t *message, const weir_edit_t *edits, size_t nedits, weir_slice_t *out,
                    size_t max)
{
    const char *from = message->bytes.p, *end = message->bytes.p + message->bytes.n;
    size_t n = 0;
    const weir_edit_t *edit;
    while ((edit = edit_after(edits, nedits, from)) != NULL) {
        if (n + 2 > max)
            return 0;
        out[n++] = weir_slice(from, (size_t)(edit->at.p - from));
        out[n++] = edit->with;
        from = edit->at.p + edit->at.n;
    }
    if (n + 1 > max)
        return 0;
    out[n++] = weir_slice(from, (size_t)(end - from));
    return n;
}

static size_t put(char *p, size_t used, size_t size, weir_slice_t text)
{
    if (used > size || text.n > size - used)
        return size + 1;
    if (text.n > 0)
        memcpy(p + used, text.p, text.n);
    return used + text.n;
}

size_t message_error(char *p, size_t n, weir_slice_t raw_id, int code, weir_slice_t text, weir_slice_t reason)
{
    char number[16];
    int digits = snprintf(number, sizeof(number), "%d", code);
    size_t used = put(p, 0, n, WEIR_LIT("{\"jsonrpc\":\"2.0\""));
    if (raw_id.p != NULL) {
        used = put(p, used, n, WEIR_LIT(",\"id\":"));
        used = put(p, used, n, raw_id);
    }
    used = put(p, used, n, WEIR_LIT(",\"error\":{\"code\":"));
    used = put(p, used, n, weir_slice(number, digits < 0 ? 0 : (size_t)digits));
    used = put(p, used, n, WEIR_LIT(",\"message\":\""));
    used = jscan_escape(p, used, n, text);
    used = put(p, used, n, WEIR_LIT("\""));
    if (reason.n > 0) {
        used = put(p, used, n, WEIR_LIT(",\"data\":{\"reason\":\""));
        used = jscan_escape(p, used, n, reason);
        used = put(p, used, n, WEIR_LIT("\"}"));
    }
    used = put(p, used, n, WEIR_LIT("}}"));
    return used > n ? 0 : used;
}

bool message_is_modern_error(const weir_envelope_t *envelope)
{
    return envelope->error_code <= WEIR_CODE_HEADER_MISMATCH && envelope->error_code >= WEIR_CODE_BAD_VERSION;
}
