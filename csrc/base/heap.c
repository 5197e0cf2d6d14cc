/* SPDX-License-Identifier: ISC
 *
 * heap.c: a pairing heap over task.weir.{child, sibling, back}.
 *
 * `back` is the previous sibling, or the parent for a first child, or NULL for
 * the root; so a task is cut out of anywhere in O(1).
 */
#include "base/heap.h"

static weir_task *meld(weir_task *a, weir_task *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->weir.deadline < a->weir.deadline) {
        weir_task *swap = a;
        a = b, b = swap;
    }
    b->weir.back = a;
    b->weir.sibling = a->weir.child;
    if (a->weir.child)
        a->weir.child->weir.back = b;
    a->weir.child = b;
    return a;
}

/* Melds a list of siblings into one tree: in pairs on the way there, into one on
 * the way back. The way back is kept in `back`, so that no depth is needed. */
static weir_task *meld_siblings(weir_task *first)
{
    weir_task *pairs = NULL, *root = NULL;
    while (first) {
        weir_task *a = first, *b = a->weir.sibling;
        first = b ? b->weir.sibling : NULL;
        a->weir.sibling = a->weir.back = NULL;
        if (b)
            b->weir.sibling = b->weir.back = NULL;
        weir_task *pair = meld(a, b);
        pair->weir.back = pairs;
        pairs = pair;
    }
    while (pairs) {
        weir_task *next = pairs->weir.back;
        pairs->weir.back = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void wi_heap_insert(wi_heap *h, weir_task *t)
{
    t->weir.child = t->weir.sibling = t->weir.back = NULL;
    h->root = meld(h->root, t);
}

static void cut(weir_task *t)
{
    weir_task *back = t->weir.back, *next = t->weir.sibling;
    if (back->weir.child == t)
        back->weir.child = next;
    else
        back->weir.sibling = next;
    if (next)
        next->weir.back = back;
    t->weir.sibling = t->weir.back = NULL;
}

void wi_heap_remove(wi_heap *h, weir_task *t)
{
    if (t != h->root)
        cut(t);
    weir_task *rest = meld_siblings(t->weir.child);
    t->weir.child = NULL;
    h->root = t == h->root ? rest : meld(h->root, rest);
    if (h->root)
        h->root->weir.back = h->root->weir.sibling = NULL;
}
