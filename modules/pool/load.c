/* load.c: what is known of a server: of this process for the strategies (weir_load_t), and in the counters that all processes add up. The figures of the
 * window are those of its newer half, which is up to WINDOW_MS long, and of the half before.
 */
#include "pool.h"

#define WINDOW_MS 30000

static void load_age(pool_server_t *s)
{
    uint64_t now = s->pool->host->now_ms();
    s->load->links = s->nopen;
    s->load->age_ms = s->nopen == 0 ? 0 : now - s->born_ms / s->nopen;
}

static void window_show(pool_server_t *s)
{
    int64_t *mine = s->counters.mine;
    mine[GAUGE_REQUESTS] = (int64_t)s->load->requests;
    mine[GAUGE_ERRORS] = (int64_t)s->load->errors;
    mine[GAUGE_ANSWERED] = (int64_t)s->load->answered;
    mine[GAUGE_ANSWERED_US] = (int64_t)s->load->answered_us;
}

/* Take the older half out, and make the newer one the older. */
static void window_turn(pool_server_t *s)
{
    weir_load_t *load = s->load, *before = &s->before;
    load->requests -= before->requests;
    load->errors -= before->errors;
    load->answered -= before->answered;
    load->answered_us -= before->answered_us;
    *before = *load;
    window_show(s);
}

/* What was heard last is kept for as long as nothing new is heard. */
void load_tend(pool_server_t *s)
{
    uint64_t now = s->pool->host->now_ms();
    if (now - s->window_ms < WINDOW_MS || s->load->requests == s->before.requests)
        return;
    s->window_ms = now;
    window_turn(s);
    load_age(s);
}

void load_ended(pool_server_t *s, const weir_outcome_t *outcome, bool is_error)
{
    weir_load_t *load = s->load;
    int64_t *mine = s->counters.mine;
    load->in_flight--;
    mine[GAUGE_IN_FLIGHT]--;
    mine[COUNT_REQUESTS]++;
    mine[GAUGE_REQUESTS] = (int64_t)++load->requests;
    if (is_error) {
        mine[COUNT_ERRORS]++;
        mine[GAUGE_ERRORS] = (int64_t)++load->errors;
    } else if (outcome->reason == WEIR_REASON_NONE && outcome->server_us > 0) {
        mine[GAUGE_ANSWERED] = (int64_t)++load->answered;
        mine[GAUGE_ANSWERED_US] = (int64_t)(load->answered_us += outcome->server_us);
    }
}

void load_link_up(pool_server_t *s, const weir_link_t *link)
{
    s->nopen++;
    s->born_ms += link->born_ms;
    load_count(s, GAUGE_BORN_MS, (int64_t)link->born_ms);
    load_count(s, GAUGE_CONNECTING, -1);
    load_age(s);
}

/* An exclusive one that is leased is in no list; a shared one that dies still has its exchanges, which are told after. */
static bool link_was_busy(const pool_server_t *s, const weir_link_t *link)
{
    return s->pool->is_shared ? link->exchanges > 0 || link->is_owned : weir_list_empty(&link->node);
}

void load_link_gone(pool_server_t *s, const weir_link_t *link)
{
    s->nopen--;
    s->born_ms -= link->born_ms;
    load_count(s, GAUGE_BORN_MS, -(int64_t)link->born_ms);
    if (link_was_busy(s, link))
        load_link_busy(s, -1);
    load_age(s);
}
