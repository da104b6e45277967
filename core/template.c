/* template.c: see template.h. */
#include "template.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A YAML string in double quotes. Bytes beyond ASCII pass: what is not UTF-8 the parser refuses, with its place. */
static void quote(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void quote_list(FILE *out, char *const *texts)
{
    for (char *const *text = texts; *text != NULL; text++) {
        fputs(text == texts ? "[" : ", ", out);
        quote(out, *text);
    }
    fputc(']', out);
}

/* Write what stands for a word of the template; the length of the word, or 0 when it is none. */
static size_t fill_word(FILE *out, const char *at, const template_word_t *words)
{
    for (; words->name != NULL; words++) {
        size_t n = strlen(words->name);
        if (strncmp(at, words->name, n) != 0)
            continue;
        if (words->text != NULL)
            quote(out, words->text);
        else
            quote_list(out, words->list);
        return n;
    }
    return 0;
}

char *template_fill(const char *text, const template_word_t *words)
{
    char *filled = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&filled, &size);
    if (out == NULL)
        return NULL;
    for (const char *at = text; *at != '\0';) {
        size_t n = *at == '@' ? fill_word(out, at, words) : 0;
        if (n == 0)
            fputc(*at, out);
        at += n == 0 ? 1 : n;
    }
    bool is_whole = ferror(out) == 0;
    if (fclose(out) == 0 && is_whole)
        return filled;
    free(filled);
    return NULL;
}
