/* fuzz_http1.c: heads of requests and replies. Whole or in pieces makes no difference; what is taken says one thing only, and
 * written again as weir writes it, http_parser, which other programs read HTTP with, takes it too and sees the same framing.
 */
#include "fuzz.h"

#include <http_parser.h>

#include "http1.h"

typedef weir_parse_t parse_fn(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);

static bool is_same_field(const weir_field_t *a, const weir_field_t *b)
{
    return a->id == b->id && weir_slice_eq(a->name, b->name) && weir_slice_eq(a->value, b->value);
}

static void check_same(const weir_head_t *a, const weir_head_t *b)
{
    FUZZ_CHECK(weir_slice_eq(a->method, b->method) && weir_slice_eq(a->target, b->target));
    FUZZ_CHECK(weir_slice_eq(a->reason, b->reason) && a->status == b->status && a->minor == b->minor);
    FUZZ_CHECK(a->is_chunked == b->is_chunked && a->content_length == b->content_length);
    FUZZ_CHECK(a->is_keep_alive == b->is_keep_alive && a->is_upgrade == b->is_upgrade);
    FUZZ_CHECK(a->expects_continue == b->expects_continue && a->nfields == b->nfields);
    FUZZ_CHECK(memcmp(a->known, b->known, sizeof(a->known)) == 0);
    for (uint16_t i = 0; i < a->nfields; i++)
        FUZZ_CHECK(is_same_field(&a->fields[i], &b->fields[i]));
}

/* What is refused before its end has come is refused with it as well. */
static void check_refused_at_its_end(parse_fn *parse, const char *p, size_t n, weir_parse_t whole)
{
    static weir_head_t head;
    size_t used = 0;
    char *text = malloc(n + 2);
    FUZZ_CHECK(text != NULL);
    memcpy(text, p, n);
    memcpy(text + n, "\n\n", 2);
    FUZZ_CHECK(parse(text, n + 2, n, &head, &used) == whole);
    free(text);
}

/* The bytes come in some hundred pieces, each parsed in memory of its own. One who sends pieces may hear later that they are bad. */
static void check_pieces(parse_fn *parse, const char *p, size_t n, weir_parse_t whole, size_t whole_used,
                         const weir_head_t *whole_head)
{
    weir_parse_t result = WEIR_PARSE_MORE;
    size_t step = 1 + n / 200, seen = 0, used = 0;
    static weir_head_t head;
    while (result == WEIR_PARSE_MORE && seen < n) {
        size_t have = seen + step < n ? seen + step : n;
        char *copy = fuzz_copy(p, have);
        result = parse(copy, have, seen, &head, &used);
        if (result == WEIR_PARSE_DONE) {
            FUZZ_CHECK(used == whole_used);
            check_same(&head, whole_head);
        }
        fuzz_free(copy, have);
        seen = have;
    }
    if (result == WEIR_PARSE_MORE && whole != WEIR_PARSE_MORE && whole != WEIR_PARSE_DONE)
        check_refused_at_its_end(parse, p, n, whole);
    else
        FUZZ_CHECK(result == whole);
}

static size_t put(char *out, size_t at, weir_slice_t text)
{
    if (text.n > 0)
        memcpy(out + at, text.p, text.n);
    return at + text.n;
}

/* The head as weir writes it; the caller frees it. */
static char *write_again(const weir_head_t *head, size_t n, size_t *length)
{
    size_t size = n + 64 + 4u * head->nfields, at = 0;
    char *text = malloc(size);
    FUZZ_CHECK(text != NULL);
    if (head->status == 0)
        at = (size_t)snprintf(text, size, "%.*s %.*s HTTP/1.%u\r\n", WEIR_FMT(head->method), WEIR_FMT(head->target),
                              head->minor);
    else
        at = (size_t)snprintf(text, size, "HTTP/1.%u %u %.*s\r\n", head->minor, head->status, WEIR_FMT(head->reason));
    for (uint16_t i = 0; i < head->nfields; i++) {
        at = put(text, at, head->fields[i].name);
        at = put(text, at, WEIR_LIT(": "));
        at = put(text, at, head->fields[i].value);
        at = put(text, at, WEIR_LIT("\r\n"));
    }
    at = put(text, at, WEIR_LIT("\r\n"));
    FUZZ_CHECK(at <= size);
    *length = at;
    return text;
}

static void check_understood_again(parse_fn *parse, const weir_head_t *head, const char *text, size_t n)
{
    static weir_head_t again;
    size_t used = 0;
    FUZZ_CHECK(parse(text, n, 0, &again, &used) == WEIR_PARSE_DONE && used == n);
    check_same(&again, head);
}

