/* mux_wire.c: the bytes of `mux`: numbers, fields, heads, and how records stand in a payload; see mux.h. */
#include "mux.h"

#define NUMBER_MAX 10 /* bytes of a varint of 64 bits */

/* ---- numbers: seven bits a byte, the lowest first, the eighth says that more follow ---- */

static size_t varint_write(char *p, uint64_t number)
{
    size_t n = 0;
    for (; number >= 0x80; number >>= 7)
        p[n++] = (char)(number | 0x80);
    p[n++] = (char)number;
    return n;
}

/* The number of bytes it took, 0 when it breaks off or is none. */
static size_t varint_read(weir_slice_t from, uint64_t *number)
{
    *number = 0;
    for (size_t n = 0; n < from.n && n < NUMBER_MAX; n++) {
        uint64_t bits = (unsigned char)from.p[n] & 0x7f;
        if (n == NUMBER_MAX - 1 && bits > 1)
            return 0;
        *number |= bits << (7 * n);
        if (((unsigned char)from.p[n] & 0x80) == 0)
            return n + 1;
    }
    return 0;
}

/* ---- records in a payload ---- */

static size_t mux_begin(char *p, uint32_t count)
{
    (void)count;
    *p = MUX_MARK;
    return 1;
}

static size_t mux_before(char *p, uint32_t n, uint64_t channel, size_t bytes)
{
    (void)n;
    size_t used = varint_write(p, channel);
    return used + varint_write(p + used, bytes);
}

/* A payload that is none is told with its first bytes: they say which codec is missing, or what is at the other end instead. */
static int not_mux(weir_slice_t rest, weir_error_t *err)
{
    unsigned char begin[4] = {0};
    memcpy(begin, rest.p, rest.n < sizeof(begin) ? rest.n : sizeof(begin));
    return weir_error(err,
                      "a payload of %zu bytes is neither of framing mux nor of a codec that is loaded: it begins with "
                      "%02x %02x %02x %02x; is the other end of framing mux too, and the module of its codec in "
                      "`modules:`?",
                      rest.n, begin[0], begin[1], begin[2], begin[3]);
}

static bool take_number(weir_slice_t *rest, uint64_t *number)
{
    size_t n = varint_read(*rest, number);
    *rest = weir_slice(rest->p + n, rest->n - n);
    return n > 0;
}

static int mux_next(weir_slice_t *rest, uint32_t n, weir_slice_t *record, uint64_t *channel, weir_error_t *err)
{
    uint64_t size;
    if (n == 0) {
        if (rest->n == 0 || rest->p[0] != MUX_MARK)
            return not_mux(*rest, err);
        *rest = weir_slice(rest->p + 1, rest->n - 1);
    }
    if (rest->n == 0)
        return WEIR_EAGAIN;
    if (!take_number(rest, channel) || !take_number(rest, &size) || size > rest->n)
        return weir_error(err, "record %u of a payload breaks off", n);
    *record = weir_slice(rest->p, (size_t)size);
    *rest = weir_slice(rest->p + size, rest->n - (size_t)size);
    return size > 0 ? WEIR_OK : weir_error(err, "record %u of a payload is empty", n);
}

const weir_joiner_t mux_joiner = {.before = mux_before, .begin = mux_begin, .next = mux_next};

/* ---- writing ---- */

void mux_out_byte(mux_out_t *out, uint8_t byte)
{
    if (out->n == out->size)
        out->is_over = true;
    else
        out->p[out->n++] = (char)byte;
}

void mux_out_number(mux_out_t *out, uint64_t number)
{
    if (out->size - out->n < NUMBER_MAX)
        out->is_over = true;
    else
        out->n += varint_write(out->p + out->n, number);
}

void mux_out_text(mux_out_t *out, weir_slice_t text)
{
    if (out->size - out->n < text.n + NUMBER_MAX) {
        out->is_over = true;
        return;
    }
    out->n += varint_write(out->p + out->n, text.n);
    if (text.n > 0)
        memcpy(out->p + out->n, text.p, text.n);
    out->n += text.n;
}

/* ---- reading ---- */

