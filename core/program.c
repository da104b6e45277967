/* program.c: see program.h. */
#include "program.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0;
}

static bool is_in_path(const char *name, const char *path)
{
    char file[4096];
    for (const char *at = path; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ":");
        int length = snprintf(file, sizeof(file), "%.*s/%s", n == 0 ? 1 : (int)n, n == 0 ? "." : at, name);
        if (length > 0 && (size_t)length < sizeof(file) && is_program(file))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

int program_check(const char *program, const char *path, weir_error_t *err)
{
    if (strchr(program, '/') == NULL)
        return is_in_path(program, path != NULL ? path : getenv("PATH"))
                   ? WEIR_OK
                   : weir_error(err, "there is no program '%s' in PATH; install it, or name it with its folder",
                                program);
    if (is_program(program))
        return WEIR_OK;
    return weir_error(err, "cannot run '%s': %s", program,
                      access(program, F_OK) != 0 ? "there is no such file" : "it is not an executable file");
}
