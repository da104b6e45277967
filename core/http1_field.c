/* http1_field.c: see http1_field.h. A name is looked up by its length first: few lengths have more than two known names. */
#include "http1_field.h"

#define LENGTH_MAX 20

typedef struct known {
    const char *name; /* lower case */
    weir_field_id_t id;
} known_t;

static const known_t names_2[] = {{"te", WEIR_FIELD_TE}, {NULL, 0}};
static const known_t names_3[] = {{"via", WEIR_FIELD_VIA}, {NULL, 0}};
static const known_t names_4[] = {{"host", WEIR_FIELD_HOST},
                                  {"date", WEIR_FIELD_DATE},
                                  {"vary", WEIR_FIELD_VARY},
                                  {"etag", WEIR_FIELD_ETAG},
                                  {NULL, 0}};
static const known_t names_6[] = {{"accept", WEIR_FIELD_ACCEPT},
                                  {"expect", WEIR_FIELD_EXPECT},
                                  {"origin", WEIR_FIELD_ORIGIN},
                                  {"server", WEIR_FIELD_SERVER},
                                  {NULL, 0}};
static const known_t names_7[] = {{"upgrade", WEIR_FIELD_UPGRADE}, {"trailer", WEIR_FIELD_TRAILER}, {NULL, 0}};
static const known_t names_8[] = {{"mcp-name", WEIR_FIELD_MCP_NAME}, {NULL, 0}};
static const known_t names_9[] = {{"forwarded", WEIR_FIELD_FORWARDED}, {NULL, 0}};
static const known_t names_10[] = {{"connection", WEIR_FIELD_CONNECTION},
                                   {"keep-alive", WEIR_FIELD_KEEP_ALIVE},
                                   {"mcp-method", WEIR_FIELD_MCP_METHOD},
                                   {NULL, 0}};
static const known_t names_11[] = {
    {"traceparent", WEIR_FIELD_TRACEPARENT}, {"retry-after", WEIR_FIELD_RETRY_AFTER}, {NULL, 0}};
static const known_t names_12[] = {{"content-type", WEIR_FIELD_CONTENT_TYPE}, {NULL, 0}};
static const known_t names_13[] = {{"authorization", WEIR_FIELD_AUTHORIZATION},
                                   {"last-event-id", WEIR_FIELD_LAST_EVENT_ID},
                                   {"cache-control", WEIR_FIELD_CACHE_CONTROL},
                                   {NULL, 0}};
static const known_t names_14[] = {
    {"content-length", WEIR_FIELD_CONTENT_LENGTH}, {"mcp-session-id", WEIR_FIELD_MCP_SESSION_ID}, {NULL, 0}};
static const known_t names_15[] = {
    {"x-forwarded-for", WEIR_FIELD_X_FORWARDED_FOR}, {"accept-encoding", WEIR_FIELD_ACCEPT_ENCODING}, {NULL, 0}};
static const known_t names_16[] = {{"content-encoding", WEIR_FIELD_CONTENT_ENCODING},
                                   {"proxy-connection", WEIR_FIELD_PROXY_CONNECTION},
                                   {"x-forwarded-host", WEIR_FIELD_X_FORWARDED_HOST},
                                   {NULL, 0}};
static const known_t names_17[] = {{"transfer-encoding", WEIR_FIELD_TRANSFER_ENCODING},
                                   {"x-forwarded-proto", WEIR_FIELD_X_FORWARDED_PROTO},
                                   {NULL, 0}};
static const known_t names_18[] = {{"proxy-authenticate", WEIR_FIELD_PROXY_AUTHENTICATE}, {NULL, 0}};
static const known_t names_19[] = {{"proxy-authorization", WEIR_FIELD_PROXY_AUTHORIZATION}, {NULL, 0}};
static const known_t names_20[] = {{"mcp-protocol-version", WEIR_FIELD_MCP_PROTOCOL_VERSION}, {NULL, 0}};

static const known_t *const by_length[LENGTH_MAX + 1] = {
    [2] = names_2,   [3] = names_3,   [4] = names_4,   [6] = names_6,   [7] = names_7,   [8] = names_8,
    [9] = names_9,   [10] = names_10, [11] = names_11, [12] = names_12, [13] = names_13, [14] = names_14,
    [15] = names_15, [16] = names_16, [17] = names_17, [18] = names_18, [19] = names_19, [20] = names_20,
};

