/* handlers.h: one function for each method that the demo server knows, by the file that has it. Each answers its request, or
 * leaves a job behind that will.
 */
#ifndef DEMO_HANDLERS_H
#define DEMO_HANDLERS_H

#include "rpc.h"

typedef void handler_fn(const request_t *rq);

/* session.c: who the client is and which era it speaks */
typedef enum era { ERA_LEGACY = 1, ERA_MODERN = 2, ERA_BOTH = 3 } era_t;

void session_speak(era_t eras);
handler_fn session_initialize, session_discover, session_ping, session_set_level;

/* Find out a request's era and fill in what depends on it. False: it has been refused and answered. */
bool session_admit(request_t *rq);

/* The revision that a legacy session agreed on is at least this one. */
bool session_is_since(const char *version);

/* tools.c */
void tools_allow_crash(void);
handler_fn tools_list, tools_call;

/* resources.c */
handler_fn resources_list, resources_templates, resources_read, resources_subscribe, resources_unsubscribe;
handler_fn subscriptions_listen;

/* A tool has been called: demo://calls has changed. */
void resources_count_call(void);

/* prompts.c */
handler_fn prompts_list, prompts_get, prompts_complete;

#endif
