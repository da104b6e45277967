/* buf.c: the buffer pool of a process.
 *
 * Each buffer is one allocation: a private header, the public weir_buf_t, the bytes. A buffer is either in use (refs > 0,
 * BUF_MAGIC) or in the free list (BUF_FREE_MAGIC); every reference that is given back twice is caught by that.
 */
#include "buf.h"

#include <assert.h>
#include <stdlib.h>

#include "proc.h"

#define BUF_MAGIC 0x42554646u
#define BUF_FREE_MAGIC 0x46524545u

/* Under AddressSanitizer nothing is kept, so that it sees every use after the end. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS_FREE false
#else
#define KEEPS_FREE true
#endif

struct buf {
    uint32_t magic;
    struct buf *next_free;
    weir_buf_t pub;
    _Alignas(16) char bytes[];
};

struct bufs {
    struct buf *free;
    uint32_t nfree, max_free, in_use;
};

static struct buf *buf_of(weir_buf_t *pub)
{
    struct buf *buf = WEIR_CONTAINER(pub, struct buf, pub);
    assert(buf->magic == BUF_MAGIC && pub->refs > 0);
    return buf;
}

struct bufs *bufs_new(uint32_t max_free)
{
    struct bufs *bufs = calloc(1, sizeof(*bufs));
    if (bufs != NULL)
        bufs->max_free = KEEPS_FREE ? max_free : 0;
    return bufs;
}

void bufs_free(struct bufs *bufs)
{
    if (bufs == NULL)
        return;
    while (bufs->free != NULL) {
        struct buf *buf = bufs->free;
        bufs->free = buf->next_free;
        free(buf);
    }
    free(bufs);
}

uint32_t bufs_in_use(const struct bufs *bufs)
{
    return bufs->in_use;
}

static struct buf *take_free(struct bufs *bufs)
{
    struct buf *buf = bufs->free;
    if (buf != NULL) {
        bufs->free = buf->next_free;
        bufs->nfree--;
    }
    return buf;
}

weir_buf_t *buf_new(size_t size)
{
    size_t room = size > BUF_SIZE ? size : BUF_SIZE;
    struct buf *buf = room == BUF_SIZE ? take_free(proc->bufs) : NULL;
    if (buf == NULL && room < SIZE_MAX - sizeof(*buf))
        buf = malloc(sizeof(*buf) + room);
    if (buf == NULL)
        return NULL;
    buf->magic = BUF_MAGIC;
    buf->pub = (weir_buf_t){.data = buf->bytes, .size = room, .refs = 1};
    proc->bufs->in_use++;
    return &buf->pub;
}

void buf_ref(weir_buf_t *pub)
{
    buf_of(pub)->pub.refs++;
}

void buf_unref(weir_buf_t *pub)
{
    if (pub == NULL)
        return;
    struct buf *buf = buf_of(pub);
    if (--pub->refs > 0)
        return;
    struct bufs *bufs = proc->bufs;
    bufs->in_use--;
    buf->magic = BUF_FREE_MAGIC;
    if (pub->size != BUF_SIZE || bufs->nfree >= bufs->max_free) {
        free(buf);
        return;
    }
    buf->next_free = bufs->free;
    bufs->free = buf;
    bufs->nfree++;
}
