/* fuzz_mux.c: a payload of framing mux as a peer may send it: cut into records, each of which is read as every head that there is. All of
 * what is found lies within the payload; a head that was read is one that can be written again, and comes out the same.
 */
#include "fuzz.h"

#include "../../modules/tcp/mux_wire.c"

static char room[2 * MUX_HEAD_ROOM];
static weir_head_t head, again;

static void head_is_inside(const weir_head_t *h, const char *p, size_t n)
{
    FUZZ_CHECK(h->nfields <= WEIR_FIELDS_MAX);
    for (uint16_t i = 0; i < h->nfields; i++) {
        const weir_field_t *field = &h->fields[i];
        FUZZ_CHECK(fuzz_is_inside(field->value, p, n));
        FUZZ_CHECK(field->id != WEIR_FIELD_OTHER || fuzz_is_inside(field->name, p, n));
        FUZZ_CHECK(field->value.n == 0 || (memchr(field->value.p, '\n', field->value.n) == NULL &&
                                           memchr(field->value.p, '\r', field->value.n) == NULL));
        FUZZ_CHECK(field->id == WEIR_FIELD_OTHER || h->known[field->id] >= 0);
    }
    for (int id = 0; id < WEIR_FIELDS_KNOWN; id++)
        FUZZ_CHECK(h->known[id] < 0 ||
                   (h->known[id] < h->nfields && h->fields[h->known[id]].id == (weir_field_id_t)id));
}

static void open_is_the_same(const mux_open_t *open)
{
    mux_out_t out = {.p = room, .size = sizeof(room)};
    mux_open_t read;
    mux_out_open(&out, open, open->has_head ? &head : NULL, false);
    if (out.is_over)
        return;
    mux_in_t in = {.rest = weir_slice(out.p + 1, out.n - 1)};
    FUZZ_CHECK(mux_in_open(&in, &read, &again, NULL) == WEIR_OK && in.rest.n == 0);
    FUZZ_CHECK(read.verb == open->verb && read.era == open->era && read.has_head == open->has_head);
    FUZZ_CHECK(weir_slice_eq(read.session, open->session) && weir_slice_eq(read.peer, open->peer) &&
               weir_slice_eq(read.principal, open->principal) && weir_slice_eq(read.target, open->target) &&
               weir_slice_eq(read.last_event_id, open->last_event_id));
}

static void read_open(weir_slice_t record)
{
    mux_in_t in = {.rest = record};
    mux_open_t open;
    weir_error_t err = {""};
    if (mux_in_open(&in, &open, &head, &err) != WEIR_OK) {
        FUZZ_CHECK(err.text[0] != '\0');
        return;
    }
    FUZZ_CHECK(fuzz_is_inside(open.session, record.p, record.n) && fuzz_is_inside(open.peer, record.p, record.n) &&
               fuzz_is_inside(open.principal, record.p, record.n) && open.principal.n <= WEIR_PRINCIPAL_MAX &&
               fuzz_is_inside(open.target, record.p, record.n) && fuzz_is_inside(in.rest, record.p, record.n));
    if (open.has_head)
        head_is_inside(&head, record.p, record.n);
    open_is_the_same(&open);
}

static void read_reply(weir_slice_t record)
{
    mux_in_t in = {.rest = record};
    if (mux_in_reply(&in, &head, NULL) != WEIR_OK)
        return;
    FUZZ_CHECK(head.status >= 200 && head.status <= 599 && head.content_length >= -1);
    FUZZ_CHECK(fuzz_is_inside(in.rest, record.p, record.n));
    head_is_inside(&head, record.p, record.n);
}

static void fuzz_one(const char *p, size_t n)
{
    char *copy = fuzz_copy(p, n);
    weir_slice_t rest = weir_slice(copy, n), record;
    weir_error_t err = {""};
    uint64_t channel;
    int result;
    for (uint32_t i = 0; (result = mux_joiner.next(&rest, i, &record, &channel, &err)) == WEIR_OK; i++) {
        mux_in_t in = {.rest = record};
        mux_hello_t hello;
        FUZZ_CHECK(record.n > 0 && fuzz_is_inside(record, copy, n) && fuzz_is_inside(rest, copy, n));
        (void)mux_in_byte(&in);
        read_open(in.rest);
        read_reply(in.rest);
        (void)mux_in_hello(&in, &hello, NULL);
    }
    FUZZ_CHECK(result == WEIR_EAGAIN || (result == WEIR_EFAIL && err.text[0] != '\0'));
    FUZZ_CHECK(result != WEIR_EAGAIN || rest.n == 0);
    fuzz_free(copy, n);
}