static uint64_t word_of(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* Eight bytes with their letters in lower case, and other bytes the same or not what a name of the tables has: bit 0x20 follows bit
 * 0x40. */
static uint64_t word_folded(const char *p)
{
    uint64_t word = word_of(p);
    return word | (word & UINT64_C(0x4040404040404040)) >> 1;
}

/* Eight bytes at a time; the last eight may overlap those before. */
static bool is_name(weir_slice_t name, const char *lower)
{
    size_t i = 0;
    if (name.n < 8) {
        while (i < name.n && weir_lower(name.p[i]) == lower[i])
            i++;
        return i == name.n;
    }
    for (; i + 8 < name.n; i += 8)
        if (word_folded(name.p + i) != word_of(lower + i))
            return false;
    return word_folded(name.p + name.n - 8) == word_of(lower + name.n - 8);
}

weir_field_id_t http1_field_id(weir_slice_t name)
{
    if (name.n > LENGTH_MAX || by_length[name.n] == NULL)
        return WEIR_FIELD_OTHER;
    for (const known_t *known = by_length[name.n]; known->name != NULL; known++)
        if (is_name(name, known->name))
            return known->id;
    return WEIR_FIELD_OTHER;
}

/* Take the next element of a comma-separated list; false at its end. */
static bool list_next(weir_slice_t *list, weir_slice_t *element)
{
    if (list->n == 0)
        return false;
    const char *comma = memchr(list->p, ',', list->n);
    size_t n = comma == NULL ? list->n : (size_t)(comma - list->p);
    *element = weir_slice_trim(weir_slice(list->p, n));
    n += comma != NULL;
    *list = weir_slice(list->p + n, list->n - n);
    return true;
}

static bool length_read(weir_slice_t text, int64_t *length)
{
    int64_t value = 0;
    if (text.n == 0)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text.p[i] - '0', &value))
            return false;
    *length = value;
    return true;
}

/* Several equal lengths are one (RFC 9110 8.6); different ones are two messages in one. Apart, so that its frame is not made for
 * every field. */
__attribute__((noinline)) static weir_parse_t lengths_mean(weir_head_t *head, weir_slice_t list)
{
    weir_slice_t element;
    if (list.n == 0 || list.p[list.n - 1] == ',')
        return WEIR_PARSE_BAD;
    while (list_next(&list, &element)) {
        int64_t length;
        if (!length_read(element, &length) || (head->content_length >= 0 && head->content_length != length))
            return WEIR_PARSE_BAD;
        head->content_length = length;
    }
    return WEIR_PARSE_DONE;
}

/* Nearly always there is one. */
static weir_parse_t length_means(weir_head_t *head, weir_slice_t value)
{
    if (head->content_length < 0 && length_read(value, &head->content_length))
        return WEIR_PARSE_DONE;
    return lengths_mean(head, value);
}

static bool is_first(const weir_head_t *head, const weir_field_t *field)
{
    return field == &head->fields[head->known[field->id]];
}

weir_parse_t http1_field_means(weir_head_t *head, const weir_field_t *field)
{
    switch (field->id) {
    case WEIR_FIELD_CONTENT_LENGTH:
        return length_means(head, field->value);
    case WEIR_FIELD_TRANSFER_ENCODING:
        head->is_chunked = weir_slice_ieq(field->value, WEIR_LIT("chunked"));
        return is_first(head, field) && head->is_chunked ? WEIR_PARSE_DONE : WEIR_PARSE_BAD;
    case WEIR_FIELD_HOST:
        return is_first(head, field) ? WEIR_PARSE_DONE : WEIR_PARSE_BAD;
    case WEIR_FIELD_EXPECT:
        head->expects_continue = weir_slice_ieq(field->value, WEIR_LIT("100-continue"));
        return WEIR_PARSE_DONE;
    default:
        return WEIR_PARSE_DONE;
    }
}

bool http1_connection_has(const weir_head_t *head, weir_slice_t option)
{
    if (head->known[WEIR_FIELD_CONNECTION] < 0)
        return false;
    for (int i = head->known[WEIR_FIELD_CONNECTION]; i < head->nfields; i++) {
        weir_slice_t list = head->fields[i].value, word;
        if (head->fields[i].id != WEIR_FIELD_CONNECTION)
            continue;
        while (list_next(&list, &word))
            if (weir_slice_ieq(word, option))
                return true;
    }
    return false;
}
