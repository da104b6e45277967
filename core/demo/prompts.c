/* prompts.c: one prompt with two arguments, and completion for them and for the number in demo://square/{n}. */
#include <stdio.h>
#include <string.h>

#include "handlers.h"

static const char *const styles[] = {"formal", "friendly", "pirate", "poetic", NULL};
static const char *const names[] = {"Ada", "Alan", "Barbara", "Edsger", "Grace", "Niklaus", NULL};
static const char *const numbers[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "12", NULL};

void prompts_list(const request_t *rq)
{
    json_t *arguments = json_pack("[{s:s, s:s, s:b}, {s:s, s:s, s:b}]",                          //
                                  "name", "name", "description", "Whom to greet", "required", 1, //
                                  "name", "style", "description", "In which style", "required", 0);
    rpc_result(rq, json_pack("{s:[{s:s, s:s, s:s, s:o}]}", "prompts", "name", "greet", "title", "Greet", "description",
                             "Asks the model to greet somebody", "arguments", arguments));
}

void prompts_get(const request_t *rq)
{
    const char *prompt = json_string_value(json_object_get(rq->params, "name"));
    json_t *args = json_object_get(rq->params, "arguments");
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *style = json_string_value(json_object_get(args, "style"));
    if (!prompt || strcmp(prompt, "greet") != 0) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "Unknown prompt: %s", prompt ? prompt : "(no name)");
        return;
    }
    if (!name) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "greet: the argument `name` is required");
        return;
    }
    json_t *text = json_sprintf("Greet %s in a %s style.", name, style ? style : "friendly");
    rpc_result(rq, json_pack("{s:s, s:[{s:s, s:{s:s, s:o}}]}", "description", "A greeting", "messages", "role", "user",
                             "content", "type", "text", "text", text));
}

/* The values that an argument of this prompt or template can take. */
static const char *const *choices(json_t *ref, const char *argument)
{
    const char *type = json_string_value(json_object_get(ref, "type"));
    if (!type || !argument)
        return NULL;
    if (strcmp(type, "ref/resource") == 0)
        return strcmp(argument, "n") == 0 ? numbers : NULL;
    if (strcmp(type, "ref/prompt") != 0)
        return NULL;
    return strcmp(argument, "style") == 0 ? styles : strcmp(argument, "name") == 0 ? names : NULL;
}

void prompts_complete(const request_t *rq)
{
    json_t *argument = json_object_get(rq->params, "argument");
    const char *name = json_string_value(json_object_get(argument, "name"));
    const char *begun = json_string_value(json_object_get(argument, "value"));
    if (!name || !begun) {
        rpc_error(rq, RPC_INVALID_PARAMS, NULL, "completion/complete: `argument` needs `name` and `value`");
        return;
    }
    json_t *values = json_array();
    for (const char *const *it = choices(json_object_get(rq->params, "ref"), name); it && *it; it++)
        if (strncasecmp(*it, begun, strlen(begun)) == 0)
            json_array_append_new(values, json_string(*it));
    json_int_t total = (json_int_t)json_array_size(values);
    rpc_result(rq, json_pack("{s:{s:o, s:I, s:b}}", "completion", "values", values, "total", total, "hasMore", 0));
}