uint8_t mux_in_byte(mux_in_t *in)
{
    if (in->rest.n == 0) {
        in->is_broken = true;
        return 0;
    }
    uint8_t byte = (uint8_t)in->rest.p[0];
    in->rest = weir_slice(in->rest.p + 1, in->rest.n - 1);
    return byte;
}

uint64_t mux_in_number(mux_in_t *in)
{
    uint64_t number;
    if (take_number(&in->rest, &number))
        return number;
    in->is_broken = true;
    return 0;
}

weir_slice_t mux_in_text(mux_in_t *in)
{
    uint64_t n = mux_in_number(in);
    if (in->is_broken || n > in->rest.n) {
        in->is_broken = true;
        return weir_slice(NULL, 0);
    }
    weir_slice_t text = weir_slice(in->rest.p, (size_t)n);
    in->rest = weir_slice(in->rest.p + n, in->rest.n - (size_t)n);
    return text;
}

/* ---- fields ---- */

/* Names that are not spelled out: a field's number on the wire is its place here, from 1 on. Grows at the end only. */
static const struct known_field {
    weir_field_id_t id;
    weir_slice_t name;
} known_fields[] = {
    {WEIR_FIELD_ACCEPT, {"Accept", 6}},
    {WEIR_FIELD_AUTHORIZATION, {"Authorization", 13}},
    {WEIR_FIELD_CONTENT_ENCODING, {"Content-Encoding", 16}},
    {WEIR_FIELD_CONTENT_TYPE, {"Content-Type", 12}},
    {WEIR_FIELD_DATE, {"Date", 4}},
    {WEIR_FIELD_FORWARDED, {"Forwarded", 9}},
    {WEIR_FIELD_HOST, {"Host", 4}},
    {WEIR_FIELD_LAST_EVENT_ID, {"Last-Event-ID", 13}},
    {WEIR_FIELD_MCP_METHOD, {"Mcp-Method", 10}},
    {WEIR_FIELD_MCP_NAME, {"Mcp-Name", 8}},
    {WEIR_FIELD_MCP_PROTOCOL_VERSION, {"MCP-Protocol-Version", 20}},
    {WEIR_FIELD_MCP_SESSION_ID, {"Mcp-Session-Id", 14}},
    {WEIR_FIELD_ORIGIN, {"Origin", 6}},
    {WEIR_FIELD_RETRY_AFTER, {"Retry-After", 11}},
    {WEIR_FIELD_SERVER, {"Server", 6}},
    {WEIR_FIELD_TRACEPARENT, {"Traceparent", 11}},
    {WEIR_FIELD_VIA, {"Via", 3}},
    {WEIR_FIELD_X_FORWARDED_FOR, {"X-Forwarded-For", 15}},
    {WEIR_FIELD_X_FORWARDED_HOST, {"X-Forwarded-Host", 16}},
    {WEIR_FIELD_X_FORWARDED_PROTO, {"X-Forwarded-Proto", 17}},
    {WEIR_FIELD_ACCEPT_ENCODING, {"Accept-Encoding", 15}},
    {WEIR_FIELD_CACHE_CONTROL, {"Cache-Control", 13}},
    {WEIR_FIELD_ETAG, {"ETag", 4}},
    {WEIR_FIELD_VARY, {"Vary", 4}},
};
#define KNOWN_FIELDS (sizeof(known_fields) / sizeof(known_fields[0]))

#define FIELD_BIT(id) (UINT64_C(1) << (id))

/* What one connection says about itself (RFC 9110 7.6.1), and how its messages are framed. */
#define OF_A_CONNECTION                                                                                                \
    (FIELD_BIT(WEIR_FIELD_CONNECTION) | FIELD_BIT(WEIR_FIELD_KEEP_ALIVE) | FIELD_BIT(WEIR_FIELD_PROXY_AUTHENTICATE) |  \
     FIELD_BIT(WEIR_FIELD_PROXY_AUTHORIZATION) | FIELD_BIT(WEIR_FIELD_PROXY_CONNECTION) | FIELD_BIT(WEIR_FIELD_TE) |   \
     FIELD_BIT(WEIR_FIELD_TRAILER) | FIELD_BIT(WEIR_FIELD_TRANSFER_ENCODING) | FIELD_BIT(WEIR_FIELD_UPGRADE) |         \
     FIELD_BIT(WEIR_FIELD_CONTENT_LENGTH) | FIELD_BIT(WEIR_FIELD_EXPECT) | FIELD_BIT(WEIR_FIELD_MCP_SESSION_ID))

