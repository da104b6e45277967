/* post.c: what is for a server leaves by POSTs on connections of their own, which are kept while they are of use.
 *
 * A server must not see a message before one that it depends on, and some answer a POST only when they have dealt with what was in
 * it, for which they may need an answer of ours first. So:
 *
 *   a notice    waits for all that came before it to have left, and what comes behind it waits until the server has taken it
 *   a request   waits for no other request; `max_posts` are on their way at most
 *   an answer   waits for nothing but the answer before it
 *
 * A posts_t is its link's from posts_new() to posts_end(); while a call that may end it is on the stack (`depth`) its memory stays, and
 * that of its carriers. A carrier is one connection:
 *
 *   state       event                      next        what happens
 *   CONNECTING  connected                  POSTING     its letter is written
 *   CONNECTING  broken                     gone        the letter's call fails: connect_failed
 *   POSTING     a head that says 2xx       READING     the letter has arrived
 *   POSTING     another, no HTTP, late     gone        the letter's call fails: bad_reply, timeout
 *   POSTING     end, broken                gone        likewise: server_died; sent again when it provably did not arrive
 *   READING     the reply is whole         IDLE        or gone, when the server closes
 *   IDLE        a letter                   POSTING
 *   IDLE        end, bytes, idle_timeout   gone
 */
#include <stdio.h>
#include <stdlib.h>

#include "link.h"

typedef enum letter_kind { LETTER_REQUEST, LETTER_NOTICE, LETTER_ANSWER } letter_kind_t;

typedef struct letter {
    weir_list_t node;
    letter_kind_t kind;
    weir_slice_t id; /* raw, of a request */
    weir_buf_t *buf;
    size_t n;
} letter_t;

typedef enum carrier_state { CARRIER_CONNECTING, CARRIER_POSTING, CARRIER_READING, CARRIER_IDLE } carrier_state_t;

typedef struct carrier {
    weir_list_t node;
    posts_t *posts;
    weir_stream_t *stream; /* NULL: gone */
    carrier_state_t state;
    letter_t *letter; /* on its way */
    reader_t reader;
    weir_timer_t timer;
    uint64_t mark;
    bool was_idle;
} carrier_t;

static void posts_pump(posts_t *p);

/* ---- letters ---- */

static void letter_free(posts_t *p, letter_t *letter)
{
    if (letter == NULL)
        return;
    p->bytes -= letter->n;
    p->target->host->buf_unref(letter->buf);
    free(letter);
}

static letter_kind_t kind_of(const weir_envelope_t *envelope)
{
    switch (envelope->kind) {
    case WEIR_KIND_REQUEST:
        return LETTER_REQUEST;
    case WEIR_KIND_RESULT:
    case WEIR_KIND_ERROR:
        return LETTER_ANSWER;
    default:
        return LETTER_NOTICE;
    }
}

static letter_t *letter_new(posts_t *p, const weir_chunk_t *parts, size_t n)
{
    const weir_host_t *host = p->target->host;
    weir_envelope_t envelope = {.kind = WEIR_KIND_NONE};
    letter_t *letter = calloc(1, sizeof(*letter));
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += parts[i].bytes.n;
    if (letter == NULL || (letter->buf = host->buf_new(bytes)) == NULL) {
        free(letter);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (parts[i].bytes.n > 0)
            memcpy(letter->buf->data + letter->n, parts[i].bytes.p, parts[i].bytes.n);
        letter->n += parts[i].bytes.n;
    }
    (void)host->message_scan(weir_slice(letter->buf->data, letter->n), &envelope); /* what is no message is a notice */
    letter->kind = kind_of(&envelope);
    letter->id = envelope.id;
    p->bytes += letter->n;
    return letter;
}

/* It is on its way, or not any more. */
static void posts_count(posts_t *p, const letter_t *letter, bool is_leaving)
{
    if (letter->kind == LETTER_REQUEST)
        p->requests += is_leaving ? 1 : -1;
    else if (letter->kind == LETTER_NOTICE)
        p->has_notice = is_leaving;
    else
        p->has_answer = is_leaving;
}

static letter_t *carrier_let_go(carrier_t *c)
{
    letter_t *letter = c->letter;
    c->letter = NULL;
    if (letter != NULL)
        posts_count(c->posts, letter, false);
    return letter;
}

static void letter_failed(posts_t *p, letter_t *letter, weir_reason_t reason, const char *why)
{
    const weir_host_t *host = p->target->host;
    if (letter->kind == LETTER_REQUEST)
        host->link_refused(p->link, letter->id, reason, why);
    else
        host->log(WEIR_LOG_WARN, "%s: a message that asks for no answer is lost: %s", p->link->server->name, why);
    letter_free(p, letter);
}

/* ---- connections ---- */

