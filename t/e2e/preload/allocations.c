/* allocations.c: counts what weir asks of malloc: preloaded, into the first eight bytes of the file that ALLOCATIONS names, which all
 * of weir's processes share. What weir starts is another program and is not counted.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);

static _Atomic unsigned long nowhere, *counter = &nowhere;

static int is_weir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    const char *name = strrchr(path, '/');
    return name != NULL && strcmp(name, "/weir") == 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("ALLOCATIONS");
    int fd = file == NULL || !is_weir() ? -1 : open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED)
        counter = shared;
    close(fd);
}

void *malloc(size_t n)
{
    atomic_fetch_add(counter, 1);
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    atomic_fetch_add(counter, 1);
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    atomic_fetch_add(counter, 1);
    return __libc_realloc(p, n);
}
