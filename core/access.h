/* access.h: the access log: one JSON line per exchange, gathered in a buffer and written when that is full, when its time has come
 * (`flush`), on reopen and at the end. Without an access_log in the configuration nothing happens here.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include <weir/error.h>
#include <weir/exchange.h>

#include "config.h"

typedef struct access_record {
    const char *listener;
    const char *upstream, *server; /* NULL: none */
    weir_slice_t peer, principal;
    weir_verb_t verb;
    weir_slice_t method, name; /* JSON-RPC method; tool, prompt or resource */
    weir_slice_t trace;        /* traceparent */
    const char *reason;        /* "" when answered */
    weir_outcome_t outcome;
} access_record_t;

struct access;

/* Made from the configuration; NULL without an error when there is no access_log. */
struct access *access_open(const config_t *config, weir_error_t *err);
void access_close(struct access *access);
int access_reopen(struct access *access, weir_error_t *err);
void access_flush(struct access *access);

/* Write to proc->access. */
void access_log(const access_record_t *record);

#endif