/* Whatever is said of the length, and how often, is the same. */
static void check_length(const weir_head_t *head, weir_slice_t value)
{
    while (value.n > 0) {
        const char *comma = memchr(value.p, ',', value.n);
        size_t n = comma == NULL ? value.n : (size_t)(comma - value.p);
        weir_slice_t one = weir_slice_trim(weir_slice(value.p, n));
        char digits[64];
        int64_t length = head->content_length;
        for (size_t i = 0; i < one.n; i++)
            FUZZ_CHECK(one.p[i] >= '0' && one.p[i] <= '9');
        while (one.n > 1 && one.p[0] == '0')
            one = weir_slice(one.p + 1, one.n - 1);
        FUZZ_CHECK((size_t)snprintf(digits, sizeof(digits), "%lld", (long long)length) == one.n);
        FUZZ_CHECK(memcmp(digits, one.p, one.n) == 0);
        n += comma != NULL;
        value = weir_slice(value.p + n, value.n - n);
    }
}

static void check_head(const weir_head_t *head, const char *p, size_t used)
{
    FUZZ_CHECK(head->nfields <= WEIR_FIELDS_MAX && !(head->is_chunked && head->content_length >= 0));
    FUZZ_CHECK(!head->is_chunked || head->minor == 1);
    FUZZ_CHECK(fuzz_is_inside(head->method, p, used));
    FUZZ_CHECK(fuzz_is_inside(head->target, p, used) || weir_slice_eq(head->target, WEIR_LIT("/")));
    FUZZ_CHECK(fuzz_is_inside(head->reason, p, used));
    for (int16_t i = head->nfields; i-- > 0;) {
        const weir_field_t *field = &head->fields[i];
        FUZZ_CHECK(field->name.n > 0 && fuzz_is_inside(field->name, p, used) && fuzz_is_inside(field->value, p, used));
        FUZZ_CHECK(field->id == WEIR_FIELD_OTHER || head->known[field->id] <= i);
        if (field->id == WEIR_FIELD_CONTENT_LENGTH)
            check_length(head, field->value);
        for (size_t at = 0; at < field->value.n; at++)
            FUZZ_CHECK(strchr("\r\n", field->value.p[at]) == NULL);
    }
}

/* ---- the other reader ---- */

typedef struct other {
    bool is_whole;
    unsigned fields;
    bool is_chunked;
    int64_t content_length;
} other_t;

static int on_field(http_parser *parser, const char *p, size_t n)
{
    (void)p, (void)n;
    ((other_t *)parser->data)->fields++;
    return 0;
}

static int on_whole(http_parser *parser)
{
    other_t *other = parser->data;
    other->is_whole = true;
    other->is_chunked = (parser->flags & F_CHUNKED) != 0;
    other->content_length = (parser->flags & F_CONTENTLENGTH) != 0 ? (int64_t)parser->content_length : -1;
    return 2; /* do not wait for a body */
}

/* It takes a field whose name only begins with Transfer-Encoding for half a one. */
static bool is_misread(const weir_head_t *head)
{
    const weir_slice_t name = WEIR_LIT("transfer-encoding");
    for (uint16_t i = 0; i < head->nfields; i++)
        if (head->fields[i].name.n > name.n && weir_slice_ieq(weir_slice(head->fields[i].name.p, name.n), name))
            return true;
    return false;
}

/* It knows methods by name only, has rules of its own for targets, and does not take two lengths that are equal (RFC 9110 8.6); all else that
 * weir takes it has to take. */
static bool may_refuse(enum http_errno error)
{
    return error == HPE_INVALID_METHOD || error == HPE_INVALID_URL || error == HPE_INVALID_CONTENT_LENGTH ||
           error == HPE_UNEXPECTED_CONTENT_LENGTH;
}

static void check_other(const weir_head_t *head, const char *p, size_t n)
{
    other_t other = {.content_length = -1};
    http_parser parser;
    http_parser_settings settings;
    if (is_misread(head))
        return;
    http_parser_settings_init(&settings);
    settings.on_header_field = on_field;
    settings.on_headers_complete = on_whole;
    http_parser_init(&parser, head->status == 0 ? HTTP_REQUEST : HTTP_RESPONSE);
    parser.data = &other;
    http_parser_execute(&parser, &settings, p, n);
    enum http_errno error = HTTP_PARSER_ERRNO(&parser);
    if (!other.is_whole && may_refuse(error))
        return;
    FUZZ_CHECK(other.is_whole);
    FUZZ_CHECK(other.is_chunked == head->is_chunked && other.content_length == head->content_length);
    FUZZ_CHECK(other.fields == head->nfields);
}

/* Written again as it was understood, weir and others understand it the same. */
static void check_written(parse_fn *parse, const weir_head_t *head, size_t used)
{
    size_t n = 0;
    char *text = write_again(head, used, &n);
    check_understood_again(parse, head, text, n);
    check_other(head, text, n);
    free(text);
}

static void check(parse_fn *parse, const char *p, size_t n)
{
    static weir_head_t head;
    size_t used = 0;
    weir_parse_t result = parse(p, n, 0, &head, &used);
    if (result == WEIR_PARSE_DONE) {
        FUZZ_CHECK(used > 0 && used <= n);
        check_head(&head, p, used);
        check_written(parse, &head, used);
    }
    check_pieces(parse, p, n, result, used, &head);
}

static void fuzz_one(const char *p, size_t n)
{
    check(http1_parse_request, p, n);
    check(http1_parse_reply, p, n);
}
