/* SPDX-License-Identifier: ISC
 *
 * list: a ring of nodes.
 */
#include "list.h"

void wr_list_init(wr_node *node) { node->next = node->prev = node; }
bool wr_list_empty(const wr_node *head) { return head->next == head; }

void wr_list_push(wr_node *head, wr_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

void wr_list_remove(wr_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    wr_list_init(node);
}

wr_node *wr_list_pop(wr_node *head)
{
    wr_node *first = head->next;
    if (first == head)
        return NULL;
    wr_list_remove(first);
    return first;
}

void wr_list_prepend(wr_node *to, wr_node *from)
{
    if (wr_list_empty(from))
        return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    wr_list_init(from);
}
