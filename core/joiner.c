/* joiner.c: the two ways to join messages that need no bytes of their own beyond JSON's: lines and arrays. */
#include "lane.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(weir_slice_t *s)
{
    while (s->n > 0 && is_space(s->p[0]))
        s->p++, s->n--;
}

/* A payload that is no JSON is told with its first bytes: they say which codec is missing. */
static int not_json(weir_slice_t rest, weir_error_t *err)
{
    unsigned char begin[4] = {0};
    memcpy(begin, rest.p, rest.n < sizeof(begin) ? rest.n : sizeof(begin));
    return weir_error(err,
                      "a payload of %zu bytes is neither JSON nor of a codec that is loaded: it begins with "
                      "%02x %02x %02x %02x; is the module of its codec in `modules:`?",
                      rest.n, begin[0], begin[1], begin[2], begin[3]);
}

/* ---- lines ---- */

static size_t lines_before(char *p, uint32_t n, uint64_t tag, size_t message_bytes)
{
    (void)tag, (void)message_bytes;
    if (n == 0)
        return 0;
    *p = '\n';
    return 1;
}

static int lines_take(weir_slice_t *rest, uint32_t n, weir_slice_t *message, uint64_t *tag, weir_error_t *err)
{
    *tag = 0;
    skip_space(rest);
    if (rest->n == 0)
        return WEIR_EAGAIN;
    if (n == 0 && rest->p[0] != '{' && rest->p[0] != '[')
        return not_json(*rest, err);
    const char *lf = memchr(rest->p, '\n', rest->n);
    size_t size = lf == NULL ? rest->n : (size_t)(lf - rest->p), whole = lf == NULL ? size : size + 1;
    *message = weir_slice(rest->p, size);
    while (message->n > 0 && is_space(message->p[message->n - 1]))
        message->n--;
    *rest = weir_slice(rest->p + whole, rest->n - whole);
    return WEIR_OK;
}

/* ---- arrays ---- */

static size_t array_before(char *p, uint32_t n, uint64_t tag, size_t message_bytes)
{
    (void)tag, (void)message_bytes;
    if (n == 0)
        return 0;
    *p = ',';
    return 1;
}

static size_t array_begin(char *p, uint32_t count)
{
    if (count < 2)
        return 0;
    *p = '[';
    return 1;
}

static size_t array_end(char *p, uint32_t count)
{
    if (count < 2)
        return 0;
    *p = ']';
    return 1;
}

/* How long the JSON value is that `s` begins with, as far as brackets and strings tell; 0 when it does not end. Whether it is a
 * message is for others to say. */
static size_t value_size(weir_slice_t s)
{
    size_t depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (is_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_string = false;
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth <= 1)
                return depth == 1 ? i + 1 : 0;
            depth--;
        } else if (depth == 0) {
            return 0; /* a batch has objects, and nothing else */
        }
    }
    return 0;
}

/* What stands between two elements: a comma, or the end of the array with nothing behind it. */
static int array_step(weir_slice_t *rest, weir_error_t *err)
{
    skip_space(rest);
    if (rest->n == 0)
        return weir_error(err, "a JSON array breaks off");
    char c = rest->p[0];
    rest->p++, rest->n--;
    skip_space(rest);
    if (c == ',')
        return WEIR_OK;
    if (c == ']' && rest->n == 0)
        return WEIR_EAGAIN;
    return weir_error(err, "a JSON array goes on with '%c' where a comma or its end belongs", c);
}

static int array_element(weir_slice_t *rest, weir_slice_t *message, weir_error_t *err)
{
    skip_space(rest);
    size_t size = value_size(*rest);
    if (size == 0)
        return weir_error(err, "a JSON array has an element that is no message, or breaks off");
    *message = weir_slice(rest->p, size);
    *rest = weir_slice(rest->p + size, rest->n - size);
    return WEIR_OK;
}

/* The comma or bracket that follows an element is looked at when the next one is asked for. A message that stands alone leaves NULL. */
static int array_take(weir_slice_t *rest, uint32_t n, weir_slice_t *message, uint64_t *tag, weir_error_t *err)
{
    *tag = 0;
    if (n > 0) {
        if (rest->p == NULL)
            return WEIR_EAGAIN;
        int rc = array_step(rest, err);
        return rc == WEIR_OK ? array_element(rest, message, err) : rc;
    }
    skip_space(rest);
    if (rest->n == 0)
        return WEIR_EAGAIN;
    if (rest->p[0] == '[') {
        rest->p++, rest->n--;
        return array_element(rest, message, err);
    }
    if (rest->p[0] != '{')
        return not_json(*rest, err);
    *message = *rest;
    *rest = (weir_slice_t){NULL, 0};
    return WEIR_OK;
}

const weir_joiner_t *joiner_of(weir_join_t kind)
{
    static const weir_joiner_t lines = {.before = lines_before, .next = lines_take, .is_lines = true};
    static const weir_joiner_t array = {
        .before = array_before, .begin = array_begin, .end = array_end, .next = array_take};
    return kind == WEIR_JOIN_ARRAY ? &array : &lines;
}
