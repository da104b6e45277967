/* checkup.c: see checkup.h. The check is the exchange's client, and ends with it. */
#include "checkup.h"

#include <stdio.h>
#include <stdlib.h>

#include <build_config.h>

#include "buf.h"
#include "exchanges.h"
#include "message.h"
#include "timer.h"

typedef struct check {
    void (*done)(void *arg, bool is_well, const char *why);
    void *arg;
    uint16_t status;
} check_t;

static const char question[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{\"_meta\":{"
    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"weir\",\"version\":\"" WEIR_VERSION "\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";

static void check_end(weir_exchange_t *ex, bool is_well, const char *why)
{
    check_t *check = ex->client;
    ex->client = NULL;
    check->done(check->arg, is_well, why);
    free(check);
}

static int on_head(weir_exchange_t *ex, const weir_reply_t *reply)
{
    ((check_t *)ex->client)->status = reply->status;
    return WEIR_OK;
}

static int on_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n)
{
    (void)ex, (void)chunks, (void)n;
    return WEIR_OK;
}

static int on_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final)
{
    (void)parts, (void)n, (void)event_id;
    if (is_final)
        check_end(ex, true, "");
    return WEIR_OK;
}

static void on_end(weir_exchange_t *ex)
{
    const check_t *check = ex->client;
    char why[32];
    snprintf(why, sizeof(why), "HTTP status %u", check->status);
    check_end(ex, check->status < 500, why);
}

static void on_fail(weir_exchange_t *ex, const weir_failure_t *failure)
{
    char why[WEIR_ERROR_MAX];
    snprintf(why, sizeof(why), "%.*s", WEIR_FMT(failure->text));
    check_end(ex, false, why);
}

static const weir_accept_t check_accept = {
    .reply_head = on_head, .reply_bytes = on_bytes, .reply_message = on_message, .reply_end = on_end, .fail = on_fail};

static const weir_listener_t check_listener = {.name = "check", .accept = &check_accept};

static bool check_ask(weir_exchange_t *pub)
{
    weir_buf_t *buf = buf_new(0);
    if (buf == NULL)
        return false;
    memcpy(buf->data, question, sizeof(question) - 1);
    pub->body = (weir_chunk_t){.bytes = weir_slice(buf->data, sizeof(question) - 1), .buf = buf};
    pub->message.bytes = pub->body.bytes;
    return message_scan(pub->message.bytes, &pub->message.envelope) == WEIR_SCAN_OK;
}

int checkup_begin(weir_link_t *link, uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why),
                  void *arg)
{
    check_t *check = calloc(1, sizeof(*check));
    weir_exchange_t *pub = check == NULL ? NULL : exchange_new((weir_listener_t *)&check_listener, check);
    if (pub == NULL) {
        free(check);
        return WEIR_EFAIL;
    }
    exchange_t *ex = exchange_of(pub);
    *check = (check_t){.done = done, .arg = arg};
    ex->is_checkup = true;
    pub->era = WEIR_ERA_MODERN;
    ex->upstream = upstream_of(link->server->upstream);
    pub->upstream = &ex->upstream->pub;
    if (!check_ask(pub) || link_lease(link, ex) != WEIR_OK) {
        pub->client = NULL;
        free(check);
        exchange_end(ex, WEIR_REASON_INTERNAL);
        return WEIR_EFAIL;
    }
    exchange_dispatch(ex);
    if (ex->state != EXCHANGE_ENDED)
        timer_start(timers_get(timeout_ms), &ex->timer);
    return WEIR_OK;
}
