/* fuzz_sse_accept.c: what a stranger sends on a connection to the accept side of sse, with the host played by hand. The first byte says how
 * it is cut into reads, the second what becomes of messages that are posted.
 *
 * Whatever comes, all that is answered is HTTP, only whole JSON-RPC messages are posted, nothing is left behind; and how the bytes were
 * cut makes no difference where nothing is refused.
 */
#include "fuzz.h"

#include "buf.h"
#include "failure.h"
#include "http1.h"
#include "message.h"
#include "proc.h"

#define reply_accepted sse_reply_accepted
#define reply_stream sse_reply_stream
#include "../../modules/sse/edge.c"
#include "../../modules/sse/reply.c"
#include "../../modules/sse/request.c"
#include "../../modules/sse/stream.c"
#include "../../modules/sse/visit.c"
#include "../../modules/sse/visit_state.c"

#define SAID_MAX (1u << 20)
#define DUE_MAX 16

static struct world {
    const char *bytes;
    size_t n, at, step;
    uint8_t fate;
    const weir_stream_events_t *events;
    void *owner;
    bool is_paused, is_over, has_streamed;
    char said[SAID_MAX];
    size_t said_n;
    weir_timer_t *due[DUE_MAX]; /* at the end of the turn */
    size_t ndue;
    weir_post_t *posted; /* on its way */
    size_t messages, clients, boxes, exchanges;
} w;

/* ---- the host ---- */

static uint64_t fake_now(void)
{
    return 1;
}

__attribute__((format(printf, 2, 3))) static void fake_log(weir_level_t level, const char *format, ...)
{
    (void)level, (void)format;
}

static const char *fake_date(void)
{
    return "Thu, 01 Jan 1970 00:00:00 GMT";
}

static weir_timeouts_t *fake_timeouts(uint64_t ms)
{
    (void)ms;
    return (weir_timeouts_t *)(void *)&w;
}

static void fake_timer_start(weir_timeouts_t *queue, weir_timer_t *timer)
{
    (void)queue, (void)timer;
}

static void fake_timer_stop(weir_timer_t *timer)
{
    size_t kept = 0;
    for (size_t i = 0; i < w.ndue; i++)
        if (w.due[i] != timer)
            w.due[kept++] = w.due[i];
    w.ndue = kept;
}

static void fake_at_turn_end(weir_timer_t *timer)
{
    fake_timer_stop(timer);
    FUZZ_CHECK(w.ndue < DUE_MAX);
    w.due[w.ndue++] = timer;
}

static long fake_read(weir_stream_t *s, char *p, size_t n)
{
    (void)s;
    size_t left = w.n - w.at, some = left < w.step ? left : w.step;
    if (some > n)
        some = n;
    if (left == 0)
        return 0;
    if (some == 0)
        return WEIR_EAGAIN;
    memcpy(p, w.bytes + w.at, some);
    w.at += some;
    return (long)some;
}

static int fake_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n)
{
    (void)s;
    FUZZ_CHECK(!w.is_over);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(w.said_n + chunks[i].bytes.n < SAID_MAX);
        if (chunks[i].bytes.n > 0)
            memcpy(w.said + w.said_n, chunks[i].bytes.p, chunks[i].bytes.n);
        w.said_n += chunks[i].bytes.n;
    }
    return WEIR_OK;
}

static void fake_pause(weir_stream_t *s, bool is_paused)
{
    (void)s;
    w.is_paused = is_paused;
}

static void fake_own(weir_stream_t *s, const weir_stream_events_t *stream_events, void *owner)
{
    (void)s;
    w.events = stream_events;
    w.owner = owner;
}

static void fake_limit(weir_stream_t *s, uint64_t limit, uint64_t send_timeout_ms)
{
    (void)s, (void)limit, (void)send_timeout_ms;
}

static void fake_gather(weir_stream_t *s)
{
    (void)s;
}

static void fake_close(weir_stream_t *s)
{
    (void)s;
    FUZZ_CHECK(!w.is_over);
    w.is_over = true;
}

static weir_slice_t fake_peer(const weir_stream_t *s)
{
    (void)s;
    return WEIR_LIT("127.0.0.1");
}

static bool fake_is_tls(const weir_stream_t *s)
{
    (void)s;
    return false;
}

