/* method.c: see method.h. Few write names with escapes, so that nothing here has to be fast. */
#include "method.h"

#include "jscan.h"

#define ESCAPED_MAX 512

static const char *const methods[] = {
    "completion/complete",
    "elicitation/create",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/subscriptions/acknowledged",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "sampling/createMessage",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
};

weir_slice_t method_plain(weir_slice_t escaped)
{
    char text[ESCAPED_MAX];
    if (escaped.n > sizeof(text))
        return (weir_slice_t){NULL, 0};
    weir_slice_t plain = weir_slice(text, jscan_unescape(escaped, text));
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (weir_slice_eq(plain, weir_slice_str(methods[i])))
            return weir_slice_str(methods[i]);
    return (weir_slice_t){NULL, 0};
}
