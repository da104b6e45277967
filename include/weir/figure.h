/* figure.h: how a module declares what it counts.
 *
 * `status` shows numbers and texts as members of an object, in /status. A table says what they mean: by it the core offers them at
 * /metrics, and `weir modules NAME` prints them. What is in no table is in /status alone.
 */
#ifndef WEIR_FIGURE_H
#define WEIR_FIGURE_H

typedef enum weir_figure_kind {
    WEIR_FIGURE_GAUGE,     /* goes up and down */
    WEIR_FIGURE_COUNTER,   /* only grows */
    WEIR_FIGURE_HISTOGRAM, /* the core's own: how long answers took */
    WEIR_FIGURE_STATE,     /* a text, which is one of `states`; each of them is a series that is 1 or 0 */
} weir_figure_kind_t;

/* One figure. A table ends with a figure whose path is NULL. All strings are the module's and live as long as it.
 *
 * path     where it stands in the module's object: "waiting", "score/latency". A part in braces stands for members of any name, and
 *          is a label: "servers/{server}/links"
 * metric   its name, behind weir_MODULE_; NULL: the path without its labels and what they are members of. A path that ends with
 *          _us or _ms is told in seconds, and its metric's name, as well as _total of a counter, is made so by the core
 */
typedef struct weir_figure {
    const char *path;
    weir_figure_kind_t kind;
    const char *metric;
    const char *const *states; /* WEIR_FIGURE_STATE: ended by NULL; without them the text itself is a label */
    const char *doc;           /* one line for people */
} weir_figure_t;

#define WEIR_GAUGE(at, text)                                                                                           \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_GAUGE, .doc = text                                                             \
    }
#define WEIR_COUNTER(at, text)                                                                                         \
    {                                                                                                                  \
        .path = at, .kind = WEIR_FIGURE_COUNTER, .doc = text                                                           \
    }

#endif