static weir_slice_t fake_principal(const weir_stream_t *s)
{
    (void)s;
    return WEIR_LIT("dns:client.example");
}

static weir_exchange_t *fake_exchange(weir_listener_t *listener, void *client)
{
    weir_exchange_t *ex = calloc(1, sizeof(*ex));
    FUZZ_CHECK(ex != NULL);
    ex->listener = listener;
    ex->client = client;
    w.exchanges++;
    return ex;
}

__attribute__((format(printf, 3, 4))) static void fake_refuse(weir_exchange_t *ex, weir_reason_t reason,
                                                              const char *format, ...)
{
    FUZZ_CHECK(reason > WEIR_REASON_NONE && reason < WEIR_REASONS && format != NULL);
    weir_failure_t failure = failure_of(reason, WEIR_LIT("no"));
    reply_fail(ex, &failure);
    free(ex);
    w.exchanges--;
}

static void fake_sent(weir_exchange_t *ex, uint64_t bytes)
{
    (void)ex, (void)bytes;
}

static weir_client_t *fake_client(weir_listener_t *listener, const weir_client_intro_t *intro,
                                  const weir_client_events_t *events_of_client, void *owner)
{
    (void)listener, (void)events_of_client;
    FUZZ_CHECK(intro->target.n > 0);
    w.clients++;
    w.has_streamed = true;
    return owner;
}

static void fake_gone(weir_client_t *client)
{
    (void)client;
    w.clients--;
}

static bool is_answer_to_all(const weir_listener_t *listener)
{
    (void)listener;
    return false;
}

static bool fake_leads(const weir_listener_t *listener, weir_slice_t host, weir_slice_t target)
{
    (void)listener, (void)host;
    return target.n > 1;
}

static weir_reason_t fake_guard_host(const weir_listener_t *listener, const weir_guard_t *guard,
                                     const weir_head_t *head, weir_error_t *err)
{
    (void)listener, (void)guard, (void)head, (void)err;
    return WEIR_REASON_NONE;
}

static weir_reason_t fake_guard_origin(const weir_guard_t *guard, const weir_head_t *head, weir_error_t *err)
{
    (void)guard, (void)head, (void)err;
    return WEIR_REASON_NONE;
}

static weir_postbox_t *fake_box(weir_listener_t *listener, weir_slice_t authorization, weir_slice_t principal,
                                weir_postbox_take_fn take, void *owner)
{
    (void)listener, (void)authorization, (void)principal, (void)take;
    w.boxes++;
    return owner;
}

static weir_slice_t fake_address(const weir_postbox_t *box)
{
    (void)box;
    return WEIR_LIT("0123456789abcdef0123456789abcdef0123456789abcdef0123");
}

static void fake_box_close(weir_postbox_t *box)
{
    w.boxes -= box != NULL;
}

/* Taken, or not, at once or at the end of the turn. */
static void fake_post(weir_post_t *post, weir_listener_t *listener, weir_slice_t address, weir_slice_t authorization,
                      weir_slice_t principal, const weir_chunk_t *message)
{
    weir_envelope_t envelope;
    (void)listener, (void)authorization, (void)principal;
    FUZZ_CHECK(address.n == 0 || address.n == WEIR_POSTBOX_ADDRESS);
    FUZZ_CHECK(message_scan(message->bytes, &envelope) == WEIR_SCAN_OK && message->buf != NULL);
    FUZZ_CHECK(message->bytes.n <= ((visit_t *)post->arg)->edge->options->max_message);
    w.messages++;
    if (w.fate & 4)
        w.posted = post;
    else
        post->done(post->arg, -(int)(w.fate & 3) - (w.fate & 3 ? 2 : 0));
}

static void fake_forget(weir_post_t *post)
{
    if (w.posted == post)
        w.posted = NULL;
}

