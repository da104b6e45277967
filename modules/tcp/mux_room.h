/* mux_room.h: what the two files of the inner weir's end share: mux_accept.c, which reads links, and mux_reply.c, which answers on them. */
#ifndef WEIR_TCP_MUX_ROOM_H
#define WEIR_TCP_MUX_ROOM_H

#include "mux_accept.h"
#include "mux_figures.h"

typedef struct mux_link mux_link_t;

/* Owned by its link from OPEN to its last record, then by the house, for the next one. */
typedef struct mux_channel {
    weir_list_t node; /* in house.spare */
    mux_link_t *link;
    weir_exchange_t *ex;
    weir_head_t *head; /* of the request; given back when the reply begins */
    uint32_t number;
    bool has_begun;     /* HEAD was written */
    bool is_events;     /* the reply is a stream of events */
    bool is_full;       /* its reply's source was told to pause */
    int64_t left;       /* bytes of the body to come, -1: not known */
    uint64_t under_way; /* bytes that the other weir has not taken yet */
} mux_channel_t;

struct mux_link {
    weir_list_t node; /* in house.links */
    mux_house_t *house;
    weir_stream_t *stream; /* NULL: gone */
    frames_t frames;
    bool has_greeted, is_full;
    bool is_believed; /* who its clients are */
    bool is_doubted;  /* it has said so, and was not believed */
    uint16_t depth;
    uint64_t max_message, window; /* as the other weir has said */
    weir_timer_t idle;
    uint32_t nchannels, nopen; /* room in `channels`; of them, in use */
    mux_channel_t **channels;  /* by number */
};

struct mux_house {
    const weir_host_t *host;
    weir_listener_t *listener;
    mux_bounds_t bounds;
    weir_timeouts_t *idle_timeouts;
    weir_counters_t counters; /* mux_figure_t */
    int64_t own[MUX_FIGURES]; /* where they are when nobody shares them */
    weir_list_t links;
    size_t nlinks;
    bool is_draining;
    weir_list_t spare; /* channels */
    size_t nspare;
    weir_head_t **heads; /* spare ones */
    size_t nheads, heads_room;
    mux_channel_t *out_of; /* whose HEAD waits in `out` for the bytes that follow it */
    mux_out_t out;
    char room[MUX_HEAD_ROOM];
};

void mux_count(mux_house_t *house, mux_figure_t figure, int64_t change);

/* The channel has had its last record. */
void mux_channel_close(mux_channel_t *c);
/* The request is not needed any more. */
void mux_channel_release_head(mux_channel_t *c);
/* The other weir, or the whole link, takes bytes again. */
void mux_channel_go_on(mux_channel_t *c);

#endif
