/* status.c: see status.h. Built with jansson: nobody asks for it often. */
#include "status.h"

#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#include "build_config.h"
#include "failure.h"
#include "proc.h"
#include "shared.h"
#include "stats.h"
#include "status_chain.h"
#include "status_links.h"
#include "upstream.h"

/* Buckets by their upper bounds, for whoever wants to know what came between two looks. */
static json_t *latency_status(const uint64_t *buckets, uint64_t sum_us)
{
    json_t *counts = json_object();
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        char bound[32];
        snprintf(bound, sizeof(bound), "%" PRIu64, latency_bound(i));
        if (buckets[i] > 0)
            json_object_set_new(counts, bound, json_integer((json_int_t)buckets[i]));
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "p50_us", (json_int_t)latency_quantile(buckets, 0.5), "p99_us",
                     (json_int_t)latency_quantile(buckets, 0.99), "sum_us", (json_int_t)sum_us, "buckets", counts);
}

static json_t *server_status(const upstream_t *up, const server_t *server)
{
    int64_t sum[LATENCY_BUCKETS + 1];
    uint64_t buckets[LATENCY_BUCKETS];
    counters_sum(&server->latency, sum);
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        buckets[i] = (uint64_t)sum[i];
    return json_pack("{s:s, s:I, s:o, s:o}", "name", server->pub.name, "weight", (json_int_t)server->pub.weight,
                     "latency", latency_status(buckets, (uint64_t)sum[LATENCY_BUCKETS]), "links",
                     links_status(up, server));
}

static json_t *servers_status(const upstream_t *up)
{
    json_t *servers = json_array();
    for (uint32_t i = 0; i < up->pub.nservers; i++)
        json_array_append_new(servers, server_status(up, &up->servers[i]));
    return servers;
}

static void upstream_status(json_t *upstreams, upstream_t *up)
{
    json_t *object = json_object_get(upstreams, up->pub.name);
    json_object_set_new(object, "transport", json_string(up->transport));
    if (!up->is_kept) { /* nobody counts them: a token says it all */
        json_object_del(object, "sessions");
        json_object_del(object, "children");
    }
    json_object_set_new(object, "servers", servers_status(up));
    json_object_set_new(object, "chain", upstream_chain_status(up));
    json_object_set_new(object, "transports", upstream_transports_status(up));
}

static json_t *failures_status(const stats_row_t *row)
{
    json_t *failures = json_object();
    for (int reason = WEIR_REASON_NONE + 1; reason < WEIR_REASONS; reason++)
        if (row->ended[reason] > 0)
            json_object_set_new(failures, failure_word((weir_reason_t)reason),
                                json_integer((json_int_t)row->ended[reason]));
    return failures;
}

static bool is_listener(const char *row)
{
    return strncmp(row, STATS_LISTENER, strlen(STATS_LISTENER)) == 0;
}

static json_t *flushes_status(const stats_lanes_t *lanes)
{
    static const char *const names[] = {
        [WEIR_FLUSH_SIZE] = "size", [WEIR_FLUSH_BYTES] = "bytes",       [WEIR_FLUSH_TIME] = "time",
        [WEIR_FLUSH_TURN] = "turn", [WEIR_FLUSH_EXPLICIT] = "explicit", [WEIR_FLUSH_DRAIN] = "drain"};
    json_t *flushes = json_object();
    for (size_t i = 0; i < WEIR_FLUSHES; i++)
        json_object_set_new(flushes, names[i], json_integer((json_int_t)lanes->flushes[i]));
    return flushes;
}

static double ratio(uint64_t of, uint64_t to)
{
    return to == 0 ? 0 : (double)of / (double)to;
}

/* What was joined and packed on the way out, and taken apart on the way in. */
static json_t *lanes_status(const stats_lanes_t *lanes)
{
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        {"messages_out", lanes->messages_out},
        {"batches_out", lanes->payloads_out},
        {"bytes_before_compression", lanes->bytes_joined},
        {"bytes_after_compression", lanes->bytes_sent},
        {"batches_compressed", lanes->packed},
        {"waited_us", lanes->waited_us},
        {"messages_in", lanes->messages_in},
        {"batches_in", lanes->payloads_in},
        {"bytes_in", lanes->bytes_read},
        {"bytes_in_expanded", lanes->bytes_expanded},
        {"batches_broken", lanes->broken},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set_new(object, members[i].name, json_integer((json_int_t)members[i].value));
    json_object_set_new(object, "messages_per_batch", json_real(ratio(lanes->messages_out, lanes->payloads_out)));
    json_object_set_new(object, "compression_ratio", json_real(ratio(lanes->bytes_joined, lanes->bytes_sent)));
    json_object_set_new(object, "flushes", flushes_status(lanes));
    return object;
}

