/* option.h: how a module declares its options.
 *
 * A module hands over a table; the core reads the configuration into the module's struct by it, checks ranges, refuses
 * unknown keys with a suggestion, prints the table (`weir modules NAME`) and makes a JSON Schema of it (`weir schema`).
 * A module never reads YAML.
 */
#ifndef WEIR_OPTION_H
#define WEIR_OPTION_H

#include <stdint.h>

#include "slice.h"

/* The type of an option, and of the struct member it is read into. */
typedef enum weir_type {
    WEIR_TYPE_BOOL,     /* bool: true, false */
    WEIR_TYPE_INT,      /* int64_t */
    WEIR_TYPE_DURATION, /* uint64_t, milliseconds: 250ms, 30s, 5m, 1h, 1d, or 0 */
    WEIR_TYPE_SIZE,     /* uint64_t, bytes: 512, 64KiB, 4MiB, 1GiB */
    WEIR_TYPE_RATIO,    /* double: 0.8 or 80% */
    WEIR_TYPE_STRING,   /* const char *, NUL-terminated; NULL when absent and without a default */
    WEIR_TYPE_PATH,     /* const char *: a file; a relative one is taken from the folder of the configuration file */
    WEIR_TYPE_ENUM,     /* int: the index into `names` */
    WEIR_TYPE_STRINGS,  /* weir_strings_t: a list of strings; one string alone is a list of one */
    WEIR_TYPE_MAP,      /* weir_map_t: names to strings (environment variables) */
    WEIR_TYPE_SECRET,   /* as WEIR_TYPE_STRING, and /status does not tell it */
} weir_type_t;

typedef struct weir_strings {
    const char *const *items; /* NUL-terminated strings; items[count] is NULL, so that it serves as an argv */
    size_t count;
} weir_strings_t;

typedef struct weir_map {
    const char *const *names;
    const char *const *values;
    size_t count;
} weir_map_t;

/* One option. A table ends with an option whose name is NULL. All strings are the module's and live as long as it. */
typedef struct weir_option {
    const char *name; /* as it stands in the configuration: lower case, words joined by `_` */
    weir_type_t type;
    size_t offset;        /* offsetof() in the module's option struct */
    const char *fallback; /* the default as one would write it; NULL: none (0, NULL, empty) */
    double min, max;      /* range for numbers, in the unit of the member; min == max: any */
    const char *const *
        names; /* WEIR_TYPE_ENUM: the words, ended by NULL. WEIR_TYPE_INT: words that stand beside the numbers, read as -1, -2, … */
    bool is_required;
    const char *doc; /* one line for people */
} weir_option_t;

#endif
