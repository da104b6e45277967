/* status_table.c: see status_table.h. A cell is a text; what is not known, or does not apply, is a dash. A window that is too narrow has
 * fewer columns.
 *
 *   LINKS    in use / open                  MSG/S   requests, or where messages have frames all that these carried, a second;
 *   WAIT     exchanges that wait for one            without an earlier look: MESSAGES, since weir started
 *   HEALTH   the score of open links; of    P50     how long answers take; P99 likewise
 *            an upstream its worst server's RATIO   bytes before by bytes after compression
 *   CIRCUIT  of the breaker                 FLIGHT  exchanges under way
 *                                           FAILED  exchanges without an answer; of a server: those that it failed
 */
#include "status_table.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "latency.h"

#define CELL_MAX 24
#define LINE_MAX_BYTES 512
#define NAME_MIN 12
#define NAME_MAX_COLUMNS 40

typedef enum column {
    COLUMN_LINKS,
    COLUMN_WAIT,
    COLUMN_HEALTH,
    COLUMN_CIRCUIT,
    COLUMN_MESSAGES,
    COLUMN_P50,
    COLUMN_P99,
    COLUMN_RATIO,
    COLUMN_FLIGHT,
    COLUMN_FAILED,
    COLUMNS,
} column_t;

static const struct {
    const char *title;
    unsigned width;
} columns[COLUMNS] = {{"LINKS", 7}, {"WAIT", 4}, {"HEALTH", 7}, {"CIRCUIT", 9}, {"MSG/S", 8},
                      {"P50", 6},   {"P99", 6},  {"RATIO", 5},  {"FLIGHT", 6},  {"FAILED", 6}};

typedef struct line {
    char name[LINE_MAX_BYTES];
    char cells[COLUMNS][CELL_MAX];
} line_t;

typedef struct table {
    FILE *out;
    const table_frame_t *frame;
    unsigned name_columns, nlines, nhidden;
} table_t;

/* ---- looking into /status ---- */

static const json_t *at(const json_t *json, const char *path)
{
    while (json != NULL && *path != '\0') {
        size_t n = strcspn(path, "/");
        json = json_object_getn(json, path, n);
        path += n + (path[n] == '/');
    }
    return json;
}

static double number_at(const json_t *json, const char *path)
{
    return json_number_value(at(json, path));
}

static const json_t *named(const json_t *list, const char *key, const char *name)
{
    const json_t *member;
    size_t i;
    json_array_foreach(list, i,
                       member) if (name != NULL &&
                                   strcmp(name, json_string_value(json_object_get(member, key))) == 0) return member;
    return NULL;
}

/* The module of the upstream's chain that keeps such a group: known by what it says, whatever its name is. */
static const json_t *keeper_of(const json_t *upstream, const char *group)
{
    const json_t *module;
    size_t i;
    json_array_foreach(json_object_get(upstream, "chain"), i,
                       module) if (json_object_get(module, group) != NULL) return module;
    return NULL;
}

/* What is kept there of a server. */
static const json_t *server_at(const json_t *upstream, const char *group, const char *server)
{
    return json_object_get(at(keeper_of(upstream, group), group), server);
}

/* ---- cells ---- */

static void cell(line_t *line, column_t column, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void cell(line_t *line, column_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(line->cells[column], CELL_MAX, format, args);
    va_end(args);
}

static void line_begin(line_t *line, const char *indent, const char *name)
{
    snprintf(line->name, sizeof(line->name), "%s%s", indent, name);
    for (char *p = line->name; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 127) /* no name moves the cursor */
            *p = '?';
    for (int i = 0; i < COLUMNS; i++)
        cell(line, (column_t)i, "-");
}

static void cell_time(line_t *line, column_t column, uint64_t us)
{
    if (us < 1000)
        cell(line, column, "%" PRIu64 "us", us);
    else if (us < 1000000)
        cell(line, column, us < 10000 ? "%.1fms" : "%.0fms", (double)us / 1e3);
    else
        cell(line, column, us < 10000000 ? "%.1fs" : "%.0fs", (double)us / 1e6);
}

static void cell_latency(line_t *line, const json_t *now, const json_t *before)
{
    uint64_t buckets[LATENCY_BUCKETS];
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        char bound[32];
        snprintf(bound, sizeof(bound), "%" PRIu64, latency_bound(i));
        json_int_t is = json_integer_value(json_object_get(at(now, "latency/buckets"), bound));
        json_int_t was = json_integer_value(json_object_get(at(before, "latency/buckets"), bound));
        buckets[i] = is > was ? (uint64_t)(is - was) : 0;
    }
    if (latency_count(buckets) == 0)
        return;
    cell_time(line, COLUMN_P50, latency_quantile(buckets, 0.5));
    cell_time(line, COLUMN_P99, latency_quantile(buckets, 0.99));
}

