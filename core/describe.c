/* describe.c: what a module's tables say, as text. */
#include "describe.h"

#include <math.h>

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
    case WEIR_TYPE_PATH:
        return "file";
    case WEIR_TYPE_ENUM:
        return "one of";
    case WEIR_TYPE_STRINGS:
        return "list of texts";
    case WEIR_TYPE_MAP:
        return "names with texts";
    }
    return "?";
}

typedef struct unit {
    double of;
    const char *name;
} unit_t;

static const unit_t durations[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
static const unit_t sizes[] = {{1073741824, "GiB"}, {1048576, "MiB"}, {1024, "KiB"}, {1, ""}};
static const unit_t plain[] = {{1, ""}};

/* In the largest unit that leaves no fraction, as one would write it. */
static void print_number(FILE *out, double value, weir_type_t type)
{
    const unit_t *unit = type == WEIR_TYPE_DURATION ? durations : type == WEIR_TYPE_SIZE ? sizes : plain;
    while (unit->of > 1 && (value == 0 || fmod(value, unit->of) != 0))
        unit++;
    fprintf(out, "%.15g%s", value / unit->of, value == 0 ? "" : unit->name);
}

static void print_option(FILE *out, const weir_option_t *option)
{
    fprintf(out, "  %-22s %s", option->name, type_name(option));
    for (const char *const *name = option->names; name != NULL && *name != NULL; name++)
        fprintf(out, "%s %s", name == option->names ? "" : ",", *name);
    if (option->min < option->max) {
        fputs(", ", out);
        print_number(out, option->min, option->type);
        fputs(" to ", out);
        print_number(out, option->max, option->type);
    }
    if (option->is_required)
        fputs(", required", out);
    else if (option->fallback != NULL)
        fprintf(out, ", default %s", option->fallback);
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
}
