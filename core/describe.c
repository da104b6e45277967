/* describe.c: what a module's tables say, as text. */
#include "describe.h"

#include "figure.h"
#include "number.h"

static const char *type_name(const weir_option_t *option)
{
    switch (option->type) {
    case WEIR_TYPE_BOOL:
        return "true or false";
    case WEIR_TYPE_INT:
        return "number";
    case WEIR_TYPE_DURATION:
        return "duration";
    case WEIR_TYPE_SIZE:
        return "size";
    case WEIR_TYPE_RATIO:
        return "ratio";
    case WEIR_TYPE_STRING:
        return "text";
    case WEIR_TYPE_SECRET:
        return "text, a secret";
    case WEIR_TYPE_PATH:
        return "path";
    case WEIR_TYPE_ENUM:
        return "one of";
    case WEIR_TYPE_STRINGS:
        return "list of texts";
    case WEIR_TYPE_MAP:
        return "names with texts";
    }
    return "?";
}

static void print_names(FILE *out, const weir_option_t *option, const char *before_first, const char *before_others)
{
    for (const char *const *name = option->names; name != NULL && *name != NULL; name++)
        fprintf(out, "%s %s", name == option->names ? before_first : before_others, *name);
}

static void print_option(FILE *out, const weir_option_t *option)
{
    bool is_enum = option->type == WEIR_TYPE_ENUM;
    fprintf(out, "  %-22s %s", option->name, type_name(option));
    if (is_enum)
        print_names(out, option, "", ",");
    if (option->min < option->max) {
        char min[32], max[32];
        number_write(min, sizeof(min), option->type, option->min);
        number_write(max, sizeof(max), option->type, option->max);
        fprintf(out, " from %s to %s", min, max);
    }
    if (!is_enum)
        print_names(out, option, " or", " or");
    if (option->is_required)
        fputs("; required", out);
    else if (option->fallback != NULL)
        fprintf(out, "; default %s", option->fallback);
    fprintf(out, "\n  %-22s   %s\n", "", option->doc == NULL ? "" : option->doc);
}

static void print_table(FILE *out, const char *where, const weir_option_t *table)
{
    if (table == NULL || table->name == NULL)
        return;
    fprintf(out, "\n%s:\n", where);
    for (; table->name != NULL; table++)
        print_option(out, table);
}

static void print_figures(FILE *out, const weir_module_t *module)
{
    static const char *const kinds[] = {[WEIR_FIGURE_GAUGE] = "gauge",
                                        [WEIR_FIGURE_COUNTER] = "counter",
                                        [WEIR_FIGURE_HISTOGRAM] = "histogram",
                                        [WEIR_FIGURE_STATE] = "state"};
    if (module->figures == NULL || module->figures->path == NULL)
        return;
    fputs("\nFigures in /status and at /metrics:\n", out);
    for (const weir_figure_t *figure = module->figures; figure->path != NULL; figure++) {
        char metric[128];
        figure_metric(metric, sizeof(metric), module->name, figure);
        fprintf(out, "  %-36s %s, %s\n  %-36s   %s\n", figure->path, kinds[figure->kind], metric, "", figure->doc);
    }
}

/* A word of a list, with what joins it to the one before. */
static void print_word(FILE *out, const char *word, int *n)
{
    fprintf(out, "%s%s", (*n)++ == 0 ? "" : ", ", word);
}

static void print_kinds(FILE *out, const weir_module_t *module)
{
    int n = 0;
    if (module->transport != NULL && module->transport->accept != NULL)
        print_word(out, "accepts clients", &n);
    if (module->transport != NULL && module->transport->connect != NULL)
        print_word(out, "reaches servers", &n);
    if (module->exchange != NULL)
        print_word(out, (module->exchange->flags & WEIR_OWNS_LINKS) != 0 ? "ends a chain" : "in a chain", &n);
    if (module->link != NULL)
        print_word(out, "in a chain, on links", &n);
    if (module->balancer != NULL)
        print_word(out, "balances", &n);
    if (module->codec != NULL)
        print_word(out, "codec", &n);
}

void describe_line(FILE *out, const weir_module_t *module)
{
    fprintf(out, "%-12s %s (", module->name, module->doc == NULL ? "" : module->doc);
    print_kinds(out, module);
    fputs(")\n", out);
}

void describe_module(FILE *out, const weir_module_t *module, const char *file)
{
    describe_line(out, module);
    fprintf(out, "%-12s %s, built for ABI %d.%d\n", "", file, module->abi_major, module->abi_minor);
    const weir_transport_t *transport = module->transport;
    if (transport != NULL && transport->accept != NULL)
        print_table(out, "Options of a listener", transport->accept->options);
    if (transport != NULL && transport->connect != NULL) {
        print_table(out, "Options of an upstream", transport->connect->upstream_options);
        print_table(out, "Options of a server", transport->connect->server_options);
    }
    print_table(out, "Options in a chain", module->options);
    print_figures(out, module);
}
