/* SPDX-License-Identifier: ISC
 *
 * list: a ring of nodes that stand in what they link. The caller guards it.
 */
#ifndef WR_LIST_H
#define WR_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wr_node {
    struct wr_node *next, *prev; /* of a head without members, and of a node on no list: itself */
} wr_node;

#define wr_of(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void wr_list_init(wr_node *node);
bool wr_list_empty(const wr_node *head);
void wr_list_push(wr_node *head, wr_node *node); /* last */
void wr_list_remove(wr_node *node);              /* from its list, if it is on one */
/* The first, taken off; NULL if there is none. */
wr_node *wr_list_pop(wr_node *head);
/* All of `from`, in order, before what `to` has. */
void wr_list_prepend(wr_node *to, wr_node *from);

#endif
