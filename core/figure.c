/* figure.c: see figure.h. */
#include "figure.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), nend = strlen(end);
    return n >= nend && strcmp(text + n - nend, end) == 0;
}

/* The parts of a path, but for labels and what stands before one, which says what the label is. */
static void path_join(char *name, size_t n, const char *path)
{
    size_t at = 0;
    name[0] = '\0';
    while (*path != '\0') {
        size_t part = strcspn(path, "/");
        const char *next = path + part + (path[part] == '/');
        if (path[0] != '{' && next[0] != '{' && at + part + 2 < n)
            at += (size_t)snprintf(name + at, n - at, "%s%.*s", at > 0 ? "_" : "", (int)part, path);
        path = next;
    }
}

double figure_scale(const weir_figure_t *figure)
{
    return ends_with(figure->path, "_us") ? 1e-6 : ends_with(figure->path, "_ms") ? 1e-3 : 1;
}

void figure_metric(char *name, size_t n, const char *owner, const weir_figure_t *figure)
{
    char base[128];
    if (figure->metric != NULL)
        snprintf(base, sizeof(base), "%s", figure->metric);
    else
        path_join(base, sizeof(base), figure->path);
    if (ends_with(base, "_us") || ends_with(base, "_ms"))
        base[strlen(base) - 3] = '\0';
    snprintf(name, n, "weir_%s%s%s%s%s", owner == NULL ? "" : owner, owner == NULL ? "" : "_", base,
             figure_scale(figure) < 1 ? "_seconds" : "", figure->kind == WEIR_FIGURE_COUNTER ? "_total" : "");
}
