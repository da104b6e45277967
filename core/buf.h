/* buf.h: buffers that are borrowed while data is in flight. Standard ones (16 KiB) are kept in a bounded free list of the
 * process; larger ones come from malloc and go back to it. Each has a count of references and one thread.
 */
#ifndef BUF_H
#define BUF_H

#include <weir/exchange.h>

#define BUF_SIZE 16384u

struct bufs;

/* The pool of a process, to be hung into proc->bufs. Keeps at most `max_free` unused standard buffers. */
struct bufs *bufs_new(uint32_t max_free);
void bufs_free(struct bufs *bufs);
uint32_t bufs_in_use(const struct bufs *bufs);

/* At least `size` bytes with one reference; 0 asks for the standard size. NULL when there is no memory. */
weir_buf_t *buf_new(size_t size);
void buf_ref(weir_buf_t *buf);
void buf_unref(weir_buf_t *buf); /* NULL is fine */

#endif
