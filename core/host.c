/* host.c: see host.h. Every entry is a function of the file that owns the subject; what is here only turns the public faces of
 * objects into the host's own.
 */
#include "host.h"

#include "accepter.h"
#include "buf.h"
#include "bundle.h"
#include "calls.h"
#include "chain.h"
#include "checkup.h"
#include "child.h"
#include "client.h"
#include "codec.h"
#include "coding.h"
#include "exchange.h"
#include "framing_lines.h"
#include "guard.h"
#include "http1.h"
#include "http_date.h"
#include "jscan.h"
#include "lane.h"
#include "lines.h"
#include "link.h"
#include "log.h"
#include "message.h"
#include "mirrored.h"
#include "modules.h"
#include "postbox.h"
#include "proc.h"
#include "shared.h"
#include "sse.h"
#include "stream.h"
#include "stream_client.h"
#include "target.h"
#include "timer.h"
#include "url.h"

#define HOST_MAX 255 /* of a name: RFC 1035 */

static int server_address(weir_server_t *pub, weir_slice_t host, uint16_t port, bool is_tls, const weir_reach_t *reach,
                          weir_error_t *err)
{
    server_t *server = WEIR_CONTAINER(pub, server_t, pub);
    char name[HOST_MAX + 1];
    if (host.n > HOST_MAX)
        return weir_error(err, "a host has %d characters at most, not %zu: %.60s…", HOST_MAX, host.n, host.p);
    if (host.n > 0)
        memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    target_free(server->target);
    server->target = target_new(name, port, is_tls, reach, err);
    return server->target == NULL ? WEIR_EFAIL : WEIR_OK;
}

static weir_stream_t *link_connect(weir_link_t *link, const weir_stream_events_t *events, void *owner,
                                   weir_error_t *err)
{
    return stream_connect_target(WEIR_CONTAINER(link->server, server_t, pub)->target, events, owner, err);
}

static weir_server_t *upstream_server(weir_upstream_t *pub, uint32_t index)
{
    return index < pub->nservers ? &upstream_of(pub)->servers[index].pub : NULL;
}

static bool listener_leads(const weir_listener_t *listener, weir_slice_t host, weir_slice_t target)
{
    return listener_route(listener, host, target) != NULL;
}

/* A listener's chain is that of its first face. */
static const weir_codings_t *listener_codings(const weir_listener_t *listener)
{
    return coding_offers(&listener->first->lanes);
}

static const weir_codings_t *upstream_codings(const weir_upstream_t *pub)
{
    return coding_offers(&upstream_of(pub)->lanes);
}

static const weir_balancer_t *balancer_named(const char *name)
{
    const weir_module_t *module = modules_find(proc->modules, name);
    return module == NULL ? NULL : module->balancer;
}

static const weir_host_t table = {
    .abi_major = WEIR_ABI_MAJOR,
    .abi_minor = WEIR_ABI_MINOR,
    .size = sizeof(weir_host_t),
    .now_ms = now_ms,
    .log = log_write,
    .timeouts = timers_get,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .buf_new = buf_new,
    .buf_ref = buf_ref,
    .buf_unref = buf_unref,
    .stream_read = stream_read,
    .stream_write = stream_write,
    .stream_pause = stream_pause,
    .stream_own = stream_own,
    .stream_limit = stream_limit,
    .stream_close = stream_close,
    .stream_finish = stream_finish,
    .stream_peer = stream_peer,
    .stream_is_tls = stream_is_tls,
    .stream_principal = stream_principal,
    .stream_connect = link_connect,
    .server_address = server_address,
    .http_request = http1_parse_request,
    .http_reply = http1_parse_reply,
    .http_chunked = http1_chunked_decode,
    .http_reason = http1_reason,
    .http_date = http_date,
    .message_scan = message_scan,
    .message_error = message_error,
    .exchange_new = exchange_new,
    .exchange_start = exchange_submit,
    .exchange_refuse = exchange_refuse,
    .exchange_abandon = exchange_abandon,
    .exchange_drained = exchange_drained,
    .exchange_sent = exchange_sent,
    .exchange_alloc = exchange_alloc,
    .exchange_hold = exchange_hold,
    .exchange_resume = exchange_resume,
    .exchange_fail = exchange_fail_over,
    .exchange_answer = exchange_answer,
    .upstream_server = upstream_server,
    .link_open = link_open,
    .link_close = link_close,
    .exchange_lease = exchange_lease,
    .exchange_wants_own_link = exchange_wants_own_link,
    .exchange_server = exchange_server,
    .link_up = link_up,
    .link_down = link_down,
    .link_free_again = link_free_again,
    .reply_head = reply_head,
    .reply_bytes = reply_bytes,
    .reply_end = reply_end,
    .link_message = calls_message,
    .child_start = child_start,
    .child_stop = child_stop,
    .child_pid = child_pid,
    .listener_is_loopback = listener_is_loopback,
    .timer_at_turn_end = timer_at_turn_end,
    .text_unescape = jscan_unescape,
    .shared = shared_of,
    .counters = counters_of,
    .counters_sum = counters_sum,
    .link_counters = link_counters_of,
    .server_admits = chain_admits,
    .exchange_retry_after = exchange_retry_after,
    .balancer = balancer_named,
    .link_check = checkup_begin,
    .client_new = client_new,
    .client_message = client_message,
    .client_drained = client_drained,
    .client_gone = client_gone,
    .lines_room = lines_room,
    .lines_filled = lines_filled,
    .lines_next = lines_next,
    .lines_free = lines_free,
    .framing_lines = &framing_lines,
    .stream_client_open = stream_client_open,
    .stream_clients_close = stream_clients_close,
    .listener_over = listener_over,
    .listener_is_shared = listener_is_shared,
    .listener_offer = listener_offer,
    .listener_leads = listener_leads,
    .url_parse = url_parse,
    .guard_host = guard_host,
    .guard_origin = guard_origin,
    .mirrored_decode = mirrored_decode,
    .mirrored_encode = mirrored_encode,
    .codec = codec_named,
    .codec_of = codec_of,
    .lane_new = lane_new,
    .lane_free = lane_free,
    .lane_write = lane_write,
    .lane_flush = lane_flush,
    .lane_drained = lane_drained,
    .lane_read = lane_read,
    .lane_next = lane_next,
    .joiner = joiner_of,
    .stream_taken = stream_taken,
    .stream_is_untaken = stream_is_untaken,
    .link_lost = calls_lost,
    .link_retire = link_retire,
    .postbox_open = postbox_open,
    .postbox_address = postbox_address,
    .postbox_close = postbox_close,
    .post_send = post_send,
    .post_forget = post_forget,
    .stream_gather = stream_gather,
    .link_refused = calls_refused,
    .url_resolve = url_resolve,
    .events_new = sse_new,
    .events_free = sse_delete,
    .events_read = sse_read,
    .codec_at = codec_at,
    .listener_codings = listener_codings,
    .upstream_codings = upstream_codings,
    .coding_of = coding_of,
    .coding_names = coding_names,
    .coding_choose = coding_choose,
    .encoder_new = encoder_new,
    .encode = encode,
    .encoder_free = encoder_free,
    .decode = decode,
    .listener_counters = listener_counters,
    .stream_written = stream_written,
};

const weir_host_t *host_table(void)
{
    return &table;
}
