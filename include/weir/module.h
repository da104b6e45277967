/* module.h: the ABI between weir and its modules. The only other headers a module may include are its neighbours here.
 *
 * A module is one shared object that exports one symbol, `const weir_module_t weir_module`, and links against nothing of
 * weir; what the host offers arrives as a table of functions. Tables grow at the end only.
 *
 * Rules: never block; one thread; memory from the exchange's arena or your own, freed in `destroy`; a borrowed slice is valid
 * until the callback returns; a hold is followed by exactly one resume or fail.
 *
 *   ABI 0.1   transports (accept, connect), exchange modules, link ownership
 *   ABI 0.2   codecs, lanes and link modules; shared memory and counters, admission to servers, commands of
 *             operators, balancers, figures; postboxes, events; content codings
 */
#ifndef WEIR_MODULE_H
#define WEIR_MODULE_H

#include "balancer.h"
#include "codec.h"
#include "coding.h"
#include "error.h"
#include "exchange.h"
#include "figure.h"
#include "framing.h"
#include "lane.h"
#include "postbox.h"
#include "reach.h"

#define WEIR_MODULE_MAGIC 0x57454952u /* "WEIR" */
#define WEIR_ABI_MAJOR 0
#define WEIR_ABI_MINOR 2

typedef enum weir_level {
    WEIR_LOG_ERROR,
    WEIR_LOG_WARN,
    WEIR_LOG_NOTICE,
    WEIR_LOG_INFO,
    WEIR_LOG_DEBUG,
} weir_level_t;

/* A timer. The owner embeds it, zeroed, sets `fire` and `arg`, and clears it before its memory goes. */
typedef struct weir_timer {
    weir_list_t node;
    uint64_t deadline_ms;
    void (*fire)(void *arg);
    void *arg;
} weir_timer_t;

/* All timers of one duration: starting and refreshing one is O(1). Owned by the host, lives as long as the process. */
typedef struct weir_timeouts weir_timeouts_t;

/* What a stream tells its owner. All of them may close the stream. */
typedef struct weir_stream_events {
    void (*connected)(void *owner); /* of stream_connect: the connection, and TLS on it, stand */
    void (*readable)(void *owner);  /* there is something to read, or the end */
    void (*drained)(void *owner);   /* the write queue fell below the low-water mark after WEIR_EFULL */
    void (*broken)(void *owner, const char *why);
} weir_stream_events_t;

/* A child process that stands behind a stdio link. */
typedef struct weir_child weir_child_t;
typedef struct weir_child_spec {
    const char *name; /* for the log: upstream and number */
    weir_strings_t command;
    weir_map_t env;                     /* added to weir's own environment */
    const char *cwd;                    /* NULL: weir's */
    const char *user;                   /* NULL: weir's */
    uint64_t limit_memory;              /* RLIMIT_AS in bytes, 0: none */
    uint64_t limit_files;               /* RLIMIT_NOFILE, 0: none */
    uint64_t limit_cpu_s;               /* RLIMIT_CPU in seconds, 0: none */
    uint64_t stop_timeout_ms;           /* between closing stdin, TERM and KILL */
    const weir_stream_events_t *events; /* of the stream over its stdin and stdout */
    /* It has gone, with all that it started, or could not be started; nothing follows. "exited with status 1", "killed by signal
     * 9 (SIGKILL)", "cannot run node: No such file or directory". What it wrote before may still wait in the stream. */
    void (*exited)(void *owner, const char *how);
    void (*started)(void *owner); /* the command runs */
} weir_child_spec_t;

/* A client on a stream transport, from the host's side: its messages become exchanges, what answers them messages again. The transport
 * only frames. */
typedef struct weir_client weir_client_t;

/* What is known of a client when it comes. All slices are copied. */
typedef struct weir_client_intro {
    weir_slice_t peer;          /* its address as text */
    weir_slice_t host, target;  /* what routes look at; an empty target is "/" */
    weir_slice_t authorization; /* goes to servers over HTTP; empty: none */
    bool is_tls;
    weir_slice_t principal; /* of its certificate (stream_principal); empty: nobody in particular */
} weir_client_intro_t;

/* What the host wants of the transport. `owner` is what it gave to client_new(). */
typedef struct weir_client_events {
    /* Write one message, made of parts. WEIR_EFULL: the client is full, client_drained() follows when it takes bytes again. */
    int (*write)(void *owner, const weir_chunk_t *parts, size_t n);
    /* Too much is in flight: hand in no message, and go on again. */
    void (*pause)(void *owner, bool is_paused);
    /* The conversation is over: write what is queued, close, and call client_gone() now or later. */
    void (*end)(void *owner, const char *why);
} weir_client_events_t;

