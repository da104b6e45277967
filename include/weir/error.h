/* error.h: errors are values. A function that can fail returns an int, 0 for success and a negative WEIR_E… otherwise, and
 * writes its story into the weir_error_t its caller gave, so that the one place that speaks can tell it whole.
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    WEIR_OK = 0,
    WEIR_EFAIL = -1,   /* failed; the error says why */
    WEIR_EAGAIN = -2,  /* nothing now; a callback follows */
    WEIR_EFULL = -3,   /* a configured bound is reached */
    WEIR_ENOHOLD = -4, /* the exchange has ended or is held already */
    WEIR_ECLOSED = -5, /* the other end has gone */
};

#define WEIR_ERROR_MAX 512

/* The story of a failure. Lives on the stack of whoever wants to hear it; a NULL error is allowed and tells nobody. */
typedef struct weir_error {
    char text[WEIR_ERROR_MAX];
} weir_error_t;

/* Write the story and return WEIR_EFAIL, so that `return weir_error(err, "…")` is one statement. */
__attribute__((format(printf, 2, 3))) static inline int weir_error(weir_error_t *err, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return WEIR_EFAIL;
}

/* Put a sentence before the story that is there: "listener edge: " + "cannot bind …". Returns WEIR_EFAIL. */
__attribute__((format(printf, 2, 3))) static inline int weir_error_wrap(weir_error_t *err, const char *format, ...)
{
    if (err != NULL) {
        char inner[WEIR_ERROR_MAX];
        memcpy(inner, err->text, sizeof(inner));
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof(err->text))
            snprintf(err->text + n, sizeof(err->text) - (size_t)n, "%s", inner);
    }
    return WEIR_EFAIL;
}

#endif
