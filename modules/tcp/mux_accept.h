/* mux_accept.h: the inner weir's end of `mux`: what the accept side of tcp does with its connections when they are links. */
#ifndef WEIR_TCP_MUX_ACCEPT_H
#define WEIR_TCP_MUX_ACCEPT_H

#include "mux.h"

/* All links of a listener. */
typedef struct mux_house mux_house_t;

typedef struct mux_bounds {
    uint64_t max_message, buffer_limit, send_timeout_ms, idle_timeout_ms;
    int64_t max_channels;
    weir_strings_t edges; /* principals that are believed who their clients are; "any": whoever has one */
} mux_bounds_t;

mux_house_t *mux_house_new(const weir_host_t *host, weir_listener_t *listener, const mux_bounds_t *bounds,
                           weir_error_t *err);
void mux_house_free(mux_house_t *house);
void mux_house_open(mux_house_t *house, weir_stream_t *stream);
void mux_house_drain(mux_house_t *house, bool now);
size_t mux_house_links(const mux_house_t *house);
void mux_house_status(const mux_house_t *house, weir_status_t *status);

/* The way back of the exchanges that came over them; see weir_accept_t. */
int mux_reply_head(weir_exchange_t *ex, const weir_reply_t *reply);
int mux_reply_bytes(weir_exchange_t *ex, const weir_chunk_t *chunks, size_t n);
int mux_reply_message(weir_exchange_t *ex, const weir_chunk_t *parts, size_t n, weir_slice_t event_id, bool is_final);
void mux_reply_end(weir_exchange_t *ex);
void mux_fail(weir_exchange_t *ex, const weir_failure_t *failure);

#endif
