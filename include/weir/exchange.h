/* exchange.h: what a module sees of an exchange, a link, a server and an upstream.
 *
 * All of these are made and freed by the host. A module reads the members below and writes only those that say so; the host
 * keeps more behind them. One thread: everything here happens on the loop of the process that the callback runs in.
 */
#ifndef WEIR_EXCHANGE_H
#define WEIR_EXCHANGE_H

#include "http.h"
#include "list.h"
#include "message.h"
#include "option.h"

typedef struct weir_exchange weir_exchange_t;
typedef struct weir_link weir_link_t;
typedef struct weir_server weir_server_t;
typedef struct weir_upstream weir_upstream_t;
typedef struct weir_listener weir_listener_t;
typedef struct weir_stream weir_stream_t;

typedef enum weir_era {
    WEIR_ERA_UNKNOWN,
    WEIR_ERA_LEGACY, /* 2024-11-05 to 2025-11-25 */
    WEIR_ERA_MODERN, /* 2026-07-28 and later */
} weir_era_t;

/* What the client asks for. */
typedef enum weir_verb {
    WEIR_VERB_MESSAGE, /* take this message (POST); a request is answered, the others are only accepted */
    WEIR_VERB_LISTEN,  /* open the stream of a legacy session (GET), or resume one after `last_event_id` */
    WEIR_VERB_END,     /* end a legacy session (DELETE) */
} weir_verb_t;

/* Why an exchange failed. Each has one HTTP status, one JSON-RPC code and one word for `data.reason`. */
typedef enum weir_reason {
    WEIR_REASON_NONE,
    WEIR_REASON_BAD_REQUEST,       /* 400 */
    WEIR_REASON_NOT_JSON,          /* 400 -32700 */
    WEIR_REASON_NOT_JSONRPC,       /* 400 -32600 */
    WEIR_REASON_HEADER_MISMATCH,   /* 400 -32020 */
    WEIR_REASON_BAD_PARAMS,        /* 400 -32602: a modern request without the metadata it must carry */
    WEIR_REASON_BAD_VERSION,       /* 400 -32022 */
    WEIR_REASON_SESSION_REQUIRED,  /* 400 -32600: a legacy request without its session */
    WEIR_REASON_NOT_MODERN,        /* 400 -32600: the server speaks the legacy era only; initialize first */
    WEIR_REASON_BAD_ORIGIN,        /* 403 */
    WEIR_REASON_NOT_FOUND,         /* 404: no route */
    WEIR_REASON_SESSION_NOT_FOUND, /* 404 -32600: the token does not open, or what it names is gone */
    WEIR_REASON_BAD_METHOD,        /* 405 */
    WEIR_REASON_REQUEST_TIMEOUT,   /* 408: the client did not finish its request in time */
    WEIR_REASON_TOO_LARGE,         /* 413 */
    WEIR_REASON_BAD_TYPE,          /* 415 */
    WEIR_REASON_HEAD_TOO_LARGE,    /* 431 */
    WEIR_REASON_INTERNAL,          /* 500: out of memory, or a defect; logged */
    WEIR_REASON_CONNECT_FAILED,    /* 502 -32000 */
    WEIR_REASON_BAD_REPLY,         /* 502 -32000 */
    WEIR_REASON_SERVER_DIED,       /* 502 -32000 */
    WEIR_REASON_BREAKER_OPEN,      /* 503 -32000 and Retry-After */
    WEIR_REASON_POOL_FULL,         /* 503 -32000 */
    WEIR_REASON_TIMEOUT,           /* 504 -32000 */
    WEIR_REASON_BAD_HTTP_VERSION,  /* 505 */
    WEIR_REASON_CLIENT_GONE,       /* nobody is left to be told */
    WEIR_REASON_BAD_CODING,        /* 415 and Accept-Encoding: a Content-Encoding that no codec expands */
    WEIR_REASONS
} weir_reason_t;

/* A failure as the accept side has to tell it. `text` lives until the callback that got it returns. */
typedef struct weir_failure {
    weir_reason_t reason;
    uint16_t status;        /* HTTP status */
    int32_t code;           /* JSON-RPC code, 0: no JSON-RPC error */
    const char *word;       /* for data.reason, NULL: none */
    weir_slice_t text;      /* for people: names the thing and the remedy */
    uint32_t retry_after_s; /* 0: no Retry-After */
} weir_failure_t;

/* How an exchange ended, told once to every module of its chain, the counters and the access log. */
typedef struct weir_outcome {
    weir_reason_t reason; /* WEIR_REASON_NONE: answered */
    uint16_t status;      /* HTTP status that the client got, 0: none */
    uint64_t us;          /* microseconds from the first byte of the request to the end */
    uint64_t bytes_in, bytes_out;
    weir_server_t *server; /* it had a link to this one; NULL: none */
    uint64_t server_us;    /* microseconds from having the link to the end; 0: no link, or a stream that only listens */
    bool is_alien;         /* answered by the server, with what is neither JSON nor an event stream */
} weir_outcome_t;

/* Writes members of a JSON object, for /status. */
typedef struct weir_status {
    void (*number)(struct weir_status *s, const char *name, double value);
    void (*text)(struct weir_status *s, const char *name, const char *value);
    /* What follows goes into an object within, until `leave`. */
    void (*enter)(struct weir_status *s, const char *name);
    void (*leave)(struct weir_status *s);
} weir_status_t;

/* The server has failed the exchange; a JSON-RPC error is an answer like any other. */
static inline bool weir_outcome_failed(const weir_outcome_t *outcome)
{
    switch (outcome->reason) {
    case WEIR_REASON_NONE:
        return outcome->is_alien || outcome->status >= 500;
    case WEIR_REASON_CONNECT_FAILED:
    case WEIR_REASON_BAD_REPLY:
    case WEIR_REASON_SERVER_DIED:
    case WEIR_REASON_TIMEOUT:
        return true;
    default:
        return false;
    }
}

