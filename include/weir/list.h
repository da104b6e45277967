/* list.h: the one list of weir: intrusive, doubly linked, circular. A node is in one list at most; whoever embeds it owns it. */
#ifndef WEIR_LIST_H
#define WEIR_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct weir_list {
    struct weir_list *next, *prev;
} weir_list_t;

#define WEIR_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Walk a list; the node at hand may be removed. */
#define WEIR_LIST_EACH(head, it)                                                                                       \
    for (weir_list_t *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

static inline void weir_list_init(weir_list_t *l)
{
    l->next = l->prev = l;
}

static inline bool weir_list_empty(const weir_list_t *l)
{
    return l->next == l;
}

static inline void weir_list_append(weir_list_t *head, weir_list_t *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void weir_list_prepend(weir_list_t *head, weir_list_t *node)
{
    weir_list_append(head->next, node);
}

/* Take a node out of whatever list it is in; harmless on a node that is in none. */
static inline void weir_list_remove(weir_list_t *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    weir_list_init(node);
}

#endif
