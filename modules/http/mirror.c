/* mirror.c: see mirror.h. */
#include "mirror.h"

bool mirror_is_modern(weir_slice_t version)
{
    return version.n == 10 && memcmp(version.p, "2026-07-28", 10) >= 0;
}

/* ---- the two encodings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = weir_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX at `p`, or -1. */
static int32_t code_unit(const char *p, const char *end)
{
    int32_t unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

/* \uXXXX, and the second half of a pair when it follows. */
static const char *unescape_unit(const char *p, const char *end, char **out)
{
    int32_t unit = code_unit(p, end);
    int32_t low = code_unit(p + 6, end);
    if (unit >= 0xd800 && unit < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        *out = put_utf8(*out, 0x10000u + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
        return p + 12;
    }
    bool is_lone = unit < 0 || (unit >= 0xd800 && unit < 0xe000);
    *out = put_utf8(*out, is_lone ? 0xfffdu : (uint32_t)unit);
    return end - p < 6 ? end : p + 6;
}

size_t mirror_unescape(weir_slice_t s, char *out)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *p = s.p, *end = s.p + s.n;
    char *begin = out;
    while (p < end) {
        if (*p != '\\' || end - p < 2) {
            *out++ = *p++;
        } else if (p[1] == 'u') {
            p = unescape_unit(p, end, &out);
        } else {
            const char *letter = memchr(letters, p[1], sizeof(letters) - 1);
            *out++ = letter == NULL ? p[1] : meanings[letter - letters];
            p += 2;
        }
    }
    return (size_t)(out - begin);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long mirror_base64(weir_slice_t s, char *out)
{
    char *begin = out;
    uint32_t bits = 0;
    unsigned pad = 0;
    if (s.n % 4 != 0)
        return -1;
    for (; s.n > 0 && s.p[s.n - 1] == '=' && pad < 2; s.n--)
        pad++;
    for (size_t i = 0; i < s.n; i++) {
        int digit = base64_digit(s.p[i]);
        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            *out++ = (char)(bits >> (6 - 2 * (i % 4)));
    }
    return out - begin;
}

/* ---- the fields ---- */

static bool is_sentinel(weir_slice_t value)
{
    return value.n >= 11 && memcmp(value.p, "=?base64?", 9) == 0 && memcmp(value.p + value.n - 2, "?=", 2) == 0;
}

static bool is_visible(weir_slice_t value)
{
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || (unsigned char)value.p[i] >= 0x7f)
            return false;
    return true;
}

static bool is_plain(weir_slice_t name)
{
    return is_visible(name) && !is_sentinel(name) && weir_slice_trim(name).n == name.n;
}

static void out_base64(head_out_t *out, const char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < n ? (unsigned char)p[i + j] : 0u);
        char four[4];
        for (size_t j = 0; j < 4; j++)
            four[j] = i + j > n ? '=' : digits[bits >> (18 - 6 * j) & 63];
        out_text(out, weir_slice(four, 4));
    }
}

void mirror_out_name(head_out_t *out, weir_slice_t name, bool is_escaped)
{
    char text[8192];
    if (!is_escaped && is_plain(name)) {
        out_field(out, WEIR_LIT("Mcp-Name"), name);
        return;
    }
    if (is_escaped && name.n > sizeof(text))
        return; /* longer than servers take heads; they will say what is missing */
    if (is_escaped)
        name = weir_slice(text, mirror_unescape(name, text));
    OUT_LIT(out, "Mcp-Name: =?base64?");
    out_base64(out, name.p, name.n);
    OUT_LIT(out, "?=\r\n");
}

/* What the field means. False when it means nothing. */
static bool field_text(const weir_host_t *host, weir_exchange_t *ex, weir_slice_t *value)
{
    if (!is_visible(*value))
        return false;
    if (!is_sentinel(*value))
        return true;
    char *text = host->exchange_alloc(ex, value->n);
    long n = text == NULL ? -1 : mirror_base64(weir_slice(value->p + 9, value->n - 11), text);
    if (n < 0)
        return false;
    *value = weir_slice(text, (size_t)n);
    return true;
}

static bool body_text(const weir_host_t *host, weir_exchange_t *ex, bool is_escaped, weir_slice_t *value)
{
    if (!is_escaped || value->n == 0)
        return true;
    char *text = host->exchange_alloc(ex, value->n);
    if (text == NULL)
        return false;
    *value = weir_slice(text, mirror_unescape(*value, text));
    return true;
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
    if (mirror.is_encoded && !field_text(host, ex, &value))
        return weir_error(err, "Header mismatch: %s has invalid characters or invalid Base64", mirror.name);
    if (!body_text(host, ex, mirror.is_escaped, &mirror.body) || !weir_slice_eq(value, mirror.body))
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
