/* rpc.c: messages out. What the modern era adds to every result (resultType, who answered, for how long it may be kept) is
 * added here, so that the handlers do not know of eras where the eras agree.
 */
#include "rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <build_config.h>

static const char *const level_names[] = {"debug", "info",     "notice", "warning",
                                          "error", "critical", "alert",  "emergency"};

void request_keep(request_t *copy, const request_t *rq)
{
    *copy = *rq;
    json_incref(copy->id);
    json_incref(copy->params);
    json_incref(copy->progress_token);
    json_incref(copy->capabilities);
}

void request_drop(request_t *copy)
{
    json_decref(copy->id);
    json_decref(copy->params);
    json_decref(copy->progress_token);
    json_decref(copy->capabilities);
}

/* The client is gone when it does not read: nothing is left to do. */
static void write_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            exit(0);
        p += done;
        n -= (size_t)done;
    }
}

static void send_message(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (!text)
        exit(1);
    size_t n = strlen(text);
    text[n] = '\n'; /* in place of the terminator: one write, no copy */
    write_all(text, n + 1);
    free(text);
}

json_t *rpc_server_info(void)
{
    return json_pack("{s:s, s:s, s:s}", "name", "weir-demo", "title", "The server that comes with weir", "version",
                     WEIR_VERSION);
}

static void finish_modern(const request_t *rq, json_t *result)
{
    if (!json_object_get(result, "resultType"))
        json_object_set_new(result, "resultType", json_string("complete"));
    if (!json_object_get(result, "_meta"))
        json_object_set_new(result, "_meta", json_object());
    json_object_set_new(json_object_get(result, "_meta"), "io.modelcontextprotocol/serverInfo", rpc_server_info());
    if (rq->is_cacheable && !json_object_get(result, "ttlMs")) {
        json_object_set_new(result, "ttlMs", json_integer(60 * 1000));
        json_object_set_new(result, "cacheScope", json_string("public"));
    }
}

void rpc_result(const request_t *rq, json_t *result)
{
    if (rq->is_modern)
        finish_modern(rq, result);
    send_message(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", rq->id, "result", result));
}

static void send_error(json_t *id, int code, const char *message, json_t *data)
{
    json_t *error = json_pack("{s:i, s:s}", "code", code, "message", message);
    if (data)
        json_object_set_new(error, "data", data);
    send_message(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "error", error));
}

void rpc_error(const request_t *rq, int code, json_t *data, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    send_error(rq->id, code, message, data);
}

void rpc_refuse(json_t *id, int code, const char *message)
{
    send_error(id ? id : json_null(), code, message, NULL);
}

void rpc_notify(const char *method, json_t *params)
{
    send_message(json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params));
}

void rpc_ask(const char *id, const char *method, json_t *params)
{
    send_message(json_pack("{s:s, s:s, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method, "params", params));
}

void rpc_log(const request_t *rq, rpc_level_t level, const char *format, ...)
{
    if ((int)level < rq->log_level)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    rpc_notify("notifications/message",
               json_pack("{s:s, s:s, s:s}", "level", level_names[level], "logger", "demo", "data", text));
}

int rpc_level(const char *name)
{
    for (size_t i = 0; name && i < sizeof(level_names) / sizeof(*level_names); i++)
        if (strcmp(level_names[i], name) == 0)
            return (int)i;
    return -1;
}