/* Its memory goes when nothing of it is on the stack. */
static void carrier_close(carrier_t *c)
{
    const weir_host_t *host = c->posts->target->host;
    host->timer_stop(&c->timer);
    host->stream_close(c->stream);
    c->stream = NULL;
    reader_free(&c->reader);
    weir_list_remove(&c->node);
    weir_list_append(&c->posts->gone, &c->node);
}

static void carrier_failed(carrier_t *c, weir_reason_t reason, const char *why)
{
    posts_t *p = c->posts;
    letter_t *letter = carrier_let_go(c);
    carrier_close(c);
    if (letter != NULL)
        letter_failed(p, letter, reason, why);
    posts_pump(p);
}

/* The connection ended before there was a reply. What a kept one was closed to is no answer to what was sent meanwhile. */
static void carrier_broken_off(carrier_t *c, const char *why)
{
    posts_t *p = c->posts;
    const weir_host_t *host = p->target->host;
    bool is_silent = c->state == CARRIER_POSTING && !reader_has_more(&c->reader);
    if (is_silent && c->was_idle && host->stream_is_untaken(c->stream, c->mark)) {
        weir_list_prepend(&p->waiting, &carrier_let_go(c)->node);
        carrier_close(c);
        posts_pump(p);
        return;
    }
    carrier_failed(c, c->state == CARRIER_CONNECTING ? WEIR_REASON_CONNECT_FAILED : WEIR_REASON_SERVER_DIED, why);
}

static void carrier_post(carrier_t *c)
{
    const target_t *t = c->posts->target;
    const char *endpoint = c->posts->endpoint;
    char head[ENDPOINT_MAX + 1024];
    int n = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nHost: %.*s\r\nAccept: */*\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     endpoint, WEIR_FMT(t->url.authority), c->letter->n);
    weir_chunk_t chunks[] = {{.bytes = weir_slice(head, (size_t)n)},
                             {weir_slice(c->letter->buf->data, c->letter->n), c->letter->buf}};
    c->state = CARRIER_POSTING;
    reader_begin(&c->reader, c->posts->target);
    c->mark = t->host->stream_taken(c->stream);
    (void)t->host->stream_write(c->stream, chunks, 2); /* `broken` follows when it has gone */
    if (t->reply_timeouts != NULL)
        t->host->timer_start(t->reply_timeouts, &c->timer);
}

static void carrier_rest(carrier_t *c)
{
    posts_t *p = c->posts;
    if (!c->reader.is_keep || reader_has_more(&c->reader)) {
        carrier_close(c);
    } else {
        c->state = CARRIER_IDLE;
        c->was_idle = true;
        reader_free(&c->reader);
        p->target->host->timer_start(p->target->idle_timeouts, &c->timer);
    }
    posts_pump(p);
}

static void carrier_answered(carrier_t *c)
{
    posts_t *p = c->posts;
    uint16_t status = p->target->head.status;
    if (status >= 200 && status < 300) {
        c->state = CARRIER_READING;
        letter_free(p, carrier_let_go(c));
        return;
    }
    char why[128];
    (void)snprintf(why, sizeof(why), "it refused the message with HTTP status %u", status);
    carrier_failed(c, WEIR_REASON_BAD_REPLY, why);
}

/* Look at what has been read; what the body of a reply says is read over. Who waits leaves at the end of what is there: by then this
 * connection may be free for it. */
static void carrier_take(carrier_t *c)
{
    posts_t *p = c->posts;
    weir_slice_t bytes;
    const char *why = NULL;
    while (c->stream != NULL && c->state != CARRIER_IDLE) {
        reading_t reading = reader_next(&c->reader, &bytes, &why);
        if (reading == READING_MORE) {
            posts_pump(p);
            return;
        }
        if (reading == READING_HEAD)
            carrier_answered(c);
        else if (reading == READING_END)
            carrier_rest(c);
        else if (reading == READING_BROKEN)
            carrier_failed(c, WEIR_REASON_BAD_REPLY, why);
    }
}

/* ---- events ---- */

static void posts_release(posts_t *p)
{
    if (p->depth > 0)
        return;
    while (!weir_list_empty(&p->gone)) {
        carrier_t *c = WEIR_CONTAINER(p->gone.next, carrier_t, node);
        weir_list_remove(&c->node);
        free(c);
    }
    if (p->link != NULL)
        return;
    free(p->endpoint);
    free(p);
}

static void on_connected(void *owner)
{
    carrier_t *c = owner;
    carrier_post(c);
}

static void on_readable(void *owner)
{
    carrier_t *c = owner;
    posts_t *p = c->posts;
    p->depth++;
    long n = reader_fill(&c->reader, c->stream);
    if (n > 0 && c->state == CARRIER_IDLE)
        carrier_close(c); /* it speaks without having been asked */
    else if (n > 0)
        carrier_take(c);
    else if (n != WEIR_EAGAIN && c->state == CARRIER_READING && reader_is_whole_at_end(&c->reader))
        carrier_rest(c);
    else if (n != WEIR_EAGAIN)
        carrier_broken_off(c, "it closed the connection without a reply to a POST");
    p->depth--;
    posts_release(p);
}