/* The host's: what is known of a message that is skipped. */
typedef struct weir_lost {
    uint32_t depth;
    bool is_string, is_escaped, is_value, is_id, is_answer;
    uint8_t key_n, id_n;
    char key[8], id[20];
} weir_lost_t;

/* The bytes of a stream, cut into lines. Zeroed at first; owns a buffer only while a line is incomplete. */
typedef struct weir_lines {
    weir_buf_t *buf;
    size_t filled;    /* bytes in the buffer */
    size_t scanned;   /* of them, without a line's end */
    bool is_skipping; /* the rest of a line that is too long */
    weir_lost_t lost;
} weir_lines_t;

/* What one look at the buffer found. */
typedef enum weir_lines_found {
    WEIR_LINES_MORE,     /* no whole line: read again later */
    WEIR_LINES_LINE,     /* a line, in lines->buf until the next call; without its LF or CRLF */
    WEIR_LINES_TOO_LONG, /* a line beyond max_message began; told once, its rest is read over */
    WEIR_LINES_LOST,     /* its end: it was the answer to the request whose raw id is `line` */
} weir_lines_found_t;

/* What a listener's HTTP transports ask of Host and Origin; two options of each of them. */
typedef struct weir_guard {
    weir_strings_t allowed_origins, allowed_hosts;
} weir_guard_t;

/* Counters in shared memory: every process has a cell of its own and is its only writer, readers add the cells up. Gauges, which go
 * up and down, count for as long as their process lives; what only grows outlives it. */
typedef struct weir_counters {
    int64_t *mine; /* of this process: the gauges, then those that grow. Change them by += and -= */
    uint32_t ngauges, ngrowing;
    void *cells; /* the host's */
    uint32_t ncells;
} weir_counters_t;