/* The number of a field on the wire; 0: its name is spelled out. */
static uint8_t number_of(weir_field_id_t id)
{
    static uint8_t numbers[WEIR_FIELDS_KNOWN];
    if (numbers[WEIR_FIELD_ACCEPT] == 0)
        for (uint8_t i = 0; i < KNOWN_FIELDS; i++)
            numbers[known_fields[i].id] = (uint8_t)(i + 1);
    return numbers[id];
}

static bool list_has(weir_slice_t list, weir_slice_t name)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma == NULL ? list.n : (size_t)(comma - list.p);
        if (weir_slice_ieq(weir_slice_trim(weir_slice(list.p, n)), name))
            return true;
        n += comma != NULL;
        list = weir_slice(list.p + n, list.n - n);
    }
    return false;
}

/* Connection may name fields that are not to go further. */
static bool is_named(const weir_head_t *head, weir_slice_t name)
{
    for (int i = head->known[WEIR_FIELD_CONNECTION]; i >= 0 && i < head->nfields; i++)
        if (head->fields[i].id == WEIR_FIELD_CONNECTION && list_has(head->fields[i].value, name))
            return true;
    return false;
}

/* ---- fields: how many there are stands before them, and is filled in when they have been seen ---- */

typedef struct fields_out {
    mux_out_t *out;
    size_t at;
    uint8_t count;
} fields_out_t;

static fields_out_t fields_begin(mux_out_t *out)
{
    fields_out_t fields = {.out = out, .at = out->n};
    mux_out_byte(out, 0);
    return fields;
}

static void field_out(fields_out_t *fields, weir_field_id_t id, weir_slice_t name, weir_slice_t value)
{
    uint8_t number = number_of(id);
    if (fields->count == WEIR_FIELDS_MAX)
        return;
    fields->count++;
    mux_out_byte(fields->out, number);
    if (number == 0)
        mux_out_text(fields->out, name);
    mux_out_text(fields->out, value);
}

/* All that go on to the other weir, but `less`. */
static void fields_out(fields_out_t *fields, const weir_head_t *head, weir_slice_t less)
{
    bool has_connection = head->known[WEIR_FIELD_CONNECTION] >= 0;
    for (uint16_t i = 0; i < head->nfields; i++) {
        const weir_field_t *field = &head->fields[i];
        if ((OF_A_CONNECTION & FIELD_BIT(field->id)) != 0 || (less.n > 0 && weir_slice_ieq(field->name, less)) ||
            (has_connection && is_named(head, field->name)))
            continue;
        field_out(fields, field->id, field->name, field->value);
    }
}

static void fields_end(fields_out_t *fields)
{
    if (!fields->out->is_over)
        fields->out->p[fields->at] = (char)fields->count;
}

/* A name that is spelled out is a token (RFC 9110 5.6.2), and none that says where the message ends. */
static bool is_name(weir_slice_t name)
{
    static const weir_slice_t refused[] = {
        {"Connection", 10}, {"Content-Length", 14}, {"Transfer-Encoding", 17}, {"Upgrade", 7}, {"TE", 2},
        {"Trailer", 7},     {"Keep-Alive", 10},     {"Proxy-Connection", 16},  {"Expect", 6},  {"Mcp-Session-Id", 14},
    };
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c <= ' ' || c >= 0x7f || memchr("\"(),/:;<=>?@[\\]{}", c, 17) != NULL)
            return false;
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (weir_slice_ieq(name, refused[i]))
            return false;
    return name.n > 0;
}

static bool is_value(weir_slice_t value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
            return false;
    return true;
}

