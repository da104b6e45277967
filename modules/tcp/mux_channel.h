/* mux_channel.h: what the files of the edge's end of `mux` share: mux_channel.c, which opens channels, mux_back.c, which takes what comes
 * back on them, and mux_connect.c, which owns the links. */
#ifndef WEIR_TCP_MUX_CHANNEL_H
#define WEIR_TCP_MUX_CHANNEL_H

#include "mux.h"
#include "mux_figures.h"

typedef enum channel_state {
    CHANNEL_QUEUED,
    CHANNEL_OPEN,
    CHANNEL_REPLYING,
    CHANNEL_CANCELLED,
} channel_state_t;

typedef struct conn conn_t;

/* What the links of a server share. */
typedef struct target {
    const weir_host_t *host;
    weir_counters_t counters; /* of the upstream: mux_figure_t */
    weir_list_t spare;        /* channels */
    size_t nspare;
    weir_head_t head; /* of the reply at hand */
    mux_out_t out;    /* the OPEN at hand */
    char room[MUX_HEAD_ROOM];
} target_t;

typedef struct channel {
    weir_list_t node; /* in conn.sent or conn.queued, or target.spare */
    conn_t *conn;
    weir_exchange_t *ex; /* NULL: cancelled */
    uint32_t number;     /* 0: queued */
    uint8_t state;       /* channel_state_t */
    bool is_held;        /* its client is full */
    bool is_headed;      /* HEAD has come */
    int64_t left;        /* bytes of the body to come, -1: not known */
    uint64_t taken;      /* bytes that no CREDIT was given for */
    uint64_t mark;       /* bytes that were written to the stream before its OPEN */
} channel_t;

struct conn {
    target_t *target;
    weir_link_t *link; /* NULL: gone */
    weir_stream_t *stream;
    frames_t frames;
    bool is_up, is_full, is_pinged, is_left;
    uint16_t depth;
    weir_timer_t timer; /* connect_timeout, then ping_interval */
    weir_timeouts_t *pings;
    uint64_t window, max_channels, max_message;
    weir_list_t sent, queued;
    channel_t **channels; /* by number */
    uint32_t nchannels;
    uint32_t *free_numbers;
    uint32_t nfree;
};

static inline void conn_count(const conn_t *c, mux_figure_t figure, int64_t change)
{
    c->target->counters.mine[figure] += change;
}

channel_t *channel_take(target_t *target);
/* Nobody finds it any more; its number is free again. */
void channel_give_back(channel_t *ch);
/* What waits in the queue, as far as there is room for it. */
void conn_send_queued(conn_t *c);
/* Tell the other weir of what was taken, when it is worth a record. */
void channel_credit(channel_t *ch);

/* What one record says, in mux_back.c. The link may be gone after it (conn.link). */
int conn_record(conn_t *c, uint64_t number, const weir_chunk_t *record, weir_error_t *err);

#endif