/* A piece of memory on its way to a stream. `buf` is the buffer that owns it, or NULL for memory of the caller that is valid
 * only until the call returns (what cannot be written at once is then copied). */
typedef struct weir_buf weir_buf_t;
typedef struct weir_chunk {
    weir_slice_t bytes;
    weir_buf_t *buf;
} weir_chunk_t;

/* A buffer borrowed from the process. It goes back when the last reference is dropped. */
struct weir_buf {
    char *data;
    size_t size; /* room at `data` */
    uint32_t refs;
};

/* The longest principal, in bytes; see `principal` below. */
#define WEIR_PRINCIPAL_MAX 255

#define WEIR_EXCHANGE_MAGIC 0x45584348u
struct weir_exchange {
    uint32_t magic;
    weir_verb_t verb;            /* set by the accept side before exchange_start() */
    weir_era_t era;              /* likewise, when the head says it; otherwise taken from the message */
    const weir_head_t *head;     /* request head, or NULL (stream transports). NULL once the reply has begun */
    weir_message_t message;      /* likewise emptied once the reply has begun; a client's body is never copied */
    weir_slice_t session_token;  /* as the client sent it; set by the accept side */
    weir_slice_t last_event_id;  /* likewise */
    weir_slice_t server_session; /* the server's own session id, to send instead of the client's token; empty: none */
    weir_slice_t session_grant;  /* Mcp-Session-Id to give to the client with the head of this reply; empty: none */
    weir_slice_t peer;           /* the client's address, as text */
    uint16_t reply_status;       /* HTTP status of a final message; 200 unless the binding asks for another */
    bool is_tls;                 /* the client came over TLS */
    bool wants_messages;         /* the accept side, or a module, takes the reply as messages and never as bytes */
    weir_listener_t *listener;
    weir_upstream_t *upstream;  /* after routing */
    weir_link_t *link;          /* after the chain has leased one */
    void *client;               /* the accept side's own; NULL once the client has gone */
    void *carrier;              /* the connect side's own */
    weir_list_t carrier_node;   /* likewise */
    weir_chunk_t body;          /* the message's bytes and the buffer that owns them */
    bool is_watched;            /* a module of the chain looks at messages of the reply: it must come readable */
    weir_slice_t revision;      /* of a client without a head: negotiated in its session, empty: none */
    weir_slice_t authorization; /* of a client without a head: the Authorization it came with, empty: none */
    weir_slice_t host, target;  /* of a client without a head: where it goes */
    bool is_checkup;            /* weir's own question whether the server is well */
    /* Who the client is, as the certificate says that it has shown to a listener with `client_ca`, here or at an edge that this weir
     * believes: a kind, a colon and a name, in printable ASCII, of WEIR_PRINCIPAL_MAX bytes at most. "uri:spiffe://example.org/agent",
     * "dns:agent.example.org", "subject:CN=agent,O=Example"; of a name that is too long for that, "uri-sha256:" and so on, with 64
     * hexadecimal digits. Compare all of it. Empty: nobody in particular; never taken from anything that a client may write itself.
     * Set by the accept side, good to the end of the exchange. */
    weir_slice_t principal;
};

typedef enum weir_link_state {
    WEIR_LINK_CONNECTING, /* asked for, not there yet */
    WEIR_LINK_IDLE,       /* open, carries nothing */
    WEIR_LINK_BUSY,       /* leased to one exchange, or shared by some, or owned by a session */
    WEIR_LINK_DEAD,       /* gone; freed at the end of this turn of the loop */
    WEIR_LINK_LEAVING,    /* finishes what it carries, takes nothing more; its owner has let go of it */
} weir_link_state_t;

#define WEIR_LINK_MAGIC 0x4c494e4bu
struct weir_link {
    uint32_t magic;
    weir_link_state_t state; /* changed by the host alone */
    weir_server_t *server;
    weir_list_t node;   /* the chain's link-owning module's own (pool: idle or busy list) */
    void *carrier;      /* the connect side's own */
    uint32_t exchanges; /* in flight on it */
    bool is_owned;      /* by a legacy session: no other exchange may use it */
    bool is_used;       /* it has carried something: a legacy session must not get it any more (stdio) */
    uint64_t born_ms;   /* loop time at which it opened */
};

#define WEIR_SERVER_MAGIC 0x53525652u
struct weir_server {
    uint32_t magic;
    uint32_t index; /* in its upstream */
    uint32_t weight;
    const char *name; /* "10.0.0.11:3000", or the command's name; made one of its own in its upstream by the host */
    weir_upstream_t *upstream;
    void *options;    /* read by the transport's server option table */
    void *carrier;    /* the connect side's own, made by server_open */
    void *pooled;     /* the link-owning module's own */
    bool is_fallback; /* the upstream's `fallback` names it: it serves while no other may */
};

struct weir_upstream {
    const char *name;
    uint32_t nservers; /* see upstream_server() */
    void *options;     /* read by the transport's upstream option table */
    uint64_t reply_timeout_ms;
    uint64_t buffer_limit;
    bool is_shared;       /* a link carries several exchanges at once (WEIR_CONNECT_STREAM, WEIR_CONNECT_SHARED) */
    uint64_t max_message; /* bytes of one message of a server */
    bool has_lanes;       /* link modules stand in its chain: messages go out through a lane */
    bool is_dear;         /* a link costs a process (WEIR_CONNECT_DEAR) */
    bool is_messages;     /* a link carries messages, not whole exchanges (WEIR_CONNECT_STREAM) */
};

#endif
