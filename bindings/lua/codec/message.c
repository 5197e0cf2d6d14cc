/* SPDX-License-Identifier: ISC
 *
 * message.c: a message without any Lua state, and its memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "codec/format.h"

wl_message *wl_message_new(void)
{
    wl_message *m = malloc(sizeof *m + WL_SMALL_CAPACITY);
    if (m)
        *m = (wl_message){.capacity = WL_SMALL_CAPACITY};
    return m;
}

/* ---- large ones: mapped, and the last that was freed is kept for the next ------ */

/* On the heap each would leave a hole at its end, which the allocator gives back to the
 * system; a page fault for each 4 KiB of the next costs more than the copying. The kept
 * one may be had from here by whoever is first; the system may have its pages meanwhile. */
static _Atomic(wl_message *) kept;

static bool is_mapped(const wl_message *m) { return m->capacity >= WL_MAPPED_CAPACITY; }

/* Rounded up to what the system gives, in large pages if it can. */
static size_t length_for(size_t capacity)
{
    const size_t huge = (size_t)1 << 21, page = 1 << 12;
    size_t       length = sizeof(wl_message) + capacity, unit = length < 2 * huge ? page : huge;
    return (length + unit - 1) & ~(unit - 1);
}

static void unmap(wl_message *m)
{
    if (m)
        munmap(m, sizeof *m + m->capacity);
}

static wl_message *map(size_t capacity)
{
    size_t length = length_for(capacity);
    void  *p = length < capacity
                   ? MAP_FAILED
                   : mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(p, length, MADV_HUGEPAGE);
#endif
    wl_message *m = p;
    m->capacity = length - sizeof *m;
    return m;
}

static wl_message *take_kept(size_t capacity)
{
    wl_message *m = atomic_exchange(&kept, NULL);
    if (m && m->capacity >= capacity)
        return m;
    unmap(m);
    return NULL;
}

static void keep_mapping(wl_message *m)
{
#ifdef MADV_FREE
    const size_t page = 1 << 12; /* the first says how large it is */
    madvise((char *)m + page, sizeof *m + m->capacity - page, MADV_FREE);
#endif
    unmap(atomic_exchange(&kept, m));
}

static void free_memory(wl_message *m)
{
    if (!is_mapped(m))
        free(m);
    else if (m->capacity <= WL_KEPT_CAPACITY)
        keep_mapping(m);
    else
        unmap(m);
}

/* ---- how large they are -------------------------------------------------------- */

/* What m holds, in memory for that much. NULL: m is as it was. */
static wl_message *move(wl_message *m, size_t capacity)
{
    bool        maps = capacity >= WL_MAPPED_CAPACITY;
    wl_message *other = maps ? take_kept(capacity) : malloc(sizeof *m + capacity);
    if (maps && !other)
        other = map(capacity);
    if (!other)
        return NULL;
    capacity = maps ? other->capacity : capacity;
    memcpy(other, m, sizeof *m + m->size);
    other->capacity = capacity;
    free_memory(m);
    return other;
}

/* One that is mapped and stays so. */
static wl_message *remap(wl_message *m, size_t capacity)
{
#ifdef MREMAP_MAYMOVE
    size_t length = length_for(capacity);
    void  *p =
        length < capacity ? MAP_FAILED : mremap(m, sizeof *m + m->capacity, length, MREMAP_MAYMOVE);
    if (p == MAP_FAILED)
        return NULL;
    m = p;
    m->capacity = length - sizeof *m;
    return m;
#else
    return move(m, capacity);
#endif
}

wl_message *wl_message_resize(wl_message *m, size_t capacity)
{
    bool maps = capacity >= WL_MAPPED_CAPACITY;
    if (is_mapped(m) != maps)
        return move(m, capacity);
    if (maps)
        return remap(m, capacity);
    m = realloc(m, sizeof *m + capacity);
    if (m)
        m->capacity = capacity;
    return m;
}

wl_message *wl_message_fit(wl_message *m)
{
    if (m->capacity <= WL_LOOSE_CAPACITY || m->size > m->capacity / 2)
        return m;
    wl_message *smaller = wl_message_resize(m, m->size);
    return smaller ? smaller : m;
}

size_t wl_message_size(const wl_message *m)
{
    return sizeof *m + m->capacity + m->max_sides * sizeof *m->sides;
}

static void release(wl_side *s)
{
    if (s->kind == WL_SIDE_BLOB)
        wl_blob_release(s->p);
    else if (s->kind == WL_SIDE_HANDLE)
        s->type->release(s->p);
}

static void release_sides(wl_message *m)
{
    for (uint32_t i = 0; i < m->n_sides; i++)
        release(&m->sides[i]);
    m->n_sides = 0;
}

void wl_message_free(wl_message *m)
{
    if (!m)
        return;
    release_sides(m);
    free(m->sides);
    free_memory(m);
}

wl_message *wl_message_empty(wl_message *m)
{
    if (m && m->capacity > WL_KEPT_CAPACITY) {
        wl_message_free(m);
        return NULL;
    }
    if (m) {
        release_sides(m);
        m->size = 0;
    }
    return m;
}
