/* http.h: the head of an HTTP/1.1 message (RFC 9112) and the field names weir itself has to know (RFC 9110, MCP). */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <stdint.h>

#include "slice.h"

/* Fields that somebody in weir acts on; all others are WEIR_FIELD_OTHER and pass. */
typedef enum weir_field_id {
    WEIR_FIELD_OTHER,
    WEIR_FIELD_ACCEPT,
    WEIR_FIELD_ACCEPT_ENCODING,
    WEIR_FIELD_AUTHORIZATION,
    WEIR_FIELD_CACHE_CONTROL,
    WEIR_FIELD_CONNECTION,
    WEIR_FIELD_CONTENT_ENCODING,
    WEIR_FIELD_CONTENT_LENGTH,
    WEIR_FIELD_CONTENT_TYPE,
    WEIR_FIELD_DATE,
    WEIR_FIELD_ETAG,
    WEIR_FIELD_EXPECT,
    WEIR_FIELD_FORWARDED,
    WEIR_FIELD_HOST,
    WEIR_FIELD_KEEP_ALIVE,
    WEIR_FIELD_LAST_EVENT_ID,
    WEIR_FIELD_MCP_METHOD,
    WEIR_FIELD_MCP_NAME,
    WEIR_FIELD_MCP_PROTOCOL_VERSION,
    WEIR_FIELD_MCP_SESSION_ID,
    WEIR_FIELD_ORIGIN,
    WEIR_FIELD_PROXY_AUTHENTICATE,
    WEIR_FIELD_PROXY_AUTHORIZATION,
    WEIR_FIELD_PROXY_CONNECTION,
    WEIR_FIELD_RETRY_AFTER,
    WEIR_FIELD_SERVER,
    WEIR_FIELD_TE,
    WEIR_FIELD_TRACEPARENT,
    WEIR_FIELD_TRAILER,
    WEIR_FIELD_TRANSFER_ENCODING,
    WEIR_FIELD_UPGRADE,
    WEIR_FIELD_VARY,
    WEIR_FIELD_VIA,
    WEIR_FIELD_X_FORWARDED_FOR,
    WEIR_FIELD_X_FORWARDED_HOST,
    WEIR_FIELD_X_FORWARDED_PROTO,
    WEIR_FIELDS_KNOWN
} weir_field_id_t;

typedef struct weir_field {
    weir_slice_t name, value; /* value without leading and trailing white space */
    weir_field_id_t id;
} weir_field_t;

#define WEIR_FIELDS_MAX 96

/* A parsed head. Slices point into the bytes that were parsed. */
typedef struct weir_head {
    weir_slice_t method, target; /* of a request */
    weir_slice_t reason;         /* of a reply */
    uint16_t status;             /* of a reply: 100 … 599 */
    uint8_t minor;               /* HTTP/1.minor */
    bool is_chunked;             /* the body has the chunked coding, and nothing else */
    bool is_keep_alive;          /* the connection may be used again (version and Connection taken together) */
    bool is_upgrade;             /* Connection: upgrade with an Upgrade field */
    bool expects_continue;       /* Expect: 100-continue */
    int64_t content_length;      /* -1 when there is none */
    uint16_t nfields;
    int16_t known[WEIR_FIELDS_KNOWN]; /* index of the first field with that id, -1 when absent */
    weir_field_t fields[WEIR_FIELDS_MAX];
} weir_head_t;

/* The parts of `http://host:port/path?query`; all slices point into the text. */
typedef struct weir_url {
    bool is_tls;
    weir_slice_t host;      /* without brackets; "unix:/path" for a Unix socket: http://unix:/path:/target */
    weir_slice_t authority; /* as Host wants it: brackets and port as they stand; "localhost" for a Unix socket */
    weir_slice_t target;    /* path and query; "/" when the URL ends before it */
    uint16_t port;
} weir_url_t;

/* What parsing says. Each is a different answer to the peer. */
typedef enum weir_parse {
    WEIR_PARSE_DONE, /* a whole head: `*used` bytes of it */
    WEIR_PARSE_MORE, /* a good beginning */
    WEIR_PARSE_BAD,  /* 400: not HTTP, or ambiguous framing (RFC 9112 6.3: both lengths, lengths that differ, unknown
                             transfer coding), bare CR, NUL, obsolete folding, space before the colon */
    WEIR_PARSE_TOO_LARGE, /* 431: more than WEIR_FIELDS_MAX fields */
    WEIR_PARSE_VERSION,   /* 505: not HTTP/1.0 or HTTP/1.1 */
} weir_parse_t;

/* The decoder of a chunked body (RFC 9112 7.1). Zeroed before use. Extensions and trailers are read over. */
typedef struct weir_chunked {
    uint64_t left;     /* data bytes left in the chunk at hand */
    uint8_t state;     /* private */
    uint8_t is_done;   /* the last chunk and its trailers have been read */
    uint16_t overhead; /* bytes of the size line or trailer at hand, bounded so that a peer cannot send them for ever */
} weir_chunked_t;

/* A server-sent event. */
typedef struct weir_event {
    weir_slice_t name; /* empty: "message" */
    weir_slice_t data; /* lines joined by LF */
    weir_slice_t id;   /* when has_id */
    bool has_id;
    bool has_data;
} weir_event_t;

/* A reader of them. */
typedef struct weir_events weir_events_t;

/* What is done with an event; false stops the reading. All slices are good until it returns. */
typedef bool (*weir_event_fn)(void *owner, const weir_event_t *event);

static inline const weir_field_t *weir_head_field(const weir_head_t *head, weir_field_id_t id)
{
    return head->known[id] < 0 ? NULL : &head->fields[head->known[id]];
}

static inline weir_slice_t weir_head_value(const weir_head_t *head, weir_field_id_t id)
{
    return head->known[id] < 0 ? (weir_slice_t){NULL, 0} : head->fields[head->known[id]].value;
}

#endif
