/* source.c: reading a configuration file whole, before anything looks at it: what is parsed here and what keepers get later is
 * the same text, whatever an editor does to the file meanwhile.
 */
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* More than any configuration; a wrong file name should not fill the memory. */
#define SOURCE_LIMIT_BYTES (64u << 20)

static char *stream_read(FILE *in, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return NULL;
    size_t n = fread(text, 1, size, in);
    if (ferror(in) != 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

char *source_read(const char *file, weir_error_t *err)
{
    struct stat st;
    char *text = NULL;
    FILE *in = fopen(file, "re");
    errno = in == NULL ? errno : 0;
    if (in != NULL && fstat(fileno(in), &st) == 0) {
        if (!S_ISREG(st.st_mode) || st.st_size > SOURCE_LIMIT_BYTES)
            errno = S_ISDIR(st.st_mode) ? EISDIR : EFBIG;
        else
            text = stream_read(in, (size_t)st.st_size);
    }
    int kept = errno;
    if (in != NULL)
        (void)fclose(in); /* only read from */
    if (text == NULL)
        weir_error(err, "%s: cannot read: %s", file, strerror(kept));
    return text;
}

int source_load(const char *file, config_t **config, weir_error_t *err)
{
    *config = NULL;
    char *text = source_read(file, err);
    if (text == NULL)
        return WEIR_EFAIL;
    int rc = config_load(file, weir_slice_str(text), config, err);
    free(text);
    return rc;
}
