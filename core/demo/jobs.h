/* jobs.h: a job is a request that takes its time: a countdown, a question to the client, a subscription.
 *
 * It is alive from job_new() to job_end(), and ends when it has answered, or when the client cancels its request. Any number
 * runs at once.
 *
 *   waits for        and then
 *   its time         tick()
 *   an answer        answer()     the client's reply to rpc_ask(job->question)
 *   nothing          …            a subscription: it ends by being cancelled
 */
#ifndef DEMO_JOBS_H
#define DEMO_JOBS_H

#include <stdint.h>

#include <weir/list.h>

#include "rpc.h"

typedef struct job {
    weir_list_t node;
    request_t request;
    int64_t due_ms; /* on the monotonic clock; 0: no time is set */
    void (*tick)(struct job *job);
    char question[24]; /* id of what was asked, "": nothing */
    void (*answer)(struct job *job, json_t *message);
    int step, steps, interval_ms; /* countdown */
    json_t *uris;                 /* subscription: the resources, owned */
} job_t;

job_t *job_new(const request_t *rq);
void job_end(job_t *job);

/* Have tick() called after so many milliseconds. */
void job_wait(job_t *job, int ms);

/* Send a request of our own to the client; its reply goes to answer(). */
void job_ask(job_t *job, const char *method, json_t *params);

void jobs_each(void (*visit)(job_t *job, void *arg), void *arg);
void jobs_cancel(const json_t *id);
void jobs_answer(json_t *message);

/* Milliseconds until the next job is due, -1: none is. Then jobs_tick() runs what is due. */
int jobs_timeout(void);
void jobs_tick(void);

#endif