/* A weir that was started again has counted less than before. */
static void cell_messages(line_t *line, const table_t *table, double now, double before)
{
    if (table->frame->before == NULL)
        cell(line, COLUMN_MESSAGES, "%.0f", now);
    else if (table->frame->seconds > 0)
        cell(line, COLUMN_MESSAGES, "%.0f", (now >= before ? now - before : now) / table->frame->seconds);
}

static double open_links(const json_t *counted)
{
    return number_at(counted, "links") - number_at(counted, "connecting");
}

static void cell_links(line_t *line, const json_t *counted)
{
    cell(line, COLUMN_LINKS, "%.0f/%.0f", number_at(counted, "busy"), open_links(counted));
}

/* ---- lines ---- */

static void line_write(table_t *table, const line_t *line)
{
    char text[LINE_MAX_BYTES];
    unsigned rows = table->frame->rows, width = table->frame->columns;
    if (rows > 0 && table->nlines + 2 > rows) { /* the last one says how many are missing */
        table->nhidden++;
        return;
    }
    unsigned n = (unsigned)snprintf(text, sizeof(text), "%-*.*s", (int)table->name_columns, (int)table->name_columns,
                                    line->name);
    for (int i = 0; i < COLUMNS && (width == 0 || n + 1 + columns[i].width <= width); i++)
        n += (unsigned)snprintf(text + n, sizeof(text) - n, " %*s", (int)columns[i].width, line->cells[i]);
    if (width > 0 && n > width)
        text[width] = '\0';
    fprintf(table->out, "%s%s\n", text, table->frame->end_of_line == NULL ? "" : table->frame->end_of_line);
    table->nlines++;
}

static void titles_write(table_t *table)
{
    line_t line;
    line_begin(&line, "", "UPSTREAM");
    for (int i = 0; i < COLUMNS; i++)
        cell(&line, (column_t)i, "%s", columns[i].title);
    if (table->frame->before == NULL)
        cell(&line, COLUMN_MESSAGES, "MESSAGES");
    line_write(table, &line);
}

static void server_line(table_t *table, const json_t *server, const json_t *upstream, const json_t *before)
{
    const char *name = json_string_value(json_object_get(server, "name"));
    const json_t *pooled = server_at(upstream, "servers", name);
    const char *state = json_string_value(at(server_at(upstream, "circuits", name), "state"));
    line_t line;
    line_begin(&line, "  ", name == NULL ? "?" : name);
    if (pooled != NULL) {
        cell_links(&line, pooled);
        cell(&line, COLUMN_FLIGHT, "%.0f", number_at(pooled, "in_flight"));
        if (number_at(pooled, "ejected_now") > 0)
            cell(&line, COLUMN_HEALTH, "ejected");
        else if (open_links(pooled) > 0)
            cell(&line, COLUMN_HEALTH, "%.2f", number_at(pooled, "score/total"));
        cell_messages(&line, table, number_at(pooled, "requests"),
                      number_at(server_at(before, "servers", name), "requests"));
        cell(&line, COLUMN_FAILED, "%.0f", number_at(pooled, "errors"));
    }
    if (state != NULL)
        cell(&line, COLUMN_CIRCUIT, "%s", state);
    cell_latency(&line, server, named(json_object_get(before, "servers"), "name", name));
    line_write(table, &line);
}

/* The worst of its servers says how an upstream is. */
static void cell_health(line_t *line, const json_t *pool)
{
    double worst = 2;
    const char *name;
    json_t *server;
    json_object_foreach((json_t *)at(pool, "servers"), name, server)
    {
        if (open_links(server) > 0 && number_at(server, "score/total") < worst)
            worst = number_at(server, "score/total");
    }
    if (worst <= 1)
        cell(line, COLUMN_HEALTH, "%.2f", worst);
}

static void cell_circuits(line_t *line, const json_t *breaker)
{
    size_t total = 0, closed = 0;
    const char *name, *state = NULL;
    json_t *circuit;
    json_object_foreach((json_t *)at(breaker, "circuits"), name, circuit)
    {
        state = json_string_value(json_object_get(circuit, "state"));
        total++;
        closed += state != NULL && strcmp(state, "closed") == 0;
    }
    if (total == 1 || (total > 0 && closed == total))
        cell(line, COLUMN_CIRCUIT, "%s", state);
    else if (total > 0)
        cell(line, COLUMN_CIRCUIT, "%zu/%zu ill", total - closed, total);
}

static double failures_of(const json_t *row)
{
    double sum = 0;
    const char *reason;
    json_t *count;
    json_object_foreach((json_t *)at(row, "failures"), reason, count) sum += json_number_value(count);
    return sum;
}

