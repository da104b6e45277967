/* tools.c: the tools. A tool is a row of the table at the end: its arguments are declared there, checked before it is called,
 * and told to the client as its schema.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handlers.h"
#include "jobs.h"

#define MAX_ARGS 2
#define MAX_BIG (64 * 1024 * 1024)

typedef struct arg {
    const char *name, *type, *description;
    bool is_required;
    int least, most; /* of an integer */
} arg_t;

typedef struct tool {
    const char *name, *title, *description;
    arg_t args[MAX_ARGS];
    void (*call)(const request_t *rq, json_t *args);
    json_t *(*output)(void); /* schema of structuredContent, NULL: none */
} tool_t;

static bool may_crash;

void tools_allow_crash(void)
{
    may_crash = true;
}

/* --- results --- */

static json_t *text_result(json_t *text)
{
    return json_pack("{s:[{s:s, s:o}]}", "content", "type", "text", "text", text);
}

/* A tool that fails says so in its result, where the model can read it. */
static void fail(const request_t *rq, json_t *text)
{
    json_t *result = text_result(text);
    json_object_set_new(result, "isError", json_true());
    rpc_result(rq, result);
}

/* --- echo, add, big, crash --- */

static void call_echo(const request_t *rq, json_t *args)
{
    rpc_result(rq, text_result(json_incref(json_object_get(args, "message"))));
}

static json_t *add_output(void)
{
    return json_pack("{s:s, s:{s:{s:s}}, s:[s]}", "type", "object", "properties", "sum", "type", "number", "required",
                     "sum");
}

static void call_add(const request_t *rq, json_t *args)
{
    json_t *a = json_object_get(args, "a"), *b = json_object_get(args, "b"), *sum;
    json_int_t whole;
    if (json_is_integer(a) && json_is_integer(b) &&
        !__builtin_add_overflow(json_integer_value(a), json_integer_value(b), &whole))
        sum = json_integer(whole);
    else
        sum = json_real(json_number_value(a) + json_number_value(b));
    if (!sum) {
        fail(rq, json_string("add: the sum is too large for a number"));
        return;
    }
    char *text = json_dumps(sum, JSON_ENCODE_ANY);
    json_t *result = text_result(json_string(text));
    json_object_set_new(result, "structuredContent", json_pack("{s:o}", "sum", sum));
    free(text);
    rpc_result(rq, result);
}

static void call_big(const request_t *rq, json_t *args)
{
    size_t n = (size_t)json_integer_value(json_object_get(args, "bytes"));
    char *text = malloc(n + 1);
    if (!text) {
        fail(rq, json_string("big: no memory for that"));
        return;
    }
    for (size_t i = 0; i < n; i++)
        text[i] = "0123456789abcdef"[i % 16];
    rpc_result(rq, text_result(json_stringn(text, n)));
    free(text);
}

static void call_crash(const request_t *rq, json_t *args)
{
    (void)rq, (void)args;
    fprintf(stderr, "weir-demo: crashing, as asked\n");
    _exit(70);
}

/* --- countdown --- */

/* Each step is told at its end. The answer comes an interval after the last: a client forgets the progress token with the answer,
 * and some handle the two in the other order when they arrive together.
 */
static void countdown_tick(job_t *job)
{
    const request_t *rq = &job->request;
    if (job->step == job->steps) {
        rpc_result(rq, text_result(json_sprintf("Counted down %d steps.", job->steps)));
        job_end(job);
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "%d to go", job->steps - ++job->step);
    if (rq->progress_token)
        rpc_notify("notifications/progress", json_pack("{s:O, s:i, s:i, s:s}", "progressToken", rq->progress_token,
                                                       "progress", job->step, "total", job->steps, "message", text));
    rpc_log(rq, LEVEL_DEBUG, "countdown: %s", text);
    job_wait(job, job->interval_ms);
}

