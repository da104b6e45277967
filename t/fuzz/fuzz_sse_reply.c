/* fuzz_sse_reply.c: what a server may say to the connect side of sse: replies, read one after the other as on a kept connection. The first
 * byte says how they are cut into reads.
 *
 * All that is read as a body stands in what came, no head is larger than max_head, and how the bytes were cut makes no difference.
 */
#include "fuzz.h"

#include "buf.h"
#include "http1.h"
#include "proc.h"

#include "../../modules/sse/reader.c"

static struct world {
    const char *bytes;
    size_t n, at, step;
} w;

/* What came out: bodies, and a mark behind each head, reply, and end. */
typedef struct story {
    char text[16384];
    size_t n;
    bool is_broken;
} story_t;

static long fake_read(weir_stream_t *s, char *p, size_t n)
{
    (void)s;
    size_t left = w.n - w.at, some = left < w.step ? left : w.step;
    if (some > n)
        some = n;
    if (left > 0 && some == 0)
        return WEIR_EAGAIN;
    memcpy(p, w.bytes + w.at, some);
    w.at += some;
    return (long)some;
}

static const weir_host_t host = {
    .buf_new = buf_new,
    .buf_ref = buf_ref,
    .buf_unref = buf_unref,
    .stream_read = fake_read,
    .http_reply = http1_parse_reply,
    .http_chunked = http1_chunked_decode,
};

static void tell(story_t *story, const char *p, size_t n)
{
    FUZZ_CHECK(story->n + n <= sizeof(story->text));
    memcpy(story->text + story->n, p, n);
    story->n += n;
}

/* False: nothing more follows. */
static bool read_on(reader_t *r, target_t *target, story_t *story)
{
    weir_slice_t bytes = {NULL, 0};
    const char *why = NULL;
    switch (reader_next(r, &bytes, &why)) {
    case READING_MORE:
        return reader_fill(r, NULL) > 0;
    case READING_HEAD:
        FUZZ_CHECK(target->head.status >= 200 && r->state != READER_HEAD);
        tell(story, "H", 1);
        return true;
    case READING_BYTES:
        FUZZ_CHECK(bytes.n > 0 && fuzz_is_inside(bytes, r->buf->data, r->buf->size));
        tell(story, bytes.p, bytes.n);
        return true;
    case READING_END:
        tell(story, "E", 1);
        if (!r->is_keep)
            return false;
        reader_begin(r, target);
        return true;
    case READING_BROKEN:
        FUZZ_CHECK(why != NULL);
        story->is_broken = true;
        return false;
    }
    return false;
}

static void listen_to(const char *p, size_t n, size_t step, story_t *story)
{
    static const upstream_options_t options = {.max_head = 2048};
    static target_t target = {.host = &host, .options = &options};
    reader_t reader = {.target = &target};
    w = (struct world){.bytes = p, .n = n, .step = step};
    *story = (story_t){.n = 0};
    reader_begin(&reader, &target);
    while (read_on(&reader, &target, story))
        ;
    tell(story, reader_is_whole_at_end(&reader) ? "W" : "C", 1);
    reader_free(&reader);
    FUZZ_CHECK(bufs_in_use(proc->bufs) == 0);
}

static void fuzz_one(const char *p, size_t n)
{
    static proc_t self;
    static story_t whole, pieces;
    proc = &self;
    if (self.bufs == NULL)
        self.bufs = bufs_new(8);
    if (n < 1 || n > 4000)
        return;
    listen_to(p + 1, n - 1, 1 << 20, &whole);
    listen_to(p + 1, n - 1, (uint8_t)p[0] % 64 + 1, &pieces);
    /* A head that will never be one is told so early, or not at all when the connection ends before it does. */
    FUZZ_CHECK(whole.is_broken || !pieces.is_broken);
    FUZZ_CHECK(whole.n == pieces.n && memcmp(whole.text, pieces.text, whole.n) == 0);
}