/* The host's functions. Valid as long as the process. Functions that take a weir_error_t accept NULL for it. */
typedef struct weir_host {
    uint16_t abi_major, abi_minor;
    uint32_t size; /* sizeof(weir_host_t) of the host */

    /* Time and log. `now_ms` is the loop's monotonic time, cached per turn. A log line is one sentence that names the thing,
     * what happened and what the operator can turn; the host adds time, level and process. */
    uint64_t (*now_ms)(void);
    void (*log)(weir_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));
    weir_timeouts_t *(*timeouts)(uint64_t duration_ms);
    void (*timer_start)(weir_timeouts_t *queue, weir_timer_t *timer); /* or start it again */
    void (*timer_stop)(weir_timer_t *timer);                          /* harmless when it is not running */

    /* Buffers. buf_new(0) gives one of the standard size (16 KiB); NULL when there is no memory. */
    weir_buf_t *(*buf_new)(size_t size);
    void (*buf_ref)(weir_buf_t *buf);
    void (*buf_unref)(weir_buf_t *buf); /* NULL is fine */

    /* Byte streams: TCP, Unix sockets, TLS over either, pipes of a child. Read returns the number of bytes, 0 at the end,
     * WEIR_EAGAIN or WEIR_EFAIL. Write takes everything: what the kernel does not take now is queued. It returns WEIR_OK,
     * WEIR_EFULL when the queue has passed the high-water mark (wait for `drained`), or WEIR_ECLOSED. stream_close drops what
     * is queued; stream_finish closes after the queue has been written. After either the stream is no longer yours. */
    long (*stream_read)(weir_stream_t *s, char *p, size_t n);
    int (*stream_write)(weir_stream_t *s, const weir_chunk_t *chunks, size_t n);
    void (*stream_pause)(weir_stream_t *s, bool is_paused); /* stop and go on asking for `readable` */
    void (*stream_own)(weir_stream_t *s, const weir_stream_events_t *events, void *owner);
    void (*stream_limit)(weir_stream_t *s, uint64_t buffer_limit, uint64_t send_timeout_ms);
    void (*stream_close)(weir_stream_t *s);
    void (*stream_finish)(weir_stream_t *s);
    weir_slice_t (*stream_peer)(const weir_stream_t *s); /* the other end's address as text, without the port */
    bool (*stream_is_tls)(const weir_stream_t *s);
    weir_stream_t *(*stream_connect)(weir_link_t *link, const weir_stream_events_t *events, void *owner,
                                     weir_error_t *err);

    /* Where stream_connect() goes: host and port by name or number, or unix:/path, and TLS over it. Given once per server; the
     * name is resolved again when its addresses have grown old, without blocking. */
    int (*server_address)(weir_server_t *server, weir_slice_t host, uint16_t port, bool is_tls,
                          const weir_reach_t *reach, weir_error_t *err);

    /* The HTTP/1 codec; see http.h for what the results mean. `seen` is how many of the n bytes an earlier call has seen. */
    weir_parse_t (*http_request)(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);
    weir_parse_t (*http_reply)(const char *p, size_t n, size_t seen, weir_head_t *head, size_t *used);
    int (*http_chunked)(weir_chunked_t *c, const char *p, size_t n, size_t *used, weir_slice_t *data);
    const char *(*http_reason)(uint16_t status); /* the phrase: "Not Found" */
    const char *(*http_date)(void);              /* Date's value, 29 bytes, made once a second */

    /* JSON-RPC. */
    weir_scan_t (*message_scan)(weir_slice_t bytes, weir_envelope_t *envelope);
    size_t (*message_error)(char *p, size_t n, weir_slice_t raw_id, int code, weir_slice_t text, weir_slice_t reason);

    /* The accept side's way in. exchange_new gives a zeroed exchange of the listener; exchange_start routes it and passes it
     * down the chain, and may call the accept side back before it returns. exchange_abandon: the client has gone; no callback
     * follows. exchange_refuse fails an exchange that never started (a head that cannot be parsed), so that it is logged and
     * answered like any other. exchange_drained: the client takes bytes again after a reply call returned WEIR_EFULL. */
    weir_exchange_t *(*exchange_new)(weir_listener_t *listener, void *client);
    void (*exchange_start)(weir_exchange_t *ex);
    void (*exchange_refuse)(weir_exchange_t *ex, weir_reason_t reason, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    void (*exchange_abandon)(weir_exchange_t *ex);
    void (*exchange_drained)(weir_exchange_t *ex);
    void (*exchange_sent)(weir_exchange_t *ex, uint64_t bytes); /* counts bytes that went to the client */
    void *(*exchange_alloc)(weir_exchange_t *ex, size_t n);     /* from its arena; NULL when there is no memory */

    /* For exchange modules. weir_hold: see `request` below. */
    int (*exchange_hold)(weir_exchange_t *ex, uint64_t timeout_ms);
    int (*exchange_resume)(weir_exchange_t *ex);
    void (*exchange_fail)(weir_exchange_t *ex, weir_reason_t reason, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    /* Answer instead of the server: one JSON-RPC message that carries the request's id. Copied. */
    void (*exchange_answer)(weir_exchange_t *ex, uint16_t status, weir_slice_t message);

    /* For the module that owns the links. upstream_server: 0 … nservers-1. link_open starts one and tells `link` of it later. exchange_lease binds an exchange
     * to a link that is IDLE, or BUSY and shared. link_close ends one (its exchanges fail with `reason`). */
    weir_server_t *(*upstream_server)(weir_upstream_t *upstream, uint32_t index);
    weir_link_t *(*link_open)(weir_server_t *server, weir_error_t *err);
    void (*link_close)(weir_link_t *link, weir_reason_t reason, const char *why);
    int (*exchange_lease)(weir_exchange_t *ex, weir_link_t *link);
    bool (*exchange_wants_own_link)(const weir_exchange_t *ex);   /* begins a legacy session on a stream transport */
    weir_server_t *(*exchange_server)(const weir_exchange_t *ex); /* that its session is bound to, or NULL: any */

    /* The connect side's way back. link_up: it can carry. link_down: it is gone, or could not be opened; its exchanges fail
     * with `reason`, or, when that is WEIR_REASON_NONE, go to another link, for the server has seen nothing of them.
     * link_free_again: a link that carries one exchange at a time has finished it and may be leased again. */
    void (*link_up)(weir_link_t *link);
    void (*link_down)(weir_link_t *link, weir_reason_t reason, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    void (*link_free_again)(weir_link_t *link);
    /* A reply as bytes: head, then body in pieces, then the end. WEIR_EFULL: stop reading until `resume`. An accept side may
     * hold a head back for the bytes that follow it; a connect side that has none in this turn says so with reply_bytes() of
     * no chunks, and the head goes out alone. */
    int (*reply_head)(weir_exchange_t *ex, const weir_head_t *head);
    int (*reply_bytes)(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n);
    void (*reply_end)(weir_exchange_t *ex);
    /* A message that arrived on a link of a stream transport: scanned, matched and routed by the host. The bytes are the
     * transport's until the call returns. */
    int (*link_message)(weir_link_t *link, weir_slice_t bytes);

    /* Children (connect sides of stdio kind). The stream's events go to `owner`, who closes the stream. child_stop ends the
     * child and forgets the owner: finish the stream first, which closes its stdin; it gets TERM after stop_timeout, and KILL
     * after another. It is reaped by the host. child_pid is 0 until it runs. Where there is no child there is no stream. */
    weir_child_t *(*child_start)(const weir_child_spec_t *spec, void *owner, weir_stream_t **stream, weir_error_t *err);
    void (*child_stop)(weir_child_t *child);
    long (*child_pid)(const weir_child_t *child);

    /* Of a listener: whether all its addresses are loopback or Unix ones. */
    bool (*listener_is_loopback)(const weir_listener_t *listener);

    /* Fire at the end of this turn of the loop: for what must not happen inside the callback that asks for it. */
    void (*timer_at_turn_end)(weir_timer_t *timer);

    /* The text that a text slice of an envelope stands for when its `is_…_escaped` is set: `out` has room for text.n bytes.
     * Returns its length. Who compares names must compare these, or a client gets past with "\u0065cho". */
    size_t (*text_unescape)(weir_slice_t text, char *out);

    /* Memory that is one for all processes, whatever configuration they have: zeroed when the first asks for it, the same for each
     * that asks with the same names and size, kept as long as the master. Use C11 atomics in it. `server` NULL: of the upstream.
     * In a trial it is memory of the process itself. NULL, or WEIR_EFAIL, when there is no room. */
    void *(*shared)(weir_upstream_t *upstream, const weir_server_t *server, const char *module, size_t size,
                    weir_error_t *err);
    int (*counters)(weir_counters_t *counters, weir_upstream_t *upstream, const weir_server_t *server,
                    const char *module, uint32_t ngauges, uint32_t ngrowing, weir_error_t *err);
    void (*counters_sum)(const weir_counters_t *counters, int64_t *sum); /* `sum` has room for all of them */

    /* For the module that owns the links: ask the others of the chain whether a server may be used. With an exchange: it goes there,
     * unless one of them says no; asked again about another server, it goes to that one instead. Without one (NULL): whether an
     * exchange would be let through, and a link is worth opening. When none of the servers may be used, the exchange fails with
     * WEIR_REASON_BREAKER_OPEN. */
    bool (*server_admits)(weir_server_t *server, weir_exchange_t *ex);
    /* When an exchange that is refused may come again: the earliest of all answers is told to the client (Retry-After). */
    void (*exchange_retry_after)(weir_exchange_t *ex, uint64_t ms);
    /* The balancer of a loaded module; NULL when there is no such module, or it has none. */
    const weir_balancer_t *(*balancer)(const char *name);
    /* Ask the server on a link that is IDLE, or BUSY and shared, whether it is well. `done` is called once, also from inside of this
     * call, unless it returns WEIR_EFAIL; a `why` of NULL means that the link was closed before anything was found out. A link of
     * whole exchanges is BUSY meanwhile, with an exchange of weir's own that passes no chain, and FREE or DOWN after; a link of
     * messages stays as it is. */
    int (*link_check)(weir_link_t *link, uint64_t timeout_ms, void (*done)(void *arg, bool is_well, const char *why),
                      void *arg);

    /* The accept side of stream transports. client_message: one whole message; `buf` (may be NULL) is referenced while it is needed,
     * without one the bytes must stay until the call returns and are copied where they are kept longer. It may call `write`, `pause` and
     * `end` before it returns. client_gone: the connection has ended; nothing is called any more. */
    weir_client_t *(*client_new)(weir_listener_t *listener, const weir_client_intro_t *intro,
                                 const weir_client_events_t *events, void *owner);
    void (*client_message)(weir_client_t *client, const weir_chunk_t *message);
    void (*client_drained)(weir_client_t *client);
    void (*client_gone)(weir_client_t *client);

    /* Lines. lines_room: where to read to, an empty slice when there is no memory; lines_filled: how much was read there; lines_next: the
     * next line from `*at` on, which begins at 0 after every read. */
    weir_slice_t (*lines_room)(weir_lines_t *lines);
    void (*lines_filled)(weir_lines_t *lines, size_t n);
    weir_lines_found_t (*lines_next)(weir_lines_t *lines, size_t *at, uint64_t max_message, weir_slice_t *line);
    void (*lines_free)(weir_lines_t *lines);

    /* Clients whose messages stand on a stream, by a framing of the transport's or of the host's: one message a line. */
    const weir_framing_t *framing_lines;
    void (*stream_client_open)(weir_stream_clients_t *all, weir_stream_t *stream);
    void (*stream_clients_close)(weir_stream_clients_t *all);

    /* Of a listener that serves the client which started weir: it has gone, and weir ends when what is under way is done. */
    void (*listener_over)(weir_listener_t *listener);

    /* A port that several transports share: whoever reads a head offers it to the others (see `adopt`). True: the stream is theirs. */
    bool (*listener_is_shared)(const weir_listener_t *listener);
    bool (*listener_offer)(weir_listener_t *listener, weir_stream_t *stream, const weir_head_t *head,
                           weir_slice_t bytes, size_t head_n);
    /* Whether a route of the listener leads anywhere from a host and a target ("/mcp?x"). */
    bool (*listener_leads)(const weir_listener_t *listener, weir_slice_t host, weir_slice_t target);

    /* HTTP's addresses, and who may come by it (against DNS rebinding): WEIR_REASON_NONE, or why not, told in `err`. */
    int (*url_parse)(const char *text, weir_url_t *url, weir_error_t *err);
    weir_reason_t (*guard_host)(const weir_listener_t *listener, const weir_guard_t *guard, const weir_head_t *head,
                                weir_error_t *err);
    weir_reason_t (*guard_origin)(const weir_guard_t *guard, const weir_head_t *head, weir_error_t *err);

    /* Values of fields that mirror a part of the message (Mcp-Name, Mcp-Param-*), which stand there as they are or as Base64
     * between =?base64? and ?=. Decode: `value` becomes what it says; WEIR_EFAIL when it has characters that no field may hold,
     * or Base64 that is none. Encode: `text` becomes the value. What has to be made lives in the exchange's arena. */
    int (*mirrored_decode)(weir_exchange_t *ex, weir_slice_t *value);
    int (*mirrored_encode)(weir_exchange_t *ex, weir_slice_t *text);

    /* Codecs of the modules that are loaded: by name, and by the first bytes of what is to be expanded. NULL: there is none. */
    const weir_codec_t *(*codec)(const char *name);
    const weir_codec_t *(*codec_of)(weir_slice_t begin);

    /* Lanes; see lane.h. lane_new: NULL with the reason. lane_free drops what is gathered: flush it first where it is still to be
     * written. lane_write: one message, with a tag for the joiner (mux: its channel); results as of stream_write. lane_drained: the
     * stream takes bytes again after WEIR_EFULL. lane_read: the payload of one frame, whose buffer is referenced as long as it is
     * needed (NULL: it stays until lane_next has said WEIR_EAGAIN); then lane_next: the next message of it, good until the next call,
     * or WEIR_EAGAIN when there is none left. WEIR_EFAIL of either: what came is broken, and nothing more of it follows. */
    weir_lane_t *(*lane_new)(const weir_lane_spec_t *spec, weir_error_t *err);
    void (*lane_free)(weir_lane_t *lane); /* NULL is fine */
    int (*lane_write)(weir_lane_t *lane, const weir_chunk_t *parts, size_t n, uint64_t tag);
    int (*lane_flush)(weir_lane_t *lane, weir_flush_t why);
    void (*lane_drained)(weir_lane_t *lane);
    int (*lane_read)(weir_lane_t *lane, const weir_chunk_t *payload, weir_error_t *err);
    int (*lane_next)(weir_lane_t *lane, weir_chunk_t *message, uint64_t *tag, weir_error_t *err);
    const weir_joiner_t *(*joiner)(weir_join_t kind);

    /* Of a stream whose end has been read, or that broke: whether the other end closed before any byte came to it that was
     * written after stream_taken() was `mark`. True is certain; false may only mean that nobody knows. */
    uint64_t (*stream_taken)(const weir_stream_t *s);
    bool (*stream_is_untaken)(const weir_stream_t *s, uint64_t mark);

    /* An answer on a link of a stream transport was too long to be read; the raw id is that of its request. */
    void (*link_lost)(weir_link_t *link, weir_slice_t id);

    /* The link takes no more exchanges: its owner is told DOWN, those on it go on, and it closes with the last of them. */
    void (*link_retire)(weir_link_t *link, const char *why);

    /* Postboxes; see postbox.h. postbox_open: NULL when there is no memory or a bound is reached; the client came by this listener
     * with this Authorization and this principal (empty: none), and so must whoever posts. The address is the box's as long as it is open. post_send:
     * `done` follows once, maybe before it returns; the message is needed until then at the longest. */
    weir_postbox_t *(*postbox_open)(weir_listener_t *listener, weir_slice_t authorization, weir_slice_t principal,
                                    weir_postbox_take_fn take, void *owner);
    weir_slice_t (*postbox_address)(const weir_postbox_t *box);
    void (*postbox_close)(weir_postbox_t *box); /* NULL is fine */
    void (*post_send)(weir_post_t *post, weir_listener_t *listener, weir_slice_t address, weir_slice_t authorization,
                      weir_slice_t principal, const weir_chunk_t *message);
    void (*post_forget)(weir_post_t *post);

    /* From now on small writes of one turn of the loop leave together at its end: for streams that carry many messages. */
    void (*stream_gather)(weir_stream_t *s);

    /* Counters of a link module, as of `counters`; `where` is what its `create` was told. `own` has room for all of them, and is where
     * they are in a process without shared memory. */
    int (*link_counters)(weir_counters_t *counters, int64_t *own, const char *where, const char *module,
                         uint32_t ngauges, uint32_t ngrowing, weir_error_t *err);

    /* A request was not taken by the server; the raw id is the one that it went out with. The link may be gone when it returns. */
    void (*link_refused)(weir_link_t *link, weir_slice_t id, weir_reason_t reason, const char *why);

    /* What a reference (RFC 3986 5.2) that a server gives means, seen from a URL of its own: the target of a request, written to `room`
     * of `size` bytes. WEIR_EFAIL when it is none, leads to another origin, or is too long. */
    int (*url_resolve)(const weir_url_t *base, weir_slice_t reference, char *room, size_t size, weir_slice_t *target,
                       weir_error_t *err);

    /* Server-sent events, cut out of bytes as they come. events_new: no event may be larger than limit; NULL when there is no memory.
     * events_read: WEIR_OK, WEIR_ECLOSED when `take` said so (the reader may be gone by then), WEIR_EFULL when one is too large. */
    weir_events_t *(*events_new)(size_t limit);
    void (*events_free)(weir_events_t *events); /* NULL is fine */
    int (*events_read)(weir_events_t *events, weir_slice_t bytes, weir_event_fn take, void *owner);

    /* Codecs that are loaded, in the order of their modules' names, from 0; NULL: there are no more. */
    const weir_codec_t *(*codec_at)(uint32_t index);

    /* Content codings (coding.h). What the chain of a listener, or of an upstream, offers; NULL: nothing. coding_of: the codec that
     * expands what a Content-Encoding names; NULL: none that is loaded does. coding_names: all that can be expanded, "gzip, zstd",
     * as Accept-Encoding says it; returns the length, 0: none.
     * coding_choose: the one for whoever sent a head, by its Accept-Encoding (RFC 9110 12.5.3); NULL: as it is. `is_needed`: it
     * does not take a body as it is, however small. */
    const weir_codings_t *(*listener_codings)(const weir_listener_t *listener);
    const weir_codings_t *(*upstream_codings)(const weir_upstream_t *upstream);
    const weir_codec_t *(*coding_of)(weir_slice_t name);
    size_t (*coding_names)(char *p, size_t n);
    const weir_coding_t *(*coding_choose)(const weir_codings_t *codings, const weir_head_t *head, bool *is_needed);

    /* A body on its way out. `is_stream`: it may stay open for hours. encoder_new: NULL when it has to go as it is. encode: take all
     * that is given and write what comes out of it to `out`, whose buffer is the caller's to give back (and which is empty when
     * nothing does); WEIR_EFAIL: the body cannot be told any further. */
    weir_encoder_t *(*encoder_new)(const weir_codings_t *codings, const weir_coding_t *coding, bool is_stream);
    int (*encode)(weir_encoder_t *encoder, const weir_chunk_t *chunks, size_t n, weir_pack_t how, weir_chunk_t *out);
    void (*encoder_free)(weir_encoder_t *encoder); /* NULL is fine */

    /* Expand a whole body: WEIR_EFULL when it holds more than `limit` (and it costs no more memory than that), WEIR_EFAIL when it is
     * broken. `out` gets a buffer of its own, which the caller gives back. Counted where `codings` (NULL: nowhere) are. */
    int (*decode)(const weir_codings_t *codings, const weir_codec_t *codec, weir_slice_t body, uint64_t limit,
                  weir_chunk_t *out, weir_error_t *err);

    /* Counters of a transport, as of `counters`, for what clients do; `own` as with link_counters. */
    int (*listener_counters)(weir_counters_t *counters, int64_t *own, const weir_listener_t *listener,
                             const char *module, uint32_t ngauges, uint32_t ngrowing, weir_error_t *err);

    /* Bytes that were written to a stream, of which the kernel has those up to stream_taken(): what was written after it said N has
     * not left while stream_taken() is no more than N, and does not leave once the stream is closed. */
    uint64_t (*stream_written)(const weir_stream_t *s);

    /* Who the client at the other end of an accepted stream is, as its certificate says; see `principal` of weir_exchange_t. Known from
     * the first `readable` on; empty: it had to show none. Good as long as the stream. */
    weir_slice_t (*stream_principal)(const weir_stream_t *s);
} weir_host_t;

/* The head of a reply to the client. */
typedef struct weir_reply {
    uint16_t status;
    const weir_head_t *head;    /* the server's, or NULL when weir itself answers */
    weir_slice_t session_token; /* Mcp-Session-Id to give (session_grant of the exchange), or empty */
    weir_slice_t content_type;  /* when head is NULL */
    int64_t content_length;     /* -1: unknown; the body ends with reply_end */
    bool has_body;              /* false: HEAD, 204, 304, and 202 without one */
    bool is_decoded;            /* the content coding that the head names has been taken off the body */
} weir_reply_t;

/* A transport's accept side. Reply calls return WEIR_OK, or WEIR_EFULL when the client's buffer has passed its high-water
 * mark; then exchange_drained() must follow once it fell below the low one. */
typedef struct weir_accept {
    const weir_option_t *options; /* of a listener */
    size_t options_size;
    void *(*create)(const weir_host_t *host, weir_listener_t *listener, const void *options, weir_error_t *err);
    void (*destroy)(void *self);
    /* A client has connected. The stream is the transport's from now on. */
    void (*open)(void *self, weir_stream_t *stream);
    /* Finish what is under way, take nothing new, let idle clients go in their own time; at `now` cut what is left. */
    void (*drain)(void *self, bool now);
    size_t (*clients)(void *self); /* connections that are open */
    int (*reply_head)(weir_exchange_t *ex, const weir_reply_t *reply);
    int (*reply_bytes)(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n);
    /* One message: the answer (is_final), or one before it. event_id is empty when it cannot be resumed. */
    int (*reply_message)(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id,
                         bool is_final);
    void (*reply_end)(weir_exchange_t *ex);                           /* the last call when the exchange was answered */
    void (*fail)(weir_exchange_t *ex, const weir_failure_t *failure); /* the last call when it was not */
    /* Another transport of this port has read a request's head: when it asks for this one, take the stream over and say true. `bytes`
     * begins with the head (head_n of them) and what was read behind it; both are good until the call returns. NULL: this transport
     * shares its port with nobody. */
    bool (*adopt)(void *self, weir_stream_t *stream, const weir_head_t *head, weir_slice_t bytes, size_t head_n);
    /* Which link modules may stand in the listener's chain: those of its lanes (WEIR_LINK_GATHERS, WEIR_LINK_PACKS), of its bodies
     * (WEIR_LINK_ENCODES). `why_not` says why the others may not, or where they belong. NULL: none. */
    uint32_t (*link_modules)(const void *options, const char **why_not);
    /* What it counts, for /status, where it stands by the transport's name. NULL, or nothing told: it is not there. */
    void (*status)(void *self, weir_status_t *status);
} weir_accept_t;

#define WEIR_CONNECT_EXCHANGES 0x1u /* a link carries whole exchanges, one at a time (`send`) */
#define WEIR_CONNECT_STREAM 0x2u    /* a link carries messages both ways (`write`, link_message) */
#define WEIR_CONNECT_KEPT 0x4u      /* its links live in a keeper and outlive workers */
#define WEIR_CONNECT_SHARED 0x8u    /* with EXCHANGES: many at a time */
#define WEIR_CONNECT_DEAR 0x10u     /* a link costs a process: none is opened for nobody */

/* A transport's connect side. */
typedef struct weir_connect {
    uint32_t flags;
    const weir_option_t *upstream_options;
    size_t upstream_options_size;
    const weir_option_t *server_options; /* NULL: the upstream is its own one server */
    size_t server_options_size;
    int (*server_open)(const weir_host_t *host, weir_server_t *server, weir_error_t *err); /* sets name and carrier */
    void (*server_close)(weir_server_t *server);
    int (*open)(weir_link_t *link, weir_error_t *err); /* then link_up or link_down, not before it returns */
    void (*close)(weir_link_t *link);                  /* free `carrier`; no callback follows */
    int (*send)(weir_link_t *link, weir_exchange_t *ex);
    int (*write)(weir_link_t *link, const weir_chunk_t *parts, size_t n); /* one message; WEIR_EFULL as streams say */
    /* WEIR_CONNECT_EXCHANGES: nobody waits for this reply any more. (Who writes messages is given one that says so.) */
    void (*abandon)(weir_link_t *link, weir_exchange_t *ex);
    void (*pause)(weir_link_t *link, bool is_paused);                             /* stop and go on reading replies */
    uint32_t (*link_modules)(const void *upstream_options, const char **why_not); /* as of weir_accept_t */
    /* The connect side that these options ask for, which has the same options; NULL: this one, whatever they say. */
    const struct weir_connect *(*variant)(const void *upstream_options);
    /* WEIR_CONNECT_SHARED, instead of `pause`: the client of this one exchange is full, or takes bytes again. */
    void (*hold)(weir_link_t *link, weir_exchange_t *ex, bool is_held);
    /* As of weir_accept_t, of all servers. */
    void (*status)(const weir_host_t *host, weir_upstream_t *upstream, weir_status_t *status);
} weir_connect_t;

typedef struct weir_transport {
    const weir_accept_t *accept;   /* NULL: none */
    const weir_connect_t *connect; /* NULL: none */
} weir_transport_t;

/* What an exchange module says of a request. */
typedef enum weir_verdict {
    WEIR_PASS,     /* on to the next module */
    WEIR_ANSWERED, /* exchange_answer() or exchange_fail() was called */
    WEIR_HELD,     /* exchange_hold() was called; exchange_resume() or exchange_fail() follows */
} weir_verdict_t;

typedef enum weir_link_event {
    WEIR_LINK_EVENT_UP,   /* opened: IDLE */
    WEIR_LINK_EVENT_FREE, /* its exchange, or its last one, or its session has ended: IDLE again */
    WEIR_LINK_EVENT_DOWN, /* gone: take it out of your lists now */
} weir_link_event_t;

#define WEIR_OWNS_LINKS 0x1u /* chooses and opens links; a chain has one such module, and only link modules follow it */
#define WEIR_SEES_SERVERS 0x2u /* works where the links are: of a kept upstream in the keeper */

typedef struct weir_exchange_module {
    uint32_t flags;
    size_t state_size; /* per exchange, zeroed, from its arena; handed to request, reply and end */
    void *(*create)(const weir_host_t *host, weir_upstream_t *upstream, const void *options, weir_error_t *err);
    void (*start)(void *self); /* the process serves now: links may be opened; NULL: nothing to do */
    void (*destroy)(void *self);
    weir_verdict_t (*request)(void *self, weir_exchange_t *ex, void *state);
    /* Messages of the reply, NULL when the module does not look at them. */
    void (*reply)(void *self, weir_exchange_t *ex, void *state, const weir_message_t *message);
    void (*end)(void *self, weir_exchange_t *ex, void *state, const weir_outcome_t *outcome);
    void (*link)(void *self, weir_link_t *link, weir_link_event_t event, const char *why); /* WEIR_OWNS_LINKS */
    void (*status)(void *self, weir_status_t *status);

    /* Whether a server may be used; see server_admits(). `ex` and `state` NULL: for nobody in particular. */
    bool (*admit)(void *self, weir_server_t *server, weir_exchange_t *ex, void *state);
    /* The exchange that was let through has its link now. Not told of one that came with its session's link. */
    void (*leased)(void *self, weir_exchange_t *ex, void *state);
    /* The server has begun to answer with a stream, which may last for hours; what comes of it is told to `end` all the same. */
    void (*streaming)(void *self, weir_exchange_t *ex, void *state, uint16_t status);
    /* A link to the server could not be opened. */
    void (*connect_failed)(void *self, weir_server_t *server, const char *why);
    /* What an operator says (`weir NAME WORD UPSTREAM[/SERVER]`), about one server or all of them (NULL). */
    int (*command)(void *self, weir_server_t *server, const char *word, weir_error_t *err);
} weir_exchange_module_t;

typedef struct weir_module {
    uint32_t magic;
    uint16_t abi_major, abi_minor; /* that the module was built with */
    uint32_t size;                 /* sizeof(weir_module_t) of the module */
    uint16_t needs_minor;          /* the oldest host minor whose functions suffice */
    uint16_t reserved;
    const char *name;             /* as the configuration names it */
    const char *doc;              /* one line */
    const weir_option_t *options; /* of the exchange, link, balancer or codec kind, in a chain */
    size_t options_size;
    const weir_transport_t *transport;
    const weir_exchange_module_t *exchange;
    const weir_link_module_t *link;
    const weir_balancer_t *balancer;
    const weir_codec_t *codec;
    const weir_figure_t *figures; /* of what `status` shows; NULL: none */
} weir_module_t;

/* Every module says this once: WEIR_MODULE = { WEIR_MODULE_HEADER, .name = "…", … }; */
#define WEIR_MODULE                                                                                                    \
    __attribute__((visibility("default"))) extern const weir_module_t weir_module;                                     \
    __attribute__((visibility("default"))) const weir_module_t weir_module
#define WEIR_MODULE_HEADER                                                                                             \
    .magic = WEIR_MODULE_MAGIC, .abi_major = WEIR_ABI_MAJOR, .abi_minor = WEIR_ABI_MINOR,                              \
    .size = sizeof(weir_module_t), .needs_minor = WEIR_ABI_MINOR

#endif