static void call_countdown(const request_t *rq, json_t *args)
{
    json_t *steps = json_object_get(args, "steps"), *interval = json_object_get(args, "interval_ms");
    job_t *job = job_new(rq);
    job->steps = steps ? (int)json_integer_value(steps) : 5;
    job->interval_ms = interval ? (int)json_integer_value(interval) : 500;
    job->tick = countdown_tick;
    rpc_log(rq, LEVEL_INFO, "countdown: %d steps of %d ms", job->steps, job->interval_ms);
    job_wait(job, job->interval_ms);
}

/* --- ask_name: in the legacy era a request to the client, in the modern era a result that asks to be retried --- */

static const char ask_state[] =
    "ask_name/asked"; /* tampering with it can only make the retry fail: no seal is needed */

static json_t *question(bool with_mode)
{
    json_t *params =
        json_pack("{s:s, s:{s:s, s:{s:{s:s, s:s}}, s:[s]}}", "message", "What is your name?", "requestedSchema", "type",
                  "object", "properties", "name", "type", "string", "title", "Name", "required", "name");
    if (with_mode)
        json_object_set_new(params, "mode", json_string("form"));
    return params;
}

/* `elicitation: {}` means forms, as it did before there were modes. */
static bool can_be_asked(const request_t *rq)
{
    json_t *elicitation = json_object_get(rq->capabilities, "elicitation");
    return elicitation && (json_object_size(elicitation) == 0 || json_object_get(elicitation, "form"));
}

static void greet(const request_t *rq, json_t *answer)
{
    const char *action = json_string_value(json_object_get(answer, "action"));
    json_t *name = json_object_get(json_object_get(answer, "content"), "name");
    if (action && strcmp(action, "accept") == 0 && json_is_string(name))
        rpc_result(rq, text_result(json_sprintf("Hello, %s!", json_string_value(name))));
    else
        rpc_result(rq,
                   text_result(json_sprintf("No name was given (%s). Hello anyway!", action ? action : "no action")));
}

static void ask_modern(const request_t *rq)
{
    json_t *answer = json_object_get(json_object_get(rq->params, "inputResponses"), "name");
    const char *state = json_string_value(json_object_get(rq->params, "requestState"));
    if (answer && (!state || strcmp(state, ask_state) != 0)) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "ask_name: requestState is not the one this tool gave");
        return;
    }
    if (answer) {
        greet(rq, answer);
        return;
    }
    rpc_result(rq, json_pack("{s:s, s:{s:{s:s, s:o}}, s:s}", "resultType", "input_required", "inputRequests", "name",
                             "method", "elicitation/create", "params", question(true), "requestState", ask_state));
}

static void legacy_answer(job_t *job, json_t *message)
{
    json_t *error = json_object_get(message, "error");
    const char *why = json_string_value(json_object_get(error, "message"));
    if (error)
        fail(&job->request, json_sprintf("The client could not ask: %s", why ? why : "it did not say why"));
    else
        greet(&job->request, json_object_get(message, "result"));
    job_end(job);
}

static void call_ask_name(const request_t *rq, json_t *args)
{
    (void)args;
    if (!can_be_asked(rq)) {
        rpc_result(
            rq, text_result(json_string("Hello, stranger! (This client did not declare `elicitation`, so it cannot be "
                                        "asked for a name.)")));
    } else if (rq->is_modern) {
        ask_modern(rq);
    } else {
        job_t *job = job_new(rq);
        job->answer = legacy_answer;
        job_ask(job, "elicitation/create", question(session_is_since("2025-11-25")));
    }
}

/* --- the table --- */