static bool field_in(mux_in_t *in, weir_field_t *field)
{
    uint8_t number = mux_in_byte(in);
    *field = (weir_field_t){.id = WEIR_FIELD_OTHER};
    if (number > KNOWN_FIELDS)
        return false;
    if (number == 0) {
        field->name = mux_in_text(in);
    } else {
        field->id = known_fields[number - 1].id;
        field->name = known_fields[number - 1].name;
    }
    field->value = mux_in_text(in);
    return !in->is_broken && (number > 0 || is_name(field->name)) && is_value(field->value);
}

static void fields_in(mux_in_t *in, weir_head_t *head)
{
    head->nfields = mux_in_byte(in);
    memset(head->known, 0xff, sizeof(head->known)); /* -1: absent */
    if (head->nfields > WEIR_FIELDS_MAX)
        in->is_broken = true;
    for (uint16_t i = 0; i < head->nfields && !in->is_broken; i++) {
        weir_field_t *field = &head->fields[i];
        in->is_broken = !field_in(in, field);
        if (field->id != WEIR_FIELD_OTHER && head->known[field->id] < 0)
            head->known[field->id] = (int16_t)i;
    }
}

/* All of a head but its fields. */
static void head_begin(weir_head_t *head, int64_t length)
{
    head->method = head->target = head->reason = (weir_slice_t){NULL, 0};
    head->status = 0;
    head->minor = 1;
    head->is_chunked = head->is_upgrade = head->expects_continue = false;
    head->is_keep_alive = true;
    head->content_length = length;
}

/* ---- HELLO ---- */

int mux_write_hello(frames_t *frames, const mux_hello_t *hello)
{
    char room[1 + 4 * NUMBER_MAX];
    mux_out_t out = {.p = room, .size = sizeof(room)};
    mux_out_byte(&out, MUX_HELLO);
    mux_out_number(&out, hello->version);
    mux_out_number(&out, hello->channels);
    mux_out_number(&out, hello->max_message);
    mux_out_number(&out, hello->window);
    weir_chunk_t part = {.bytes = weir_slice(room, out.n)};
    return frames_write(frames, &part, 1, 0);
}

int mux_in_hello(mux_in_t *in, mux_hello_t *hello, weir_error_t *err)
{
    hello->version = mux_in_number(in);
    hello->channels = mux_in_number(in);
    hello->max_message = mux_in_number(in);
    hello->window = mux_in_number(in);
    if (in->is_broken)
        return weir_error(err, "its HELLO breaks off");
    return hello->version == MUX_VERSION
               ? WEIR_OK
               : weir_error(err, "the other weir speaks version %llu of framing mux, this one %d",
                            (unsigned long long)hello->version, MUX_VERSION);
}

/* ---- OPEN ---- */

#define OPEN_VERB 0x03u
#define OPEN_ERA_SHIFT 2
#define OPEN_TLS 0x10u
#define OPEN_HEAD 0x20u
#define OPEN_CHECK 0x40u
#define OPEN_PRINCIPAL 0x80u

/* As every weir writes it; see `principal` of weir_exchange_t. */
static bool is_principal(weir_slice_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    return text.n > 0 && text.n <= WEIR_PRINCIPAL_MAX;
}

void mux_out_open(mux_out_t *out, const mux_open_t *open, const weir_head_t *head, bool is_read_here)
{
    unsigned flags = (unsigned)open->verb | (unsigned)open->era << OPEN_ERA_SHIFT | (open->is_tls ? OPEN_TLS : 0) |
                     (head != NULL ? OPEN_HEAD : 0) | (open->is_checkup ? OPEN_CHECK : 0) |
                     (open->principal.n > 0 ? OPEN_PRINCIPAL : 0);
    mux_out_byte(out, MUX_OPEN);
    mux_out_byte(out, (uint8_t)flags);
    mux_out_text(out, open->session);
    mux_out_text(out, open->peer);
    mux_out_text(out, open->target);
    if (open->principal.n > 0)
        mux_out_text(out, open->principal);
    if (head == NULL) {
        mux_out_text(out, open->host);
        mux_out_text(out, open->last_event_id);
        mux_out_text(out, open->authorization);
        mux_out_text(out, open->revision);
        return;
    }
    fields_out_t fields = fields_begin(out);
    fields_out(&fields, head, is_read_here ? WEIR_LIT("Accept-Encoding") : (weir_slice_t){NULL, 0});
    fields_end(&fields);
}

