/* template.h: the configurations that are part of the program (conf/run.yaml, conf/connect.yaml), filled in from the command line. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

/* What stands for a word between @ signs: one text, or a list of them. */
typedef struct template_word {
    const char *name;  /* "@URL@"; NULL ends the words */
    const char *text;  /* NULL: `list` */
    char *const *list; /* ended by NULL */
} template_word_t;

/* The configuration; the caller frees it. NULL when there is no memory. */
char *template_fill(const char *text, const template_word_t *words);

#endif
