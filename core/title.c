/* title.c: Linux keeps a process's command line in its own memory, argv's strings one behind the other. */
#include "title.h"

#include <string.h>
#include <sys/prctl.h>

title_t title_room(int argc, char **argv)
{
    if (argc < 1)
        return (title_t){NULL, 0};
    char *end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; i++)
        end += strlen(end) + 1;
    return (title_t){argv[0], (size_t)(end - argv[0])};
}

void title_set(const title_t *title, const char *text)
{
    (void)prctl(PR_SET_NAME, text); /* cut to 15 bytes by the kernel; a valid pointer cannot fail */
    if (title->size == 0)
        return;
    size_t n = strnlen(text, title->size - 1);
    memset(title->start, 0, title->size);
    memcpy(title->start, text, n);
}
