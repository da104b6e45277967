/* param.c: see the table in param.h. */
#include "param.h"

#include <stdlib.h>

#include "ask.h"
#include "jscan.h"
#include "log.h"
#include "param_check.h"
#include "param_table.h"
#include "timer.h"

#define PREFIX WEIR_LIT("Mcp-Param-")
#define PAGES_MAX 100u
#define LOSSES_MAX 3u
/* Calls wait for the list up to half of their own time, and not longer than this. */
#define WAIT_MS 10000u

typedef enum params_state { PARAMS_UNKNOWN, PARAMS_ASKED, PARAMS_KNOWN } params_state_t;

struct params {
    upstream_t *upstream;
    params_state_t state;
    param_table_t table;
    weir_list_t waits; /* exchanges, by carrier_node */
    call_t *question;  /* ASKED: the page that is awaited */
    weir_timer_t timer;
    uint32_t pages;  /* that this question has brought */
    uint32_t losses; /* links that died over it, one after another */
    bool is_stale;   /* ASKED: the list has changed meanwhile */
};

/* ---- the worker's half ---- */

static bool is_param(const weir_field_t *field)
{
    return field->id == WEIR_FIELD_OTHER && field->name.n > PREFIX.n &&
           weir_slice_ieq(weir_slice(field->name.p, PREFIX.n), PREFIX);
}

static char *put(char *out, weir_slice_t text, char end)
{
    if (text.n > 0)
        memcpy(out, text.p, text.n);
    out[text.n] = end;
    return out + text.n + 1;
}

weir_slice_t params_fields(exchange_t *ex)
{
    const weir_head_t *head = ex->pub.head;
    size_t n = 0;
    for (uint16_t i = 0; i < head->nfields; i++)
        if (is_param(&head->fields[i]))
            n += head->fields[i].name.n - PREFIX.n + head->fields[i].value.n + 2;
    char *text = n == 0 ? NULL : exchange_alloc(&ex->pub, n), *end = text;
    for (uint16_t i = 0; text != NULL && i < head->nfields; i++) {
        const weir_field_t *field = &head->fields[i];
        if (!is_param(field))
            continue;
        end = put(end, weir_slice(field->name.p + PREFIX.n, field->name.n - PREFIX.n), ':');
        end = put(end, field->value, '\n');
    }
    return weir_slice(text, (size_t)(end - text));
}

bool params_concern(const exchange_t *ex)
{
    return ex->pub.era == WEIR_ERA_MODERN && ex->pub.head != NULL &&
           weir_slice_eq(ex->pub.message.envelope.method, WEIR_LIT("tools/call"));
}

/* ---- the state ---- */

static void params_timed_out(void *arg);

static struct params *params_of(upstream_t *up)
{
    if (up->params != NULL)
        return up->params;
    struct params *params = calloc(1, sizeof(*params));
    if (params == NULL)
        return NULL;
    params->upstream = up;
    params->timer = (weir_timer_t){.fire = params_timed_out, .arg = params};
    weir_list_init(&params->timer.node);
    weir_list_init(&params->waits);
    up->params = params;
    return params;
}

void params_free(upstream_t *up)
{
    struct params *params = up->params;
    if (params == NULL)
        return;
    timer_stop(&params->timer);
    param_table_clear(&params->table);
    free(params);
    up->params = NULL;
}

/* Those that wait go on: are checked, or ask anew. */
static void params_release(struct params *params)
{
    while (params->state != PARAMS_ASKED && !weir_list_empty(&params->waits)) {
        weir_exchange_t *pub = WEIR_CONTAINER(params->waits.next, weir_exchange_t, carrier_node);
        weir_list_remove(&pub->carrier_node);
        params_send(exchange_of(pub));
    }
}

/* The question is answered as well as it will be. */
static void params_settle(struct params *params)
{
    timer_stop(&params->timer);
    params->question = NULL;
    params->losses = 0;
    params->state = PARAMS_KNOWN;
    params_release(params);
    if (params->is_stale)
        params_forget(params->upstream);
}

static void params_give_up(struct params *params, const char *why)
{
    log_write(WEIR_LOG_WARN,
              "%s: cannot learn which parameters of its tools clients repeat in Mcp-Param-* fields: %s; calls pass "
              "unchecked until a list of tools comes by or its server says that it has changed",
              params->upstream->pub.name, why);
    params_settle(params);
}

static void params_timed_out(void *arg)
{
    struct params *params = arg;
    call_cancel(params->question, "no answer in time");
    params_give_up(params, "its server did not answer tools/list in time");
}

void params_lost(upstream_t *up)
{
    struct params *params = up->params;
    timer_stop(&params->timer);
    params->question = NULL;
    params->state = PARAMS_UNKNOWN;
    if (++params->losses >= LOSSES_MAX)
        params_give_up(params, "its server dies when it is asked for tools/list");
    else
        params_release(params);
}

