/* SPDX-License-Identifier: ISC
 *
 * list.h: an intrusive doubly linked list over weir_link.
 *
 * A linked element has next != NULL; unlinking leaves it NULL, so that an
 * element knows whether it is on a list.
 */
#pragma once

#include "weir.h"

typedef struct {
    weir_link head; /* a ring through head; empty when head.next == &head */
} wi_list;

#define wi_container(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void wi_list_init(wi_list *l) { l->head.next = l->head.prev = &l->head; }

static inline bool wi_list_empty(const wi_list *l) { return l->head.next == &l->head; }
static inline bool wi_linked(const weir_link *e) { return e->next != NULL; }

static inline void wi_link_between(weir_link *prev, weir_link *e, weir_link *next)
{
    e->prev = prev, e->next = next;
    prev->next = next->prev = e;
}

static inline void wi_list_append(wi_list *l, weir_link *e)
{
    wi_link_between(l->head.prev, e, &l->head);
}

static inline void wi_list_push(wi_list *l, weir_link *e)
{
    wi_link_between(&l->head, e, l->head.next);
}

static inline void wi_list_insert_after(weir_link *prev, weir_link *e)
{
    wi_link_between(prev, e, prev->next);
}

static inline void wi_unlink(weir_link *e)
{
    e->prev->next = e->next, e->next->prev = e->prev;
    e->next = e->prev = NULL;
}

static inline weir_link *wi_list_first(const wi_list *l)
{
    return wi_list_empty(l) ? NULL : l->head.next;
}

static inline weir_link *wi_list_pop(wi_list *l)
{
    weir_link *e = wi_list_first(l);
    if (e)
        wi_unlink(e);
    return e;
}

/* The element after e, or NULL at the end. */
static inline weir_link *wi_list_after(const wi_list *l, const weir_link *e)
{
    return e->next == &l->head ? NULL : e->next;
}

/* Moves all of `from` to the end of `to`. */
static inline void wi_list_splice(wi_list *to, wi_list *from)
{
    if (wi_list_empty(from))
        return;
    from->head.next->prev = to->head.prev, from->head.prev->next = &to->head;
    to->head.prev->next = from->head.next, to->head.prev = from->head.prev;
    wi_list_init(from);
}
