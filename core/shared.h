/* shared.h: memory that all processes of one master share, in blocks with names: what one worker learns is known to all, and to those
 * of the next configuration. Lies behind the counters of stats.h in the memory that the master makes.
 *
 *   entry     event                                next
 *   FREE      the first who asks for its name      NAMING by this process (a pid)
 *   NAMING    the block is laid out                READY for good; blocks are never given back
 *   NAMING    its process died within              NAMING by whoever finds that out
 *   NAMING    no room                              FREE; whoever asked fails
 *
 * A process without it (a trial, a tool, a test) gets memory of its own.
 */
#ifndef SHARED_H
#define SHARED_H

#include <weir/module.h>

struct shared;

/* The blocks inside of memory that begins zeroed; NULL when it is too small for them. */
struct shared *shared_attach(void *memory, size_t size);

/* The block of a name and a size: found, or made and zeroed. NULL when there is no room. */
void *shared_block(struct shared *shared, const char *name, size_t size);

/* For modules; see weir_host_t. */
void *shared_of(weir_upstream_t *upstream, const weir_server_t *server, const char *module, size_t size,
                weir_error_t *err);
int counters_of(weir_counters_t *counters, weir_upstream_t *upstream, const weir_server_t *server, const char *module,
                uint32_t ngauges, uint32_t ngrowing, weir_error_t *err);
int link_counters_of(weir_counters_t *counters, int64_t *own, const char *where, const char *module, uint32_t ngauges,
                     uint32_t ngrowing, weir_error_t *err);
void counters_sum(const weir_counters_t *counters, int64_t *sum);

#endif