static void on_broken(void *owner, const char *why)
{
    carrier_t *c = owner;
    posts_t *p = c->posts;
    p->depth++;
    carrier_broken_off(c, why);
    p->depth--;
    posts_release(p);
}

static void on_timer(void *arg)
{
    carrier_t *c = arg;
    posts_t *p = c->posts;
    p->depth++;
    carrier_failed(c, WEIR_REASON_TIMEOUT, "no reply to a POST within reply_timeout");
    p->depth--;
    posts_release(p);
}

static const weir_stream_events_t events = {.connected = on_connected, .readable = on_readable, .broken = on_broken};

static carrier_t *carrier_new(posts_t *p, weir_error_t *err)
{
    const weir_host_t *host = p->target->host;
    const weir_upstream_t *up = p->link->server->upstream;
    carrier_t *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)weir_error(err, "no memory for a connection");
        return NULL;
    }
    c->posts = p;
    c->timer = (weir_timer_t){.fire = on_timer, .arg = c};
    weir_list_init(&c->timer.node);
    c->reader.target = p->target;
    c->stream = host->stream_connect(p->link, &events, c, err);
    if (c->stream == NULL) {
        free(c);
        return NULL;
    }
    host->stream_limit(c->stream, up->buffer_limit, p->target->options->send_timeout_ms);
    weir_list_append(&p->carriers, &c->node);
    return c;
}

/* ---- who leaves next ---- */

static carrier_t *posts_idle(const posts_t *p)
{
    WEIR_LIST_EACH((weir_list_t *)&p->carriers, it) {
        carrier_t *c = WEIR_CONTAINER(it, carrier_t, node);
        if (c->state == CARRIER_IDLE)
            return c;
    }
    return NULL;
}

static void posts_send(posts_t *p, letter_t *letter)
{
    weir_error_t err;
    weir_list_remove(&letter->node);
    carrier_t *c = posts_idle(p);
    bool is_there = c != NULL;
    if (c == NULL && (c = carrier_new(p, &err)) == NULL) {
        letter_failed(p, letter, WEIR_REASON_CONNECT_FAILED, err.text);
        return;
    }
    c->letter = letter;
    posts_count(p, letter, true);
    if (is_there)
        carrier_post(c);
}

static letter_t *posts_next(const posts_t *p)
{
    bool is_held = false;
    WEIR_LIST_EACH((weir_list_t *)&p->waiting, it) {
        letter_t *letter = WEIR_CONTAINER(it, letter_t, node);
        if (letter->kind == LETTER_ANSWER) {
            if (!p->has_answer)
                return letter;
            continue;
        }
        is_held = is_held || p->has_notice ||
                  (letter->kind == LETTER_REQUEST && p->requests >= (uint64_t)p->target->options->max_posts);
        if (!is_held)
            return letter;
        is_held = true;
    }
    return NULL;
}

static void posts_pump(posts_t *p)
{
    letter_t *letter;
    while (p->link != NULL && (letter = posts_next(p)) != NULL)
        posts_send(p, letter);
}

/* ---- what the link calls ---- */

posts_t *posts_new(target_t *target, weir_link_t *link, weir_slice_t endpoint)
{
    posts_t *p = calloc(1, sizeof(*p));
    if (p == NULL || (p->endpoint = strndup(endpoint.p, endpoint.n)) == NULL) {
        free(p);
        return NULL;
    }
    p->target = target;
    p->link = link;
    weir_list_init(&p->waiting);
    weir_list_init(&p->carriers);
    weir_list_init(&p->gone);
    return p;
}

int posts_write(posts_t *p, const weir_chunk_t *parts, size_t n)
{
    letter_t *letter = letter_new(p, parts, n);
    if (letter == NULL)
        return WEIR_ECLOSED;
    weir_list_append(&p->waiting, &letter->node);
    p->depth++;
    posts_pump(p);
    int result = p->link == NULL                                      ? WEIR_ECLOSED
                 : p->bytes > p->link->server->upstream->buffer_limit ? WEIR_EFULL
                                                                      : WEIR_OK;
    p->depth--;
    posts_release(p);
    return result;
}

void posts_end(posts_t *p)
{
    if (p == NULL)
        return;
    p->link = NULL;
    while (!weir_list_empty(&p->carriers)) {
        carrier_t *c = WEIR_CONTAINER(p->carriers.next, carrier_t, node);
        letter_free(p, carrier_let_go(c));
        carrier_close(c);
    }
    while (!weir_list_empty(&p->waiting)) {
        letter_t *letter = WEIR_CONTAINER(p->waiting.next, letter_t, node);
        weir_list_remove(&letter->node);
        letter_free(p, letter);
    }
    posts_release(p);
}