static const weir_host_t host = {
    .now_ms = fake_now,
    .log = fake_log,
    .timeouts = fake_timeouts,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .timer_at_turn_end = fake_at_turn_end,
    .buf_new = buf_new,
    .buf_ref = buf_ref,
    .buf_unref = buf_unref,
    .stream_read = fake_read,
    .stream_write = fake_write,
    .stream_pause = fake_pause,
    .stream_own = fake_own,
    .stream_limit = fake_limit,
    .stream_gather = fake_gather,
    .stream_close = fake_close,
    .stream_finish = fake_close,
    .stream_peer = fake_peer,
    .stream_is_tls = fake_is_tls,
    .stream_principal = fake_principal,
    .http_request = http1_parse_request,
    .http_chunked = http1_chunked_decode,
    .http_reason = http1_reason,
    .http_date = fake_date,
    .message_scan = message_scan,
    .message_error = message_error,
    .exchange_new = fake_exchange,
    .exchange_refuse = fake_refuse,
    .exchange_sent = fake_sent,
    .client_new = fake_client,
    .client_gone = fake_gone,
    .listener_is_shared = is_answer_to_all,
    .listener_leads = fake_leads,
    .guard_host = fake_guard_host,
    .guard_origin = fake_guard_origin,
    .postbox_open = fake_box,
    .postbox_address = fake_address,
    .postbox_close = fake_box_close,
    .post_send = fake_post,
    .post_forget = fake_forget,
};

/* ---- a connection ---- */

/* All that is due is done before the next bytes come. */
static void end_turn(void)
{
    while (w.posted != NULL || w.ndue > 0) {
        weir_post_t *post = w.posted;
        weir_timer_t *timer = w.ndue == 0 ? NULL : w.due[--w.ndue];
        w.posted = NULL;
        if (post != NULL)
            post->done(post->arg, WEIR_OK);
        if (timer != NULL)
            timer->fire(timer->arg);
    }
}

static void converse(const char *p, size_t n, size_t step, uint8_t fate)
{
    static const edge_options_t options = {
        .max_head = 4096, .max_message = 8192, .buffer_limit = 1 << 20, .max_streams = 1, .heartbeat_ms = 1};
    memset(&w, 0, offsetof(struct world, said));
    w.said_n = w.ndue = w.messages = 0;
    w.posted = NULL;
    w.bytes = p;
    w.n = n;
    w.step = step;
    w.fate = fate;
    void *edge = edge_create(&host, NULL, &options, NULL);
    FUZZ_CHECK(edge != NULL);
    edge_open(edge, (weir_stream_t *)(void *)&w);
    for (size_t turns = 0; !w.is_over; turns++) {
        FUZZ_CHECK(turns < 4 * n + 64); /* it comes to an end */
        if (!w.is_paused)
            w.events->readable(w.owner);
        end_turn();
    }
    edge_destroy(edge);
    FUZZ_CHECK(w.clients == 0 && w.boxes == 0 && w.exchanges == 0 && bufs_in_use(proc->bufs) == 0);
}

/* All that was said, up to an event stream, is replies with a length. */
static size_t replies(void)
{
    size_t count = 0;
    for (size_t at = 0; at < w.said_n; count++) {
        weir_head_t head;
        size_t used = 0;
        FUZZ_CHECK(http1_parse_reply(w.said + at, w.said_n - at, 0, &head, &used) == WEIR_PARSE_DONE);
        at += used;
        if (head.status < 200 || head.status == 204)
            continue;
        if (head.status == 200)
            return count;
        FUZZ_CHECK(head.content_length >= 0 && (uint64_t)head.content_length <= w.said_n - at);
        at += (size_t)head.content_length;
    }
    return count;
}

static bool has(const char *p, size_t n, const char *word)
{
    return memmem(p, n, word, strlen(word)) != NULL;
}

static void fuzz_one(const char *p, size_t n)
{
    static proc_t self;
    proc = &self;
    if (self.bufs == NULL)
        self.bufs = bufs_new(8);
    if (n < 2 || n > 4000)
        return;
    size_t step = (uint8_t)p[0] % 64 + 1;
    uint8_t fate = (uint8_t)p[1];
    converse(p + 2, n - 2, 1 << 20, fate);
    size_t count = replies(), messages = w.messages;
    bool was_stream = w.has_streamed, has_continued = has(p, n, "100-") || has(p, n, "xpect");
    converse(p + 2, n - 2, step, fate);
    if (was_stream || w.has_streamed || has_continued)
        return; /* a stream looks at what comes behind it, and a client is only told to go on when it waits */
    /* Where something is refused, what stands behind it is not looked at unless it is here already. */
    bool is_all_posted = count == messages;
    FUZZ_CHECK(replies() <= count && w.messages <= messages);
    FUZZ_CHECK(!is_all_posted || (replies() == count && w.messages == messages));
}