int mux_in_open(mux_in_t *in, mux_open_t *open, weir_head_t *head, weir_error_t *err)
{
    static const weir_slice_t methods[] = {
        [WEIR_VERB_MESSAGE] = {"POST", 4}, [WEIR_VERB_LISTEN] = {"GET", 3}, [WEIR_VERB_END] = {"DELETE", 6}};
    unsigned flags = mux_in_byte(in);
    *open = (mux_open_t){
        .verb = (weir_verb_t)(flags & OPEN_VERB),
        .era = (weir_era_t)(flags >> OPEN_ERA_SHIFT & 3u),
        .is_tls = flags & OPEN_TLS,
        .has_head = flags & OPEN_HEAD,
        .is_checkup = flags & OPEN_CHECK,
    };
    if (open->verb > WEIR_VERB_END || open->era > WEIR_ERA_MODERN)
        return weir_error(err, "an OPEN asks for something that is not known (flags %02x)", flags);
    open->session = mux_in_text(in);
    open->peer = mux_in_text(in);
    open->target = mux_in_text(in);
    if (flags & OPEN_PRINCIPAL) {
        open->principal = mux_in_text(in);
        in->is_broken = in->is_broken || !is_principal(open->principal);
    }
    if (open->has_head) {
        fields_in(in, head);
        head_begin(head, -1);
        head->method = methods[open->verb];
        head->target = open->target;
    } else {
        open->host = mux_in_text(in);
        open->last_event_id = mux_in_text(in);
        open->authorization = mux_in_text(in);
        open->revision = mux_in_text(in);
    }
    return in->is_broken ? weir_error(err, "the head of an OPEN is broken") : WEIR_OK;
}

/* ---- HEAD ---- */

void mux_out_reply(mux_out_t *out, const weir_reply_t *reply)
{
    fields_out_t fields;
    mux_out_byte(out, MUX_HEAD);
    mux_out_number(out, reply->status);
    mux_out_number(out, reply->has_body ? (uint64_t)(reply->content_length + 1) : 1);
    fields = fields_begin(out);
    if (reply->session_token.n > 0)
        field_out(&fields, WEIR_FIELD_MCP_SESSION_ID, WEIR_LIT("Mcp-Session-Id"), reply->session_token);
    if (reply->content_type.n > 0 && reply->head == NULL)
        field_out(&fields, WEIR_FIELD_CONTENT_TYPE, WEIR_LIT("Content-Type"), reply->content_type);
    if (reply->head != NULL)
        fields_out(&fields, reply->head, (weir_slice_t){NULL, 0});
    fields_end(&fields);
}

int mux_in_reply(mux_in_t *in, weir_head_t *head, weir_error_t *err)
{
    uint64_t status = mux_in_number(in), length = mux_in_number(in);
    head_begin(head, length == 0 ? -1 : (int64_t)(length - 1));
    head->status = (uint16_t)status;
    head->is_chunked = length == 0;
    fields_in(in, head);
    if (in->is_broken || status < 200 || status > 599 || length > INT64_MAX)
        return weir_error(err, "the head of a reply is broken");
    return WEIR_OK;
}

/* ---- records that are short ---- */

int mux_write_word(frames_t *frames, uint64_t channel, mux_word_t word)
{
    char byte = (char)word;
    weir_chunk_t part = {.bytes = weir_slice(&byte, 1)};
    return frames_write(frames, &part, 1, channel);
}

int mux_write_credit(frames_t *frames, uint64_t channel, uint64_t bytes)
{
    char room[1 + NUMBER_MAX] = {(char)MUX_CREDIT};
    weir_chunk_t part = {.bytes = weir_slice(room, 1 + varint_write(room + 1, bytes))};
    return frames_write(frames, &part, 1, channel);
}
