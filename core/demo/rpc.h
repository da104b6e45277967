/* rpc.h: JSON-RPC as the demo server speaks it: one message a line, in and out.
 *
 * A request is valid while its handler runs; who needs it longer (a job) takes a copy with request_keep(). Every request is
 * answered exactly once, by rpc_result() or rpc_error(), unless the client cancelled it.
 */
#ifndef DEMO_RPC_H
#define DEMO_RPC_H

#include <stdbool.h>

#include <jansson.h>

enum {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_RESOURCE_NOT_FOUND = -32002,  /* legacy; the modern era says INVALID_PARAMS */
    RPC_UNSUPPORTED_VERSION = -32022, /* modern only */
};

/* Severities of log messages, least severe first. */
typedef enum rpc_level {
    LEVEL_DEBUG,
    LEVEL_INFO,
    LEVEL_NOTICE,
    LEVEL_WARNING,
    LEVEL_ERROR,
    LEVEL_NONE = 8
} rpc_level_t;

typedef struct request {
    json_t *id; /* NULL in a notification */
    const char *method;
    json_t *params;         /* always an object */
    json_t *progress_token; /* NULL: the client wants no progress */
    json_t *capabilities;   /* what the client said it can do; always an object */
    int log_level;          /* the least severe message the client wants, LEVEL_NONE: none */
    bool is_modern;
    bool is_cacheable; /* its result carries ttlMs and cacheScope in the modern era */
} request_t;

void request_keep(request_t *copy, const request_t *rq);
void request_drop(request_t *copy);

/* Answer a request. `result` and `data` are taken over; `data` may be NULL. */
void rpc_result(const request_t *rq, json_t *result);
void rpc_error(const request_t *rq, int code, json_t *data, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Refuse what is not even a request: the id is null when it could not be read. */
void rpc_refuse(json_t *id, int code, const char *message);

/* Tell the client something; ask it something (legacy only). `params` is taken over. */
void rpc_notify(const char *method, json_t *params);
void rpc_ask(const char *id, const char *method, json_t *params);

/* A log message that belongs to a request, when the client asked for such. */
void rpc_log(const request_t *rq, rpc_level_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "debug" … "emergency" as a number, -1 when it is none of them. */
int rpc_level(const char *name);

/* {"name":…,"version":…} of this server; a new reference. */
json_t *rpc_server_info(void);

#endif
