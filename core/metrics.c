/* metrics.c: see metrics.h. One pass through /status for each figure of the tables (figures.h, weir_module_t.figures): so all series
 * of a metric stand together, as the format wants them.
 */
#include "metrics.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include <weir/slice.h>

#include "figure.h"
#include "figures.h"
#include "latency.h"
#include "modules.h"
#include "proc.h"
#include "status.h"

#define LABELS_MAX 8
#define NAME_MAX_BYTES 192
#define BOUND_MIN_US 64u /* of the lowest bucket */

typedef struct label {
    weir_slice_t name;
    const char *value;
} label_t;

/* Where the pass is. */
typedef struct pass {
    FILE *out;
    const weir_figure_t *figure;
    char name[NAME_MAX_BYTES];
    char said[NAME_MAX_BYTES]; /* the metric whose HELP and TYPE were told last */
    label_t labels[LABELS_MAX];
    size_t nlabels;
} pass_t;

/* ---- one series ---- */

static void value_escape(FILE *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fputc(*value, out);
    }
}

static void family_say(pass_t *pass)
{
    if (strcmp(pass->name, pass->said) == 0)
        return;
    snprintf(pass->said, sizeof(pass->said), "%s", pass->name);
    static const char *const types[] = {[WEIR_FIGURE_GAUGE] = "gauge",
                                        [WEIR_FIGURE_COUNTER] = "counter",
                                        [WEIR_FIGURE_HISTOGRAM] = "histogram",
                                        [WEIR_FIGURE_STATE] = "gauge"};
    fprintf(pass->out, "# HELP %s %s\n# TYPE %s %s\n", pass->name, pass->figure->doc, pass->name,
            types[pass->figure->kind]);
}

static void label_push(pass_t *pass, weir_slice_t name, const char *value)
{
    if (pass->nlabels < LABELS_MAX)
        pass->labels[pass->nlabels++] = (label_t){name, value};
}

/* `part` stands behind the metric's name: of a histogram. */
static void series_say(pass_t *pass, const char *part, double value)
{
    family_say(pass);
    fprintf(pass->out, "%s%s", pass->name, part);
    for (size_t i = 0; i < pass->nlabels; i++) {
        fprintf(pass->out, "%s%.*s=\"", i == 0 ? "{" : ",", WEIR_FMT(pass->labels[i].name));
        value_escape(pass->out, pass->labels[i].value);
        fputc('"', pass->out);
    }
    fprintf(pass->out, "%s %.15g\n", pass->nlabels > 0 ? "}" : "", value);
}

/* The label of a state is the last part of its path. */
static void state_say(pass_t *pass, const char *is)
{
    const char *slash = strrchr(pass->figure->path, '/');
    weir_slice_t name = weir_slice_str(slash == NULL ? pass->figure->path : slash + 1);
    const char *const only[] = {is, NULL};
    for (const char *const *state = pass->figure->states == NULL ? only : pass->figure->states; *state != NULL;
         state++) {
        label_push(pass, name, *state);
        series_say(pass, "", strcmp(*state, is) == 0);
        pass->nlabels--;
    }
}

static void bucket_say(pass_t *pass, const char *bound, json_int_t count)
{
    label_push(pass, WEIR_LIT("le"), bound);
    series_say(pass, "_bucket", (double)count);
    pass->nlabels--;
}

/* Of the buckets that /status lists by their bounds in microseconds, those at each power of two: a scrape has to stay small. */
static void histogram_say(pass_t *pass, const json_t *latency)
{
    const json_t *buckets = json_object_get(latency, "buckets");
    json_int_t count = 0;
    char bound[32];
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t us = latency_bound(i);
        snprintf(bound, sizeof(bound), "%" PRIu64, us);
        count += json_integer_value(json_object_get(buckets, bound));
        snprintf(bound, sizeof(bound), "%.15g", (double)us * 1e-6);
        if (us >= BOUND_MIN_US && (us & (us - 1)) == 0)
            bucket_say(pass, i + 1 == LATENCY_BUCKETS ? "+Inf" : bound, count);
    }
    series_say(pass, "_sum", (double)json_integer_value(json_object_get(latency, "sum_us")) * 1e-6);
    series_say(pass, "_count", (double)count);
}