static const tool_t tools[] = {
    {
        .name = "echo",
        .title = "Echo",
        .description = "Says back what it is given",
        .args = {{"message", "string", "What to say back", true, 0, 0}},
        .call = call_echo,
    },
    {
        .name = "add",
        .title = "Add",
        .description = "Adds two numbers",
        .args = {{"a", "number", "One number", true, 0, 0}, {"b", "number", "Another number", true, 0, 0}},
        .call = call_add,
        .output = add_output,
    },
    {
        .name = "countdown",
        .title = "Countdown",
        .description = "Counts down with progress notifications; can be cancelled",
        .args = {{"steps", "integer", "How many steps (5)", false, 1, 100000},
                 {"interval_ms", "integer", "Milliseconds between two steps (500)", false, 1, 60000}},
        .call = call_countdown,
    },
    {
        .name = "ask_name",
        .title = "Ask for a name",
        .description = "Asks the client's user for a name, and greets",
        .call = call_ask_name,
    },
    {
        .name = "big",
        .title = "Big reply",
        .description = "Replies with a text of so many bytes",
        .args = {{"bytes", "integer", "Length of the text", true, 0, MAX_BIG}},
        .call = call_big,
    },
    {
        .name = "crash",
        .title = "Crash",
        .description = "Ends the server at once, without an answer",
        .call = call_crash,
    },
};

static const tool_t *const tools_end = tools + sizeof(tools) / sizeof(*tools);

static bool is_offered(const tool_t *tool)
{
    return tool->call != call_crash || may_crash;
}

/* --- what the protocol makes of it --- */

static json_t *schema_of(const tool_t *tool)
{
    json_t *properties = json_object(), *required = json_array();
    for (const arg_t *arg = tool->args; arg < tool->args + MAX_ARGS && arg->name; arg++) {
        json_t *property = json_pack("{s:s, s:s}", "type", arg->type, "description", arg->description);
        if (arg->most) {
            json_object_set_new(property, "minimum", json_integer(arg->least));
            json_object_set_new(property, "maximum", json_integer(arg->most));
        }
        json_object_set_new(properties, arg->name, property);
        if (arg->is_required)
            json_array_append_new(required, json_string(arg->name));
    }
    return json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
}

void tools_list(const request_t *rq)
{
    json_t *list = json_array();
    for (const tool_t *tool = tools; tool < tools_end; tool++) {
        if (!is_offered(tool))
            continue;
        json_t *item = json_pack("{s:s, s:s, s:s, s:o}", "name", tool->name, "title", tool->title, "description",
                                 tool->description, "inputSchema", schema_of(tool));
        if (tool->output)
            json_object_set_new(item, "outputSchema", tool->output());
        json_array_append_new(list, item);
    }
    rpc_result(rq, json_pack("{s:o}", "tools", list));
}

static bool fits(const arg_t *arg, const json_t *value)
{
    if (!value)
        return !arg->is_required;
    if (strcmp(arg->type, "string") == 0)
        return json_is_string(value);
    if (strcmp(arg->type, "number") == 0)
        return json_is_number(value);
    return json_is_integer(value) && json_integer_value(value) >= arg->least && json_integer_value(value) <= arg->most;
}

static const arg_t *misfit(const tool_t *tool, const json_t *args)
{
    for (const arg_t *arg = tool->args; arg < tool->args + MAX_ARGS && arg->name; arg++)
        if (!fits(arg, json_object_get(args, arg->name)))
            return arg;
    return NULL;
}

void tools_call(const request_t *rq)
{
    const char *name = json_string_value(json_object_get(rq->params, "name"));
    json_t *args = json_object_get(rq->params, "arguments");
    for (const tool_t *tool = tools; name && tool < tools_end; tool++) {
        if (!is_offered(tool) || strcmp(tool->name, name) != 0)
            continue;
        rpc_log(rq, LEVEL_DEBUG, "tool called: %s", name);
        const arg_t *bad = misfit(tool, args);
        if (bad)
            fail(rq, json_sprintf("%s: `%s` must be %s%s", name, bad->name, bad->type,
                                  bad->most ? " within its limits" : ""));
        else
            tool->call(rq, args);
        resources_count_call();
        return;
    }
    rpc_error(rq, RPC_INVALID_PARAMS, NULL, "Unknown tool: %s", name ? name : "(no name)");
}