void params_forget(upstream_t *up)
{
    struct params *params = up->params;
    if (params == NULL)
        return;
    param_table_clear(&params->table);
    params->is_stale = params->state == PARAMS_ASKED;
    if (params->state == PARAMS_KNOWN)
        params->state = PARAMS_UNKNOWN;
}

/* ---- asking ---- */

static bool params_ask(struct params *params, link_t *link, weir_slice_t cursor)
{
    params->question = ask(link, WEIR_LIT("tools/list"), cursor);
    return params->question != NULL;
}

static bool params_begin(struct params *params, link_t *link)
{
    uint64_t half_ms = params->upstream->pub.reply_timeout_ms / 2;
    weir_timeouts_t *timeouts = timers_get(half_ms < WAIT_MS ? half_ms : WAIT_MS);
    params->pages = 0;
    params->is_stale = false;
    params->state = PARAMS_ASKED;
    if (timeouts != NULL && params_ask(params, link, (weir_slice_t){NULL, 0})) {
        timer_start(timeouts, &params->timer);
        return true;
    }
    params->state = PARAMS_UNKNOWN;
    return false;
}

/* A page of an answer to weir itself. */
static void params_page(struct params *params, link_t *link, weir_slice_t page)
{
    weir_slice_t cursor;
    const char *who = params->upstream->pub.name;
    bool is_list = param_table_learn(&params->table, page, &cursor, who);
    if (params->table.count >= PARAM_TOOLS_MAX)
        log_write(WEIR_LOG_WARN, "%s: %u of its tools repeat parameters in Mcp-Param-* fields; no more are checked",
                  who, PARAM_TOOLS_MAX);
    if (!is_list)
        params_give_up(params, "its server answered tools/list with something else");
    else if (cursor.n == 0)
        params_settle(params);
    else if (++params->pages >= PAGES_MAX)
        params_give_up(params, "its list of tools has more than 100 pages");
    else if (!params_ask(params, link, cursor))
        params_give_up(params, "the next page of its list of tools cannot be asked for");
}

void params_answered(upstream_t *up, link_t *link, const weir_envelope_t *answer, bool is_own)
{
    struct params *params = up->params;
    weir_slice_t cursor;
    if (is_own && answer->kind == WEIR_KIND_RESULT)
        params_page(params, link, answer->result);
    else if (is_own && answer->error_code == WEIR_CODE_METHOD_NOT_FOUND)
        params_settle(params); /* it has no tools */
    else if (is_own)
        params_give_up(params, "its server answered tools/list with an error");
    else if (params != NULL && params->state != PARAMS_UNKNOWN && answer->kind == WEIR_KIND_RESULT)
        param_table_learn(&params->table, answer->result, &cursor, NULL);
}

/* ---- checking ---- */

/* The name of the tool, however it is written. */
static bool tool_name(exchange_t *ex, weir_slice_t *name)
{
    *name = ex->pub.message.envelope.name;
    if (!ex->pub.message.envelope.is_name_escaped || name->n == 0)
        return true;
    char *plain = exchange_alloc(&ex->pub, name->n);
    if (plain == NULL)
        return false;
    *name = weir_slice(plain, jscan_unescape(*name, plain));
    return true;
}

static bool params_check(struct params *params, exchange_t *ex)
{
    static const weir_slice_t key = {"arguments", 9};
    weir_slice_t name, arguments;
    weir_error_t err;
    if (params->table.count == 0)
        return true;
    if (!tool_name(ex, &name)) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: no memory for the name of a tool", ex->upstream->pub.name);
        return false;
    }
    const param_tool_t *tool = param_table_find(&params->table, name);
    if (tool == NULL)
        return true;
    if (!jscan_get(ex->pub.message.envelope.params, &key, &arguments, 1))
        arguments = (weir_slice_t){NULL, 0};
    if (param_check(&ex->pub, tool, arguments, ex->fields, &err) == WEIR_OK)
        return true;
    exchange_fail(&ex->pub, WEIR_REASON_HEADER_MISMATCH, "%s", err.text);
    return false;
}

/* Whether it may be sent now. If not it waits or has failed. */
static bool params_allow(exchange_t *ex)
{
    if (!ex->is_mirrored)
        return true;
    struct params *params = params_of(ex->upstream);
    if (params != NULL && params->state == PARAMS_KNOWN)
        return params_check(params, ex);
    if (params == NULL || (params->state == PARAMS_UNKNOWN && !params_begin(params, ex->link))) {
        exchange_fail(&ex->pub, WEIR_REASON_INTERNAL, "%s: cannot ask the server for its tools",
                      ex->upstream->pub.name);
        return false;
    }
    weir_list_append(&params->waits, &ex->pub.carrier_node);
    return false;
}

void params_send(exchange_t *ex)
{
    if (params_allow(ex))
        call_request(ex);
}
