/* SPDX-License-Identifier: ISC
 *
 * entries.c: the objects that the packer has met, by address and by number.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/packer.h"

/* Neighbours in memory, which are often packed one after the other, are neighbours here,
 * in the caches; blocks of 64 KiB are not. */
static uint32_t *slot_of(const wl_packer *p, const void *object)
{
    uint64_t address = (uintptr_t)object;
    size_t   i = (size_t)((address >> 4) + ((address >> 16) * UINT64_C(0x9e3779b97f4a7c15) >> 32));
    for (;; i++) {
        uint32_t *slot = &p->slots[i & (p->n_slots - 1)];
        if (*slot == 0 || p->entries[*slot - 1].object == object)
            return slot;
    }
}

uint32_t wl_entry_number(const wl_packer *p, const void *object)
{
    return p->n_entries ? *slot_of(p, object) : 0;
}

static void more_entries(wl_packer *p)
{
    uint32_t  n = 2 * p->max_entries;
    bool      first = p->entries == p->few_entries;
    wl_entry *old = first ? NULL : p->entries;
    wl_entry *entries = n < UINT32_MAX / 4 ? realloc(old, n * sizeof *entries) : NULL;
    if (!entries)
        wl_put_no_memory(p);
    if (first)
        memcpy(entries, p->few_entries, sizeof p->few_entries);
    p->entries = entries;
    uint32_t *slots = calloc(2 * (size_t)n, sizeof *slots);
    if (!slots)
        wl_put_no_memory(p);
    if (p->slots != p->few_slots)
        free(p->slots);
    p->slots = slots;
    p->n_slots = 2 * n;
    p->max_entries = n;
    for (uint32_t i = 0; i < p->n_entries; i++)
        *slot_of(p, p->entries[i].object) = i + 1;
}

/* Gives the object the next number. */
wl_entry *wl_entry_add(wl_packer *p, const void *object, enum wl_tag kind)
{
    if (p->n_entries == p->max_entries)
        more_entries(p);
    wl_entry *e = &p->entries[p->n_entries];
    uint32_t *slot = slot_of(p, object);
    *e = (wl_entry){object, p->m->size, p->current, (uint8_t)kind};
    *slot = ++p->n_entries;
    return e;
}

bool wl_entry_has_contents(const wl_entry *e)
{
    return e->kind == WL_TABLE || e->kind == WL_FUNCTION;
}

bool wl_entry_holds_others(const wl_entry *e)
{
    return wl_entry_has_contents(e) || e->kind == WL_TREE;
}
