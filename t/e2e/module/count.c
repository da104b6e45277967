/* count.c: a module of somebody else's, whole in one file: counts tool calls by name, and refuses one tool.
 *
 * Built with nothing but the installed headers:   cc -shared -fPIC -I/usr/local/include -o count.so count.c
 * and used in a chain before the pool:            chain: [ { count: { refuse: delete_everything } }, pool ]
 *
 * An instance belongs to one upstream in one process. So every worker counts what it served, and /status shows the counts of
 * the worker that answers.
 */
#include <stdlib.h>

#include <weir/module.h>

#define NAME_MAX_BYTES 64
#define MESSAGE_MAX 1024

/* The option table below says how these stand in the configuration; the host fills them in. */
typedef struct options {
    const char *refuse;
    int64_t max_names;
    const char *password;
} options_t;

typedef struct tool {
    char name[NAME_MAX_BYTES + 1];
    uint64_t calls;
} tool_t;

typedef struct count {
    const weir_host_t *host;
    const options_t *options; /* the host's, as long as the instance */
    uint64_t calls, refused, unnamed;
    size_t ntools;
    tool_t tools[]; /* room for max_names */
} count_t;

static void *count_create(const weir_host_t *host, weir_upstream_t *upstream, const void *options, weir_error_t *err)
{
    const options_t *o = options;
    if (o->refuse != NULL && strlen(o->refuse) > NAME_MAX_BYTES) {
        weir_error(err, "refuse: a tool's name of more than %d bytes", NAME_MAX_BYTES); /* the host says where */
        return NULL;
    }
    count_t *count = calloc(1, sizeof(*count) + (size_t)o->max_names * sizeof(tool_t));
    if (count == NULL) {
        weir_error(err, "no memory for %lld names", (long long)o->max_names);
        return NULL;
    }
    count->host = host;
    count->options = o;
    if (o->refuse != NULL)
        host->log(WEIR_LOG_INFO, "count: %s: the tool %s will be refused", upstream->name, o->refuse);
    return count;
}

static void count_destroy(void *self)
{
    free(self);
}

/* The counter of a name; a client can ask for names without end, so what finds no room is counted as one. */
static uint64_t *count_of(count_t *count, weir_slice_t name)
{
    for (size_t i = 0; i < count->ntools; i++)
        if (weir_slice_eq(name, weir_slice_str(count->tools[i].name)))
            return &count->tools[i].calls;
    if (count->ntools == (size_t)count->options->max_names || name.n == 0 || name.n > NAME_MAX_BYTES)
        return &count->unnamed;
    tool_t *tool = &count->tools[count->ntools++];
    memcpy(tool->name, name.p, name.n); /* the rest is zero */
    return &tool->calls;
}

/* Answer in the server's place: a JSON-RPC error with the request's own id. */
static weir_verdict_t count_refuse(count_t *count, weir_exchange_t *ex)
{
    char message[MESSAGE_MAX];
    size_t n = count->host->message_error(message, sizeof(message), ex->message.envelope.id, -32602,
                                          WEIR_LIT("this tool is refused here"), WEIR_LIT("refused"));
    count->refused++;
    if (n == 0) /* an id that is too long to be repeated */
        count->host->exchange_fail(ex, WEIR_REASON_BAD_REQUEST, "count: the id of a refused call is too long");
    else
        count->host->exchange_answer(ex, 200, weir_slice(message, n));
    return WEIR_ANSWERED;
}

/* The name that is called: the client may have written it with escapes. One of NAME_MAX_BYTES takes six times as many at most. */
static weir_slice_t called_name(const count_t *count, const weir_envelope_t *envelope, char text[6 * NAME_MAX_BYTES])
{
    weir_slice_t name = envelope->name;
    if (!envelope->is_name_escaped || name.n > 6 * NAME_MAX_BYTES)
        return name;
    return weir_slice(text, count->host->text_unescape(name, text));
}

static weir_verdict_t count_request(void *self, weir_exchange_t *ex, void *state)
{
    (void)state;
    count_t *count = self;
    const weir_envelope_t *envelope = &ex->message.envelope;
    if (envelope->kind != WEIR_KIND_REQUEST || !weir_slice_eq(envelope->method, WEIR_LIT("tools/call")))
        return WEIR_PASS;
    char text[6 * NAME_MAX_BYTES];
    weir_slice_t name = called_name(count, envelope, text);
    count->calls++;
    ++*count_of(count, name);
    if (count->options->refuse != NULL && weir_slice_eq(name, weir_slice_str(count->options->refuse)))
        return count_refuse(count, ex);
    return WEIR_PASS;
}

static void count_status(void *self, weir_status_t *status)
{
    const count_t *count = self;
    status->number(status, "calls", (double)count->calls);
    status->number(status, "refused", (double)count->refused);
    status->number(status, "unnamed", (double)count->unnamed);
    for (size_t i = 0; i < count->ntools; i++) {
        char member[NAME_MAX_BYTES + 16];
        snprintf(member, sizeof(member), "calls of %s", count->tools[i].name);
        status->number(status, member, (double)count->tools[i].calls);
    }
}

static const weir_option_t count_options[] = {
    {.name = "refuse",
     .type = WEIR_TYPE_STRING,
     .offset = offsetof(options_t, refuse),
     .doc = "a tool whose calls are answered with an error"},
    {.name = "max_names",
     .type = WEIR_TYPE_INT,
     .offset = offsetof(options_t, max_names),
     .fallback = "100",
     .min = 1,
     .max = 10000,
     .doc = "tools to count by name; calls of further ones are counted together"},
    {.name = "password",
     .type = WEIR_TYPE_SECRET,
     .offset = offsetof(options_t, password),
     .doc = "opens nothing: what is secret is not told by /status"},
    {.name = NULL},
};

static const weir_figure_t count_figures[] = {
    WEIR_COUNTER("calls", "Calls of tools"),
    WEIR_COUNTER("refused", "Calls of the tool that is refused"),
    {.path = NULL},
};

static const weir_exchange_module_t count_exchange = {
    .create = count_create,
    .destroy = count_destroy,
    .request = count_request,
    .status = count_status,
};

WEIR_MODULE = {
    WEIR_MODULE_HEADER,
    .name = "count",
    .doc = "counts tool calls by name, and refuses one tool",
    .options = count_options,
    .options_size = sizeof(options_t),
    .exchange = &count_exchange,
    .figures = count_figures,
};
