/* session.c: see the table in session.h. A session's id is random, so that knowing one tells nothing of another. What is sent on its
 * streams is in session_streams.c.
 */
#include "session.h"

#include <openssl/rand.h>
#include <stdlib.h>

#include "exchanges.h"
#include "log.h"
#include "proc.h"
#include "stats.h"
#include "timer.h"

#define SESSION_BUCKETS 256

struct session_table {
    weir_list_t buckets[SESSION_BUCKETS];
    size_t count;
};

session_table_t *sessions_new(upstream_t *up)
{
    (void)up;
    session_table_t *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return NULL;
    for (size_t i = 0; i < SESSION_BUCKETS; i++)
        weir_list_init(&table->buckets[i]);
    return table;
}

size_t sessions_count(const upstream_t *up)
{
    return up->sessions == NULL ? 0 : up->sessions->count;
}

void sessions_free(upstream_t *up)
{
    for (size_t i = 0; i < SESSION_BUCKETS; i++)
        while (!weir_list_empty(&up->sessions->buckets[i]))
            session_end(WEIR_CONTAINER(up->sessions->buckets[i].next, session_t, node));
    free(up->sessions);
    up->sessions = NULL;
}

static weir_list_t *session_bucket(upstream_t *up, const uint8_t *id)
{
    return &up->sessions->buckets[id[0] % SESSION_BUCKETS];
}

session_t *session_find(upstream_t *up, const uint8_t id[SESSION_ID_SIZE])
{
    WEIR_LIST_EACH(session_bucket(up, id), it) {
        session_t *session = WEIR_CONTAINER(it, session_t, node);
        if (memcmp(session->id, id, SESSION_ID_SIZE) == 0)
            return session;
    }
    return NULL;
}

static void session_idled(void *arg)
{
    session_t *session = arg;
    log_write(WEIR_LOG_INFO, "%s: a session was idle for idle_timeout (%llu ms) and has ended",
              session->upstream->pub.name, (unsigned long long)session->upstream->conf->session_idle_ms);
    session_end(session);
}

session_t *session_begin(upstream_t *up, link_t *link)
{
    session_t *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    if (RAND_bytes(session->id, sizeof(session->id)) != 1) {
        free(session);
        return NULL;
    }
    session->upstream = up;
    session->link = link;
    session->idle = (weir_timer_t){.fire = session_idled, .arg = session};
    weir_list_init(&session->idle.node);
    events_init(&session->events, up->conf->event_log);
    weir_list_append(session_bucket(up, session->id), &session->node);
    up->sessions->count++;
    stats_add(up->stats, STATS_SESSIONS, 1);
    link_own(link, session);
    return session;
}

void session_opened(session_t *session)
{
    session->state = SESSION_OPEN;
}

void session_mind_idleness(session_t *session)
{
    if (session->state == SESSION_ENDED)
        return;
    if (session->calls > 0 || session->listen != NULL)
        timer_stop(&session->idle);
    else
        timer_start(timers_get(session->upstream->conf->session_idle_ms), &session->idle);
}

static void session_free(void *arg)
{
    session_t *session = arg;
    events_free(&session->events);
    free(session);
}

/* Take the session out of the world. Its calls have ended, or end with the link. */
static void session_leave(session_t *session)
{
    session->state = SESSION_ENDED;
    timer_stop(&session->idle);
    weir_list_remove(&session->node);
    session->upstream->sessions->count--;
    stats_add(session->upstream->stats, STATS_SESSIONS, -1);
    exchange_t *listen = session->listen;
    session->listen = NULL;
    if (listen != NULL) {
        listen->session = NULL;
        reply_end(&listen->pub);
    }
    session->idle.fire = session_free;
    timer_at_turn_end(&session->idle);
}

void session_end(session_t *session)
{
    if (session->state == SESSION_ENDED)
        return;
    link_t *link = session->link;
    session->state = SESSION_ENDED;
    link_disown(link);
    session_leave(session);
}

void session_lost(session_t *session, const char *why)
{
    if (session->state == SESSION_ENDED)
        return;
    log_write(WEIR_LOG_INFO, "%s: a session has ended with its server: %s", session->upstream->pub.name, why);
    session->link->session = NULL;
    session_leave(session);
}

uint32_t session_call_begun(session_t *session)
{
    session->calls++;
    session_mind_idleness(session);
    return ++session->streams;
}

void session_call_ended(session_t *session)
{
    session->calls--;
    session_mind_idleness(session);
}

weir_slice_t session_log(session_t *session, uint32_t stream, const weir_slice_t *parts, size_t n, bool is_final,
                         char id[EVENT_ID_MAX])
{
    uint32_t number = events_add(&session->events, stream, parts, n, is_final);
    return event_id_write(id, stream, number);
}
