/* main.c: weir-demo, the MCP server that comes with weir: over stdio, in both eras of the protocol, to try weir with and to test
 * it with. One loop: a line in is a message, a job that is due is ticked, the end of input is the end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <build_config.h>

#include "handlers.h"
#include "jobs.h"

/* --- a message --- */

typedef struct method {
    const char *name;
    era_t eras;
    bool is_cacheable;
    handler_fn *handle;
} method_t;

static const method_t methods[] = {
    {"initialize", ERA_LEGACY, false, session_initialize},
    {"ping", ERA_LEGACY, false, session_ping},
    {"logging/setLevel", ERA_LEGACY, false, session_set_level},
    {"server/discover", ERA_MODERN, true, session_discover},
    {"tools/list", ERA_BOTH, true, tools_list},
    {"tools/call", ERA_BOTH, false, tools_call},
    {"resources/list", ERA_BOTH, true, resources_list},
    {"resources/templates/list", ERA_BOTH, true, resources_templates},
    {"resources/read", ERA_BOTH, true, resources_read},
    {"resources/subscribe", ERA_LEGACY, false, resources_subscribe},
    {"resources/unsubscribe", ERA_LEGACY, false, resources_unsubscribe},
    {"subscriptions/listen", ERA_MODERN, false, subscriptions_listen},
    {"prompts/list", ERA_BOTH, true, prompts_list},
    {"prompts/get", ERA_BOTH, false, prompts_get},
    {"completion/complete", ERA_BOTH, false, prompts_complete},
};

static const method_t *method_find(const char *name, era_t era)
{
    for (const method_t *m = methods; m < methods + sizeof(methods) / sizeof(*methods); m++)
        if ((m->eras & era) && strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

static void handle_request(request_t *rq)
{
    if (!session_admit(rq))
        return;
    const method_t *method = method_find(rq->method, rq->is_modern ? ERA_MODERN : ERA_LEGACY);
    if (!method) {
        rpc_error(rq, RPC_METHOD_NOT_FOUND, NULL, "Method not found: %s", rq->method);
        return;
    }
    rq->is_cacheable = method->is_cacheable;
    method->handle(rq);
}

static void handle_call(json_t *message, json_t *id)
{
    json_t *params = json_object_get(message, "params"), *none = json_object();
    request_t rq = {
        .id = id,
        .method = json_string_value(json_object_get(message, "method")),
        .params = json_is_object(params) ? params : none,
    };
    if (id)
        handle_request(&rq);
    else if (strcmp(rq.method, "notifications/cancelled") == 0)
        jobs_cancel(json_object_get(rq.params, "requestId"));
    json_decref(none);
}

static void handle_message(json_t *message)
{
    json_t *id = json_object_get(message, "id");
    const char *version = json_string_value(json_object_get(message, "jsonrpc"));
    bool is_call = json_is_string(json_object_get(message, "method"));
    bool is_reply = json_object_get(message, "result") || json_object_get(message, "error");
    if (!version || strcmp(version, "2.0") != 0 || is_call == is_reply)
        rpc_refuse(NULL, RPC_INVALID_REQUEST, "Not a JSON-RPC 2.0 message");
    else if (id && !json_is_string(id) && !json_is_integer(id))
        rpc_refuse(NULL, RPC_INVALID_REQUEST, "An id is a string or an integer");
    else if (is_reply)
        jobs_answer(message);
    else
        handle_call(message, id);
}

/* A batch, of which only 2025-03-26 knows, is answered message by message. */
static void handle_line(const char *line, size_t n)
{
    json_t *message = json_loadb(line, n, JSON_ALLOW_NUL, NULL), *item;
    size_t i;
    if (!message) {
        rpc_refuse(NULL, RPC_PARSE_ERROR, "Not JSON");
    } else if (json_array_size(message) > 0) {
        json_array_foreach(message, i, item) handle_message(item);
    } else {
        handle_message(message);
    }
    json_decref(message);
}

/* --- lines --- */

static struct {
    char *p;
    size_t used, size;
} input;

static void handle_input(void)
{
    size_t begin = 0;
    char *end;
    while ((end = memchr(input.p + begin, '\n', input.used - begin))) {
        size_t next = (size_t)(end - input.p) + 1;
        if (next - begin > 1)
            handle_line(input.p + begin, next - begin);
        begin = next;
    }
    memmove(input.p, input.p + begin, input.used - begin);
    input.used -= begin;
}

/* False at the end of input. Lines have no limit here: who stands in front has one. */
static bool read_input(void)
{
    if (input.size - input.used < 64 * 1024) {
        input.size = input.size * 2 + 128 * 1024;
        input.p = realloc(input.p, input.size);
        if (!input.p)
            exit(1);
    }
    ssize_t n = read(STDIN_FILENO, input.p + input.used, input.size - input.used);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    size_t before = input.used;
    input.used += (size_t)n;
    if (n > 0 && memchr(input.p + before, '\n', (size_t)n))
        handle_input();
    return n > 0;
}

static int serve(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        int ready = poll(&in, 1, jobs_timeout());
        if (ready < 0 && errno != EINTR)
            return 1;
        if (ready > 0 && !read_input())
            return 0;
        jobs_tick();
    }
}

/* --- the program --- */

static int usage(FILE *out, int status)
{
    fputs("usage: weir-demo [--era legacy|modern|both] [--with-crash]\n\n"
          "An MCP server over stdio, to try weir with.\n\n"
          "  --era ERA      speak only the handshake (legacy) or only 2026-07-28 (modern); both when not given\n"
          "  --with-crash   offer the tool `crash`, which ends the server\n",
          out);
    return status;
}

static bool read_era(const char *name)
{
    static const char *const names[] = {"legacy", "modern", "both"};
    for (int i = 0; name && i < 3; i++)
        if (strcmp(names[i], name) == 0) {
            session_speak((era_t)(i + 1));
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--with-crash") == 0)
            tools_allow_crash();
        else if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        else if (strcmp(argv[i], "--era") != 0 || !read_era(argv[++i]))
            return usage(stderr, 2);
    }
    signal(SIGPIPE, SIG_IGN);
    int status = serve();
    free(input.p);
    return status;
}
