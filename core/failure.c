/* failure.c: see failure.h. The rows follow the order of weir_reason_t. */
#include "failure.h"

typedef struct row {
    uint16_t status;
    int32_t code; /* JSON-RPC code; 0: the client gets no JSON-RPC error */
    bool is_told; /* data.reason carries the word */
    const char *word;
} row_t;

static const row_t rows[WEIR_REASONS] = {
    [WEIR_REASON_NONE] = {0, 0, false, ""},
    [WEIR_REASON_BAD_REQUEST] = {400, 0, false, "bad_request"},
    [WEIR_REASON_NOT_JSON] = {400, WEIR_CODE_PARSE_ERROR, false, "not_json"},
    [WEIR_REASON_NOT_JSONRPC] = {400, WEIR_CODE_INVALID_REQUEST, false, "not_jsonrpc"},
    [WEIR_REASON_HEADER_MISMATCH] = {400, WEIR_CODE_HEADER_MISMATCH, false, "header_mismatch"},
    [WEIR_REASON_BAD_PARAMS] = {400, WEIR_CODE_INVALID_PARAMS, false, "bad_params"},
    [WEIR_REASON_BAD_VERSION] = {400, WEIR_CODE_BAD_VERSION, false, "bad_version"},
    [WEIR_REASON_SESSION_REQUIRED] = {400, WEIR_CODE_INVALID_REQUEST, true, "session_required"},
    [WEIR_REASON_NOT_MODERN] = {400, WEIR_CODE_INVALID_REQUEST, true, "not_modern"},
    [WEIR_REASON_BAD_ORIGIN] = {403, 0, false, "bad_origin"},
    [WEIR_REASON_NOT_FOUND] = {404, 0, false, "not_found"},
    [WEIR_REASON_SESSION_NOT_FOUND] = {404, WEIR_CODE_INVALID_REQUEST, true, "session_not_found"},
    [WEIR_REASON_BAD_METHOD] = {405, 0, false, "bad_method"},
    [WEIR_REASON_REQUEST_TIMEOUT] = {408, 0, false, "request_timeout"},
    [WEIR_REASON_TOO_LARGE] = {413, 0, false, "too_large"},
    [WEIR_REASON_BAD_TYPE] = {415, 0, false, "bad_type"},
    [WEIR_REASON_HEAD_TOO_LARGE] = {431, 0, false, "head_too_large"},
    [WEIR_REASON_INTERNAL] = {500, WEIR_CODE_INTERNAL, true, "internal"},
    [WEIR_REASON_CONNECT_FAILED] = {502, WEIR_CODE_PROXY, true, "connect_failed"},
    [WEIR_REASON_BAD_REPLY] = {502, WEIR_CODE_PROXY, true, "bad_reply"},
    [WEIR_REASON_SERVER_DIED] = {502, WEIR_CODE_PROXY, true, "server_died"},
    [WEIR_REASON_BREAKER_OPEN] = {503, WEIR_CODE_PROXY, true, "breaker_open"},
    [WEIR_REASON_POOL_FULL] = {503, WEIR_CODE_PROXY, true, "pool_full"},
    [WEIR_REASON_TIMEOUT] = {504, WEIR_CODE_PROXY, true, "timeout"},
    [WEIR_REASON_BAD_HTTP_VERSION] = {505, 0, false, "bad_http_version"},
    [WEIR_REASON_CLIENT_GONE] = {499, 0, false, "client_gone"},
    [WEIR_REASON_BAD_CODING] = {415, 0, false, "bad_coding"},
};

weir_failure_t failure_of(weir_reason_t reason, weir_slice_t text)
{
    const row_t *row = &rows[reason];
    return (weir_failure_t){
        .reason = reason,
        .status = row->status,
        .code = row->code,
        .word = row->is_told ? row->word : NULL,
        .text = text,
    };
}

const char *failure_word(weir_reason_t reason)
{
    return rows[reason].word;
}