static void leaf_say(pass_t *pass, const json_t *leaf)
{
    if (pass->figure->kind == WEIR_FIGURE_STATE && json_is_string(leaf))
        state_say(pass, json_string_value(leaf));
    else if (pass->figure->kind == WEIR_FIGURE_HISTOGRAM)
        histogram_say(pass, leaf);
    else if (json_is_boolean(leaf))
        series_say(pass, "", json_is_true(leaf));
    else if (json_is_number(leaf))
        series_say(pass, "", json_number_value(leaf) * figure_scale(pass->figure));
}

/* ---- the pass ---- */

static void walk(pass_t *pass, const json_t *at, const char *path);

/* A member of each name; of a list, what each of its members calls itself. */
static void walk_each(pass_t *pass, const json_t *at, weir_slice_t label, const char *rest)
{
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach((json_t *)at, name, member)
    {
        label_push(pass, label, name);
        walk(pass, member, rest);
        pass->nlabels--;
    }
    json_array_foreach(at, i, member)
    {
        const char *own = json_string_value(json_object_get(member, "name"));
        label_push(pass, label, own == NULL ? "" : own);
        walk(pass, member, rest);
        pass->nlabels--;
    }
}

/* Of a chain: the first module of the name. */
static const json_t *member_of(const json_t *at, weir_slice_t name)
{
    const json_t *member;
    size_t i;
    json_array_foreach(at, i, member)
    {
        const char *module = json_string_value(json_object_get(member, "module"));
        if (module != NULL && weir_slice_eq(weir_slice_str(module), name))
            return member;
    }
    return json_is_object(at) ? json_object_getn(at, name.p, name.n) : NULL;
}

static void walk(pass_t *pass, const json_t *at, const char *path)
{
    size_t n = strcspn(path, "/");
    const char *rest = path + n + (path[n] == '/');
    if (at == NULL)
        return;
    if (n == 0)
        leaf_say(pass, at);
    else if (path[0] == '{')
        walk_each(pass, at, weir_slice(path + 1, n - 2), rest);
    else
        walk(pass, member_of(at, weir_slice(path, n)), rest);
}

static void figures_say(pass_t *pass, const json_t *status, const figures_t *figures, const char *owner)
{
    for (const weir_figure_t *figure = figures->table; figure->path != NULL; figure++) {
        pass->figure = figure;
        figure_metric(pass->name, sizeof(pass->name), owner, figure);
        for (const char *const *place = figures->places; *place != NULL; place++) {
            char path[2 * NAME_MAX_BYTES];
            snprintf(path, sizeof(path), "%s%s", *place, figure->path);
            walk(pass, status, path);
        }
    }
}

/* In chains, and as a transport. */
static void module_say(pass_t *pass, const json_t *status, const weir_module_t *module)
{
    static const char *const wheres[FIGURES_PLACES_MAX] = {
        "upstreams/{upstream}/chain", "upstreams/{upstream}/transports", "listeners/{listener}/chain",
        "listeners/{listener}/transports"};
    char places[FIGURES_PLACES_MAX][NAME_MAX_BYTES];
    figures_t figures = {.table = module->figures};
    for (size_t i = 0; i < FIGURES_PLACES_MAX; i++) {
        snprintf(places[i], sizeof(places[i]), "%s/%s/", wheres[i], module->name);
        figures.places[i] = places[i];
    }
    if (module->figures != NULL)
        figures_say(pass, status, &figures, module->name);
}

static void status_say(pass_t *pass, const json_t *status)
{
    const figures_t *core;
    size_t n = figures_core(&core);
    for (size_t i = 0; i < n; i++)
        figures_say(pass, status, &core[i], NULL);
    for (const module_t *m = proc->modules->first; m != NULL; m = m->next)
        module_say(pass, status, m->desc);
}

char *metrics_text(bool is_ready)
{
    char *text = NULL;
    size_t n = 0;
    json_t *status = status_tree(is_ready);
    pass_t pass = {.out = status == NULL ? NULL : open_memstream(&text, &n)};
    if (pass.out != NULL)
        status_say(&pass, status);
    json_decref(status);
    if (pass.out == NULL)
        return NULL;
    bool is_broken = ferror(pass.out) != 0;
    if (fclose(pass.out) == 0 && !is_broken)
        return text;
    free(text);
    return NULL;
}
