/*
 * Intrusive lists: a doubly linked list with O(1) removal, and a singly linked FIFO.
 *
 * The node lives in the thing that is listed; lido__container_of gets back to it. Nothing here
 * allocates and nothing is thread-safe: whoever owns the head owns the nodes' links.
 */
#ifndef LIDO_BASE_LIST_H
#define LIDO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define lido__container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* A doubly linked, circular list; a head is a node that no element contains. */
struct lido__node {
    struct lido__node *next;
    struct lido__node *prev;
};

static inline void lido__list_init(struct lido__node *head)
{
    head->next = head->prev = head;
}

static inline bool lido__list_empty(const struct lido__node *head)
{
    return head->next == head;
}

static inline void lido__list_push(struct lido__node *head, struct lido__node *node)
{
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

static inline void lido__list_remove(struct lido__node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
}

/* Moves everything in `from` to the end of `head`, in order; `from` is empty after. O(1). */
static inline void lido__list_splice(struct lido__node *head, struct lido__node *from)
{
    if (lido__list_empty(from))
        return;
    from->next->prev = head->prev;
    from->prev->next = head;
    head->prev->next = from->next;
    head->prev = from->prev;
    lido__list_init(from);
}

/* A singly linked FIFO. `tail` points at the link that the next push fills. */
struct lido__link {
    struct lido__link *next;
};

struct lido__fifo {
    struct lido__link *head;
    struct lido__link **tail;
};

static inline void lido__fifo_init(struct lido__fifo *fifo)
{
    fifo->head = NULL;
    fifo->tail = &fifo->head;
}

static inline bool lido__fifo_empty(const struct lido__fifo *fifo)
{
    return fifo->head == NULL;
}

static inline void lido__fifo_push(struct lido__fifo *fifo, struct lido__link *link)
{
    link->next = NULL;
    *fifo->tail = link;
    fifo->tail = &link->next;
}

/* The oldest link, or NULL. */
static inline struct lido__link *lido__fifo_pop(struct lido__fifo *fifo)
{
    struct lido__link *link = fifo->head;
    if (!link)
        return NULL;
    fifo->head = link->next;
    if (!fifo->head)
        fifo->tail = &fifo->head;
    return link;
}

#endif
