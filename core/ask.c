/* ask.c: see ask.h. */
#include "ask.h"

#include <stdio.h>

#include <build_config.h>

static const char format[] = "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%.*s\",\"params\":{\"_meta\":{"
                             "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                             "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"weir\",\"version\":\"" WEIR_VERSION
                             "\"},\"io.modelcontextprotocol/clientCapabilities\":{}}";

#define METHOD_MAX 64

static call_t *ask_new(link_t *link)
{
    call_t *call = link->pub.state == WEIR_LINK_DEAD ? NULL : call_new(link, WEIR_LIT("0"), (weir_slice_t){NULL, 0});
    if (call != NULL)
        call->is_own = true;
    return call;
}

call_t *ask_ping(link_t *link)
{
    char text[64];
    call_t *call = ask_new(link);
    if (call == NULL)
        return NULL;
    int n = snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"ping\"}", call->id);
    weir_slice_t part = weir_slice(text, n < 0 ? 0 : (size_t)n);
    return call_write(link, &part, 1) == WEIR_ECLOSED ? NULL : call;
}

call_t *ask(link_t *link, weir_slice_t method, weir_slice_t cursor)
{
    char text[sizeof(format) + METHOD_MAX + 16];
    call_t *call = method.n > METHOD_MAX ? NULL : ask_new(link);
    if (call == NULL)
        return NULL;
    call_teaches(call, method);
    int n = snprintf(text, sizeof(text), format, call->id, WEIR_FMT(method));
    weir_slice_t parts[4] = {weir_slice(text, n < 0 ? 0 : (size_t)n), WEIR_LIT(",\"cursor\":"), cursor};
    size_t used = cursor.n > 0 ? 3 : 1;
    parts[used++] = WEIR_LIT("}}");
    return call_write(link, parts, used) == WEIR_ECLOSED ? NULL : call;
}
