/* checkup.c: see checkup.h. A check is owned by its exchange, whose client it is, or by its call, and ends with it, or when its time
 * is up.
 */
#include "checkup.h"

#include <stdio.h>
#include <stdlib.h>

#include <build_config.h>

#include "ask.h"
#include "buf.h"
#include "exchanges.h"
#include "message.h"
#include "timer.h"

typedef struct check {
    void (*done)(void *arg, bool is_well, const char *why);
    void *arg;
    uint64_t timeout_ms;
    weir_timer_t timer;
    server_t *server;
    exchange_t *ex; /* one of these two asks */
    call_t *call;
    uint16_t status;
    bool is_refused; /* the other question may be the right one */
} check_t;

static check_t *check_new(uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why), void *arg)
{
    check_t *check = calloc(1, sizeof(*check));
    if (check == NULL)
        return NULL;
    *check = (check_t){.done = done, .arg = arg, .timeout_ms = timeout_ms, .timer.arg = check};
    weir_list_init(&check->timer.node);
    return check;
}

static void check_free(check_t *check)
{
    timer_stop(&check->timer);
    free(check);
}

/* A `why` of NULL: nothing was found out. */
static void check_end(check_t *check, bool is_well, const char *why)
{
    check_t said = *check;
    check_free(check);
    said.done(said.arg, is_well, why);
}

static void check_await(check_t *check, void (*fire)(void *))
{
    check->timer.fire = fire;
    weir_timeouts_t *queue = timers_get(check->timeout_ms);
    if (queue != NULL)
        timer_start(queue, &check->timer);
}

static int no_answer(const check_t *check, char *why, size_t n)
{
    return snprintf(why, n, "no answer within %llu ms", (unsigned long long)check->timeout_ms);
}

/* ---- links of whole exchanges ---- */

static const char discover[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{\"_meta\":{"
    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"weir\",\"version\":\"" WEIR_VERSION "\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";

static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";

static void exchange_checked(weir_exchange_t *ex, bool is_well, const char *why)
{
    check_t *check = ex->client;
    ex->client = NULL;
    if (check->is_refused)
        check->server->is_pinged = !check->server->is_pinged;
    check_end(check, is_well, why);
}

static int on_head(weir_exchange_t *ex, const weir_reply_t *reply)
{
    check_t *check = ex->client;
    check->status = reply->status;
    check->is_refused = reply->status >= 400 && reply->status < 500;
    return WEIR_OK;
}

/* Nothing hangs on it but which question is asked next time, so the answer is looked at and not read. */
static int on_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    check_t *check = ex->client;
    for (size_t i = 0; i < n; i++)
        if (memmem(chunks[i].bytes.p, chunks[i].bytes.n, "\"error\"", 7) != NULL)
            check->is_refused = true;
    return WEIR_OK;
}

static int on_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    (void)parts, (void)n, (void)event_id;
    if (is_final)
        exchange_checked(ex, true, "");
    return WEIR_OK;
}

static void on_end(weir_exchange_t *ex)
{
    const check_t *check = ex->client;
    char why[32];
    snprintf(why, sizeof(why), "HTTP status %u", check->status);
    exchange_checked(ex, check->status < 500, why);
}

static void on_fail(weir_exchange_t *ex, const weir_failure_t *failure)
{
    char why[WEIR_ERROR_MAX];
    snprintf(why, sizeof(why), "%.*s", WEIR_FMT(failure->text));
    exchange_checked(ex, false, failure->reason == WEIR_REASON_CLIENT_GONE ? NULL : why);
}

static const weir_accept_t check_accept = {
    .reply_head = on_head, .reply_bytes = on_bytes, .reply_message = on_message, .reply_end = on_end, .fail = on_fail};

static const weir_listener_t check_listener = {.name = "check", .accept = &check_accept};

static void on_exchange_late(void *arg)
{
    const check_t *check = arg;
    char why[96];
    no_answer(check, why, sizeof(why));
    exchange_fail(&check->ex->pub, WEIR_REASON_TIMEOUT, "%s: %s: %s", check->ex->upstream->pub.name,
                  check->server->pub.name, why);
}

static bool exchange_ask(weir_exchange_t *pub, const char *question)
{
    size_t n = strlen(question);
    weir_buf_t *buf = buf_new(0);
    if (buf == NULL)
        return false;
    memcpy(buf->data, question, n);
    pub->body = (weir_chunk_t){.bytes = weir_slice(buf->data, n), .buf = buf};
    pub->message.bytes = pub->body.bytes;
    return message_scan(pub->message.bytes, &pub->message.envelope) == WEIR_SCAN_OK;
}

static int check_by_exchange(check_t *check, link_t *link)
{
    weir_exchange_t *pub = exchange_new((weir_listener_t *)&check_listener, check);
    if (pub == NULL)
        return WEIR_EFAIL;
    exchange_t *ex = check->ex = exchange_of(pub);
    ex->pub.is_checkup = true;
    pub->era = check->server->is_pinged ? WEIR_ERA_LEGACY : WEIR_ERA_MODERN;
    ex->upstream = link_upstream(link);
    pub->upstream = &ex->upstream->pub;
    if (!exchange_ask(pub, check->server->is_pinged ? ping : discover) || link_lease(&link->pub, ex) != WEIR_OK) {
        pub->client = NULL;
        exchange_end(ex, WEIR_REASON_INTERNAL);
        return WEIR_EFAIL;
    }
    check_await(check, on_exchange_late); /* the check may be over before this returns */
    exchange_dispatch(ex);
    return WEIR_OK;
}

/* ---- links of messages ---- */

static void on_told(void *arg, const char *why, weir_reason_t reason)
{
    check_t *check = arg;
    bool is_answered = why == NULL;
    bool is_failed = reason == WEIR_REASON_SERVER_DIED || reason == WEIR_REASON_BAD_REPLY;
    check_end(check, is_answered, is_answered ? "" : is_failed ? why : NULL);
}

static void on_call_late(void *arg)
{
    check_t *check = arg;
    char why[96];
    no_answer(check, why, sizeof(why));
    check->call->told = NULL;
    call_cancel(check->call, "no answer in time");
    check_end(check, false, why);
}

/* A server that was asked `server/discover` first may still be told `initialize`, as the specification has it of clients that find out
 * what they speak to; one that was asked `ping` first takes its client for one of the legacy era. So the link stays good for both. */
static int check_by_call(check_t *check, link_t *link)
{
    bool is_legacy = link->session != NULL || link_upstream(link)->era == UPSTREAM_ERA_LEGACY;
    check->call = is_legacy ? ask_ping(link) : ask(link, WEIR_LIT("server/discover"), (weir_slice_t){NULL, 0});
    if (check->call == NULL)
        return WEIR_EFAIL;
    check->call->told = on_told;
    check->call->told_arg = check;
    check_await(check, on_call_late);
    return WEIR_OK;
}

int checkup_begin(weir_link_t *pub, uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why),
                  void *arg)
{
    link_t *link = link_of(pub);
    bool is_stream = link_upstream(link)->connect->flags & WEIR_CONNECT_STREAM;
    check_t *check = check_new(timeout_ms, done, arg);
    if (check == NULL)
        return WEIR_EFAIL;
    check->server = WEIR_CONTAINER(pub->server, server_t, pub);
    int result = is_stream ? check_by_call(check, link) : check_by_exchange(check, link);
    if (result != WEIR_OK)
        check_free(check);
    return result;
}
