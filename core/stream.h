/* stream.h: byte streams over nonblocking fds: TCP, Unix sockets, TLS over either, the pipes of a child.
 *
 * The functions of weir_host_t of the same names are these; module.h says what they do. What it does not say:
 *
 *   - No callback comes from inside a stream_… call; all come from the loop. A callback may close the stream.
 *   - `readable` comes again and again while there is something to read. An owner that does not want it pauses the stream.
 *   - stream_read gives 0 once at the end; after it, or WEIR_EFAIL, `readable` does not come again. Writing may go on.
 *   - stream_write takes bytes before `connected` too and sends them when the connection stands.
 *   - When writing fails (also when stream_write has said WEIR_ECLOSED), what has arrived is offered once more through
 *     `readable`, then comes `broken`, once. The stream still wants its stream_close().
 *   - Of stream_limit, a send time-out of 0 means none. Without it: 1 MiB, 60 s.
 *   - stream_close and stream_finish take the stream away from its owner; its memory goes at the end of the turn.
 */
#ifndef STREAM_H
#define STREAM_H

#include <sys/socket.h>
#include <weir/module.h>

struct target;
struct tls_server;

/* Streams over fds that exist. The fd is the stream's from the call on, also when it fails (then it is closed); an accepted one
 * comes from accept4(SOCK_NONBLOCK). Reading, and the TLS handshake, begin with stream_own(). `tls` NULL: plain. NULL with
 * `err` when there is no memory. SIGPIPE has to be ignored in a process that has streams. */
weir_stream_t *stream_accept(int fd, const struct sockaddr *peer, socklen_t peer_len, struct tls_server *tls,
                             weir_error_t *err);
weir_stream_t *stream_fd(int fd, weir_error_t *err);              /* one end of a socketpair */
weir_stream_t *stream_pipes(int rfd, int wfd, weir_error_t *err); /* a child's stdout and stdin */

/* Connect to a target (target.h). Then `connected`, or `broken` with the reason: "cannot connect to …: Connection refused". */
weir_stream_t *stream_connect_target(struct target *target, const weir_stream_events_t *events, void *owner,
                                     weir_error_t *err);

long stream_read(weir_stream_t *s, char *p, size_t n);
int stream_write(weir_stream_t *s, const weir_chunk_t *chunks, size_t n);
void stream_pause(weir_stream_t *s, bool is_paused);
void stream_own(weir_stream_t *s, const weir_stream_events_t *events, void *owner);
void stream_limit(weir_stream_t *s, uint64_t buffer_limit, uint64_t send_timeout_ms);
void stream_gather(weir_stream_t *s);
void stream_close(weir_stream_t *s);
void stream_finish(weir_stream_t *s);
weir_slice_t stream_peer(const weir_stream_t *s); /* valid until the next call of stream_peer */
bool stream_is_tls(const weir_stream_t *s);
weir_slice_t stream_principal(const weir_stream_t *s);
uint64_t stream_taken(const weir_stream_t *s);
uint64_t stream_written(const weir_stream_t *s);
bool stream_is_untaken(const weir_stream_t *s, uint64_t mark);

/* Streams that were finished and still have something to write, or wait for the other end to have read it. A process that leaves
 * before they are over takes replies away from clients that are reading them. streams_drop() closes them all the same. */
size_t streams_leaving(void);
void streams_drop(void);

uint64_t stream_queued(const weir_stream_t *s); /* bytes that the kernel has not taken yet */
int stream_fileno(const weir_stream_t *s);      /* the fd that is read, for logs and tests */

#endif
