/* message.h: one JSON-RPC message and its envelope.
 *
 * A message is scanned once. The scan checks that the bytes are one valid JSON value (RFC 8259, UTF-8) and notes where the
 * parts stand that somebody between client and server may need; nothing is copied and no tree is built. All slices of an
 * envelope point into the scanned bytes; only the method may point elsewhere.
 */
#ifndef WEIR_MESSAGE_H
#define WEIR_MESSAGE_H

#include <stdint.h>

#include "slice.h"

/* Codes of JSON-RPC 2.0 and MCP that weir itself gives or understands. */
enum {
    WEIR_CODE_PARSE_ERROR = -32700,
    WEIR_CODE_INVALID_REQUEST = -32600,
    WEIR_CODE_METHOD_NOT_FOUND = -32601,
    WEIR_CODE_INVALID_PARAMS = -32602,
    WEIR_CODE_INTERNAL = -32603,
    WEIR_CODE_PROXY = -32000,           /* what happened between client and server; data.reason says what */
    WEIR_CODE_HEADER_MISMATCH = -32020, /* 2026-07-28 and later, as the next two */
    WEIR_CODE_MISSING_CAPABILITY = -32021,
    WEIR_CODE_BAD_VERSION = -32022,
};

typedef enum weir_kind {
    WEIR_KIND_NONE,         /* there is no message: a GET or DELETE of the legacy era */
    WEIR_KIND_REQUEST,      /* method and id */
    WEIR_KIND_NOTIFICATION, /* method, no id */
    WEIR_KIND_RESULT,       /* id and result */
    WEIR_KIND_ERROR,        /* error, and an id where it could be read */
    WEIR_KIND_BATCH,        /* a JSON array: only revision 2025-03-26 has these; its elements are not looked into */
} weir_kind_t;

/* What a scan can say of bytes. */
typedef enum weir_scan {
    WEIR_SCAN_OK,
    WEIR_SCAN_NOT_JSON,    /* -32700 */
    WEIR_SCAN_NOT_JSONRPC, /* -32600: JSON, but no JSON-RPC 2.0 message, or one whose id is no string and no number */
    WEIR_SCAN_TOO_DEEP,    /* nested deeper than WEIR_SCAN_DEPTH */
} weir_scan_t;

#define WEIR_SCAN_DEPTH 128

/* Raw slices hold the JSON text as it stands, quotes included, so that it can be put back byte for byte. Text slices hold
 * what stands between the quotes, escapes not resolved (`is_escaped` of the part says whether there are any). An absent
 * part has p == NULL. Duplicate keys: the last one counts, as in JSON.parse. */
typedef struct weir_envelope {
    weir_kind_t kind;
    weir_slice_t id;           /* raw */
    weir_slice_t method;       /* text; one of MCP's stands as its plain name, also where it was written with escapes */
    weir_slice_t params;       /* raw, params of a request or notification */
    weir_slice_t result;       /* raw, result or error of a reply */
    weir_slice_t name;         /* text: params.name, or else params.uri */
    weir_slice_t version;      /* text: params._meta."io.modelcontextprotocol/protocolVersion"; for an `initialize`
                                    without `capabilities` params.protocolVersion; in a result, result.protocolVersion */
    weir_slice_t capabilities; /* raw object: params._meta."io.modelcontextprotocol/clientCapabilities" */
    weir_slice_t meta;         /* raw: params._meta, or result._meta */
    weir_slice_t progress_token; /* raw: params._meta.progressToken; in `notifications/progress` params.progressToken */
    weir_slice_t request_id;     /* raw: params.requestId (of `notifications/cancelled`) */
    weir_slice_t subscription_id; /* raw: _meta."io.modelcontextprotocol/subscriptionId" of params or result */
    weir_slice_t traceparent;     /* text: params._meta.traceparent */
    int32_t error_code;           /* error.code of an error reply, 0 otherwise */
    bool is_method_escaped;
    bool is_name_escaped;
    bool
        has_newline; /* a raw LF or CR stands between tokens: not to be written to a newline-delimited stream as it is */
} weir_envelope_t;

/* A message: its bytes and its envelope. */
typedef struct weir_message {
    weir_slice_t bytes;
    weir_envelope_t envelope;
} weir_message_t;

/* One replacement of an edit: the part `at` of a message (a slice of its bytes) becomes `with`. */
typedef struct weir_edit {
    weir_slice_t at;
    weir_slice_t with;
} weir_edit_t;

#define WEIR_EDITS_MAX 4

#endif
