/* figures.c: see figures.h. A member of /status that is in none of these tables, and says neither who answers nor what follows from
 * others, is shown nowhere else: t/e2e/seeing.test.mjs finds it.
 */
#include "figures.h"

#define COUNTER(at, name, text)                                                                                        \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_COUNTER, .metric = name, .doc = text                                           \
    }
#define GAUGE(at, name, text)                                                                                          \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_GAUGE, .metric = name, .doc = text                                             \
    }
#define HISTOGRAM(at, name, text)                                                                                      \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_HISTOGRAM, .metric = name, .doc = text                                         \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        .path = NULL                                                                                                   \
    }

static const weir_figure_t process_figures[] = {
    {.path = "version", .kind = WEIR_FIGURE_STATE, .metric = "build_info", .doc = "The weir that answers"},
    GAUGE("worker/generation", "configuration_generation", "Configurations that were put in force, up to this one"),
    GAUGE("draining", "draining", "Whether the worker that answers takes no new clients"),
    GAUGE("clients", "clients", "Connections of clients that are open"),
    END,
};

static const weir_figure_t row_figures[] = {
    COUNTER("exchanges", "exchanges", "Exchanges that have begun"),
    GAUGE("in_flight", "exchanges_in_flight", "Exchanges that have not ended"),
    COUNTER("answered", "exchanges_answered", "Exchanges that ended with an answer"),
    COUNTER("failures/{reason}", "exchanges_failed", "Exchanges that ended without an answer of a server, by reason"),
    COUNTER("bytes_in", "received_bytes", "Bytes of requests"),
    COUNTER("bytes_out", "sent_bytes", "Bytes that clients were sent"),
    HISTOGRAM("latency", "exchange_duration_seconds", "Time from the first byte of a request to the end of its answer"),
    GAUGE("links", "links", "Links to servers, in whatever state"),
    GAUGE("waiting", "exchanges_waiting", "Exchanges that a module of the chain holds, as for a link"),
    GAUGE("sessions", "sessions", "Legacy sessions that a keeper holds"),
    GAUGE("children", "children", "Servers that run as children of weir"),
    END,
};

static const weir_figure_t frame_figures[] = {
    COUNTER("messages_out", "frames_messages_out", "Messages written in frames"),
    COUNTER("batches_out", "frames_batches_out", "Frames written, each with one message or several"),
    GAUGE("messages_per_batch", "frames_messages_per_batch", "Messages in a frame written, on average"),
    COUNTER("bytes_before_compression", "frames_before_compression_bytes", "Bytes of frames before they were packed"),
    COUNTER("bytes_after_compression", "frames_after_compression_bytes", "Bytes of frames as they were written"),
    GAUGE("compression_ratio", "frames_compression_ratio", "Bytes before by bytes after compression"),
    COUNTER("batches_compressed", "frames_compressed", "Frames that were written packed"),
    COUNTER("waited_us", "frames_waited", "Time that the first message of each frame waited for others"),
    COUNTER("flushes/{trigger}", "frames_flushes", "Frames written, by what ended the waiting for more messages"),
    COUNTER("messages_in", "frames_messages_in", "Messages read from frames"),
    COUNTER("batches_in", "frames_batches_in", "Frames read"),
    COUNTER("bytes_in", "frames_read_bytes", "Bytes of frames as they came"),
    COUNTER("bytes_in_expanded", "frames_expanded_bytes", "Bytes of frames after they were expanded"),
    COUNTER("batches_broken", "frames_broken", "Frames that could not be taken apart"),
    END,
};

static const weir_figure_t server_figures[] = {
    GAUGE("weight", "server_weight", "Configured share of a server"),
    HISTOGRAM("latency", "server_duration_seconds", "Time from having a link to a server to the end of its answer"),
    END,
};

static const figures_t core_figures[] = {
    {process_figures, {"", NULL}},
    {row_figures, {"upstreams/{upstream}/", "other/", NULL}},
    {frame_figures, {"upstreams/{upstream}/frames/", "listeners/{listener}/frames/", NULL}},
    {server_figures, {"upstreams/{upstream}/servers/{server}/", NULL}},
};

size_t figures_core(const figures_t **all)
{
    *all = core_figures;
    return sizeof(core_figures) / sizeof(core_figures[0]);
}