static bool has_lanes(const stats_row_t *row)
{
    return row->lanes.payloads_out + row->lanes.payloads_in > 0;
}

static json_t *row_status(const stats_row_t *row)
{
    json_t *object = json_object();
    uint64_t timed = latency_count(row->latency);
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        {"exchanges", row->exchanges},
        {"in_flight", (uint64_t)row->gauges[STATS_IN_FLIGHT]},
        {"answered", row->ended[WEIR_REASON_NONE]},
        {"bytes_in", row->bytes_in},
        {"bytes_out", row->bytes_out},
        {"mean_us", timed == 0 ? 0 : row->us / timed},
        {"links", (uint64_t)row->gauges[STATS_LINKS]},
        {"waiting", (uint64_t)row->gauges[STATS_WAITING]},
        {"sessions", (uint64_t)row->gauges[STATS_SESSIONS]},
        {"children", (uint64_t)row->gauges[STATS_CHILDREN]},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set_new(object, members[i].name, json_integer((json_int_t)members[i].value));
    json_object_set_new(object, "latency", latency_status(row->latency, row->us));
    json_object_set_new(object, "failures", failures_status(row));
    if (has_lanes(row))
        json_object_set_new(object, "frames", lanes_status(&row->lanes));
    return object;
}

/* In the order of the configuration; the counters of those that a reload has removed come last. */
static json_t *upstreams_status(void)
{
    json_t *upstreams = json_object();
    stats_row_t row;
    const char *name;
    WEIR_LIST_EACH(&proc->upstreams, it)
        json_object_set_new(upstreams, WEIR_CONTAINER(it, upstream_t, node)->pub.name, json_object());
    for (size_t i = STATS_ROW_OTHER + 1; proc->stats != NULL && (name = stats_name(proc->stats, i)) != NULL; i++) {
        if (is_listener(name))
            continue;
        stats_sum(proc->stats, i, &row);
        json_object_set_new(upstreams, name, row_status(&row));
    }
    WEIR_LIST_EACH(&proc->upstreams, it)
        upstream_status(upstreams, WEIR_CONTAINER(it, upstream_t, node));
    return upstreams;
}

static void listener_status(json_t *listeners, const weir_listener_t *l)
{
    json_t *transports = listener_transports_status(l);
    if (json_object_get(listeners, l->name) == NULL && transports != NULL)
        json_object_set_new(listeners, l->name, json_object());
    json_object_set_new(json_object_get(listeners, l->name), "transports", transports);
    if (l->lanes.nmodules > 0)
        json_object_set_new(json_object_get(listeners, l->name), "chain", listener_chain_status(l));
}

/* Only those whose chain has link modules, or whose transports tell something. */
static json_t *listeners_status(void)
{
    json_t *listeners = json_object();
    stats_row_t row;
    const char *name;
    for (size_t i = STATS_ROW_OTHER + 1; proc->stats != NULL && (name = stats_name(proc->stats, i)) != NULL; i++) {
        if (!is_listener(name))
            continue;
        stats_sum(proc->stats, i, &row);
        json_object_set_new(listeners, name + strlen(STATS_LISTENER),
                            json_pack("{s:o}", "frames", lanes_status(&row.lanes)));
    }
    for (const weir_listener_t *l = proc->listeners; l != NULL; l = l->next)
        listener_status(listeners, l);
    return listeners;
}

/* What came to no upstream has no links. */
static json_t *other_status(const stats_row_t *row)
{
    static const char *const nothing[] = {"links", "waiting", "sessions", "children"};
    json_t *object = row_status(row);
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        json_object_del(object, nothing[i]);
    return object;
}

static json_t *process_status(void)
{
    return json_pack("{s:i, s:i, s:I}", "slot", proc->slot, "pid", (int)getpid(), "generation",
                     (json_int_t)proc->generation);
}

json_t *status_tree(bool is_ready)
{
    json_t *status =
        json_pack("{s:s, s:o, s:b}", "version", WEIR_VERSION, "worker", process_status(), "draining", !is_ready);
    json_object_set_new(status, "upstreams", upstreams_status());
    json_object_set_new(status, "listeners", listeners_status());
    if (proc->stats != NULL) {
        stats_row_t other;
        stats_sum(proc->stats, STATS_ROW_OTHER, &other);
        json_object_set_new(status, "clients", json_integer((json_int_t)other.gauges[STATS_CLIENTS]));
        json_object_set_new(status, stats_name(proc->stats, STATS_ROW_OTHER), other_status(&other));
    }
    return status;
}

char *status_text(bool is_ready)
{
    json_t *status = status_tree(is_ready);
    char *text = json_dumps(status, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(status);
    return text;
}
