/* jobs.c: the list of what is under way. See jobs.h. */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static weir_list_t jobs = {&jobs, &jobs};
static unsigned questions;

static job_t *job_of(weir_list_t *node)
{
    return WEIR_CONTAINER(node, job_t, node);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

job_t *job_new(const request_t *rq)
{
    job_t *job = calloc(1, sizeof(*job));
    if (!job)
        exit(1);
    request_keep(&job->request, rq);
    weir_list_append(&jobs, &job->node);
    return job;
}

void job_end(job_t *job)
{
    weir_list_remove(&job->node);
    request_drop(&job->request);
    json_decref(job->uris);
    free(job);
}

void job_wait(job_t *job, int ms)
{
    job->due_ms = now_ms() + ms;
}

void job_ask(job_t *job, const char *method, json_t *params)
{
    snprintf(job->question, sizeof(job->question), "ask-%u", ++questions);
    rpc_ask(job->question, method, params);
}

void jobs_each(void (*visit)(job_t *job, void *arg), void *arg)
{
    WEIR_LIST_EACH(&jobs, it)
        visit(job_of(it), arg);
}

/* No answer follows; a question that is still open is taken back. */
static void cancel(job_t *job)
{
    if (job->question[0])
        rpc_notify("notifications/cancelled",
                   json_pack("{s:s, s:s}", "requestId", job->question, "reason", "the call that asked was cancelled"));
    job_end(job);
}

void jobs_cancel(const json_t *id)
{
    WEIR_LIST_EACH(&jobs, it)
        if (json_equal(job_of(it)->request.id, id)) {
            cancel(job_of(it));
            return;
        }
}

void jobs_answer(json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "id"));
    WEIR_LIST_EACH(&jobs, it) {
        job_t *job = job_of(it);
        if (id && job->question[0] && strcmp(job->question, id) == 0) {
            job->question[0] = '\0';
            job->answer(job, message);
            return;
        }
    }
}

int jobs_timeout(void)
{
    int64_t next = -1;
    WEIR_LIST_EACH(&jobs, it)
        if (job_of(it)->due_ms && (next < 0 || job_of(it)->due_ms < next))
            next = job_of(it)->due_ms;
    if (next < 0)
        return -1;
    int64_t left = next - now_ms();
    return left > 0 ? (int)left : 0;
}

void jobs_tick(void)
{
    int64_t now = now_ms();
    WEIR_LIST_EACH(&jobs, it) {
        job_t *job = job_of(it);
        if (job->due_ms && job->due_ms <= now) {
            job->due_ms = 0;
            job->tick(job);
        }
    }
}