static double messages_of(const json_t *row)
{
    const json_t *frames = at(row, "frames");
    return frames == NULL ? number_at(row, "exchanges")
                          : number_at(frames, "messages_out") + number_at(frames, "messages_in");
}

/* Of frames, or else of a transport that compresses by itself. */
static double ratio_of(const json_t *row)
{
    const char *name;
    json_t *transport;
    double ratio = number_at(row, "frames/compression_ratio");
    json_object_foreach((json_t *)at(row, "transports"), name, transport) if (ratio == 0) ratio =
        number_at(transport, "compression_ratio");
    return ratio;
}

static void cell_ratio(line_t *line, const json_t *row)
{
    double ratio = ratio_of(row);
    if (ratio > 0)
        cell(line, COLUMN_RATIO, "%.2f", ratio);
}

static void row_line(table_t *table, const char *name, const json_t *row, const json_t *before)
{
    const json_t *pool = keeper_of(row, "servers");
    line_t line;
    line_begin(&line, "", name);
    if (pool != NULL)
        cell_links(&line, pool);
    else if (at(row, "links") != NULL)
        cell(&line, COLUMN_LINKS, "%.0f", number_at(row, "links"));
    if (at(row, "exchanges") != NULL) {
        cell(&line, COLUMN_FLIGHT, "%.0f", number_at(row, "in_flight"));
        cell(&line, COLUMN_FAILED, "%.0f", failures_of(row));
    }
    if (at(row, "waiting") != NULL)
        cell(&line, COLUMN_WAIT, "%.0f", number_at(row, "waiting"));
    cell_health(&line, pool);
    cell_circuits(&line, keeper_of(row, "circuits"));
    cell_messages(&line, table, messages_of(row), messages_of(before));
    cell_ratio(&line, row);
    cell_latency(&line, row, before);
    line_write(table, &line);
}

static void upstream_lines(table_t *table, const char *name, const json_t *upstream, const json_t *before)
{
    const json_t *servers = at(upstream, "servers"), *server;
    size_t i;
    row_line(table, name, upstream, before);
    json_array_foreach(servers, i, server) if (json_array_size(servers) > 1)
        server_line(table, server, upstream, before);
}

static void lines_write(table_t *table)
{
    const json_t *now = table->frame->now, *before = table->frame->before;
    const char *name;
    json_t *row;
    json_object_foreach((json_t *)at(now, "upstreams"), name, row)
        upstream_lines(table, name, row, json_object_get(at(before, "upstreams"), name));
    json_object_foreach((json_t *)at(now, "listeners"), name, row)
    {
        char title[LINE_MAX_BYTES];
        snprintf(title, sizeof(title), "listener %s", name);
        row_line(table, title, row, json_object_get(at(before, "listeners"), name));
    }
    if (number_at(now, "other/exchanges") > 0)
        row_line(table, "(no upstream)", at(now, "other"), at(before, "other"));
}

/* ---- the table ---- */

/* As wide as the longest name, as long as the window has room for it. */
static unsigned names_width(const table_frame_t *frame)
{
    size_t width = NAME_MIN;
    const char *name;
    json_t *upstream, *server;
    size_t i;
    json_object_foreach((json_t *)at(frame->now, "upstreams"), name, upstream)
    {
        width = strlen(name) > width ? strlen(name) : width;
        json_array_foreach(at(upstream, "servers"), i, server)
        {
            size_t n = json_string_length(json_object_get(server, "name")) + 2;
            width = json_array_size(at(upstream, "servers")) > 1 && n > width ? n : width;
        }
    }
    return width > NAME_MAX_COLUMNS ? NAME_MAX_COLUMNS : (unsigned)width;
}

static void head_write(table_t *table)
{
    const json_t *now = table->frame->now;
    char text[LINE_MAX_BYTES];
    int n = snprintf(text, sizeof(text), "weir %s, configuration %.0f%s, %.0f clients",
                     json_string_value(at(now, "version")), number_at(now, "worker/generation"),
                     json_is_true(at(now, "draining")) ? " (draining)" : "", number_at(now, "clients"));
    if (table->frame->columns > 0 && n > (int)table->frame->columns)
        text[table->frame->columns] = '\0';
    fprintf(table->out, "%s%s\n", text, table->frame->end_of_line == NULL ? "" : table->frame->end_of_line);
    table->nlines++;
}

int table_write(FILE *out, const table_frame_t *frame)
{
    table_t table = {.out = out, .frame = frame, .name_columns = names_width(frame)};
    head_write(&table);
    titles_write(&table);
    lines_write(&table);
    if (table.nhidden > 0)
        fprintf(out, "... and %u more%s\n", table.nhidden, frame->end_of_line == NULL ? "" : frame->end_of_line);
    return ferror(out) ? WEIR_EFAIL : WEIR_OK;
}
