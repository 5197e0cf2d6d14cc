/* SPDX-License-Identifier: ISC
 *
 * arena.c: the memory of an actor's state, most of it in one block.
 *
 * A state has hundreds of small objects before it does anything: to get each of them from
 * the C library, and to give it back, took half the time of a worker that does little. So
 * what is small comes from the front of a block, as long as there is room; what is given
 * back waits in a list of its size to be taken again, and all of it goes with the state.
 * Whatever does not fit, or is not small, the C library gives: so what a state of much
 * memory gives back is not kept for a size that it needs no more.
 *
 * One thread is in a state at a time, so nothing here is locked.
 */
#include "lus/arena.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { UNIT = 8, SMALL = 512, SIZES = SMALL / UNIT };

/* About what a state with the libraries and nothing else takes in small objects. */
enum { UNITS = (LUA_VERSION_NUM < 502 ? 48 : 32) * 1024 / UNIT };

typedef struct {
    uint32_t used;            /* units; all behind them were never given */
    uint16_t back[SIZES + 1]; /* by size: the piece given back last, one more than its first unit */
    bool     begins;          /* what the state is made of comes from here, whatever its size */
    bool     warns, goes_on;
    uint64_t units[UNITS];
} block;

static size_t units_of(size_t size) { return (size + UNIT - 1) / UNIT; }

static bool is_in(const block *b, const void *p) { return (uintptr_t)p - (uintptr_t)b < sizeof *b; }

/* NULL: there is no room. */
static void *take_piece(block *b, size_t size)
{
    size_t n = units_of(size), first = b->used;
    if (n > SIZES && !b->begins)
        return NULL;
    if (n <= SIZES && b->back[n]) {
        first = b->back[n] - 1u;
        ASAN_UNPOISON_MEMORY_REGION(&b->units[first], n * UNIT);
        b->back[n] = (uint16_t)b->units[first];
    } else if (n > UNITS - first) {
        return NULL;
    } else {
        b->used += (uint32_t)n;
    }
    ASAN_UNPOISON_MEMORY_REGION(&b->units[first], size);
    return &b->units[first];
}

static void give_units(block *b, size_t first, size_t n)
{
    ASAN_UNPOISON_MEMORY_REGION(&b->units[first], UNIT);
    b->units[first] = b->back[n];
    b->back[n] = (uint16_t)(first + 1);
    ASAN_POISON_MEMORY_REGION(&b->units[first], n * UNIT);
}

static void give(block *b, void *p, size_t size)
{
    size_t n = units_of(size), first = (size_t)((uint64_t *)p - b->units);
    for (; n > SIZES; n -= SIZES, first += SIZES)
        give_units(b, first, SIZES);
    give_units(b, first, n);
}

static void *get_piece(block *b, size_t size)
{
    void *p = take_piece(b, size);
    return p ? p : malloc(size);
}

/* Lua holds it for certain that what shrinks is not refused; it may stay where it is. */
static void *resize_outside(void *old, size_t old_size, size_t size)
{
    void *p = realloc(old, size);
    return p || size > old_size ? p : old;
}

static void *resize_inside(block *b, void *old, size_t old_size, size_t size)
{
    if (units_of(size) == units_of(old_size)) {
        ASAN_UNPOISON_MEMORY_REGION(old, size);
        return old;
    }
    void *p = get_piece(b, size);
    if (!p)
        return size < old_size ? old : NULL;
    memcpy(p, old, size < old_size ? size : old_size);
    give(b, old, old_size);
    return p;
}

/* A lua_Alloc. */
static void *allocate(void *state_block, void *old, size_t old_size, size_t size)
{
    block *b = state_block;
    bool   inside = is_in(b, old);
    if (size == 0) {
        if (inside)
            give(b, old, old_size);
        else
            free(old);
        return NULL;
    }
    if (!old)
        return get_piece(b, size);
    return inside ? resize_inside(b, old, old_size, size) : resize_outside(old, old_size, size);
}

/* ---- states --------------------------------------------------------------------------- */

#if LUA_VERSION_NUM >= 504

/* What luaL_newstate gives its states: off until warn("@on"). */
static void warn(void *state_block, const char *message, int more)
{
    block *b = state_block;
    if (!b->goes_on && !more && *message == '@') {
        if (strcmp(message, "@on") == 0 || strcmp(message, "@off") == 0)
            b->warns = message[2] == 'n';
        return;
    }
    if (b->warns)
        fprintf(stderr, "%s%s%s", b->goes_on ? "" : "Lua warning: ", message, more ? "" : "\n");
    b->goes_on = more;
}

#endif

static lua_State *new_state(block *b)
{
#if LUA_VERSION_NUM >= 505
    lua_State *L = lua_newstate(allocate, b, luaL_makeseed(NULL));
#else
    lua_State *L = lua_newstate(allocate, b);
#endif
#if LUA_VERSION_NUM >= 504
    if (L)
        lua_setwarnf(L, warn, b);
#endif
    return L;
}

/* The block has room for what lua_newstate wants: LuaJIT of 2022 (Debian 12) crashes
 * when it gets a part of that. One whose pointers have 32 bits takes its own memory
 * alone. */
lua_State *wl_arena_open(void)
{
    block *b = malloc(sizeof *b);
    if (!b)
        return NULL;
    memset(b, 0, offsetof(block, units));
    ASAN_POISON_MEMORY_REGION(b->units, sizeof b->units);
    b->begins = true;
    lua_State *L = new_state(b);
    b->begins = false;
    if (!L)
        free(b);
    return L ? L : luaL_newstate();
}

void wl_arena_close(lua_State *L)
{
    void     *b;
    lua_Alloc f = lua_getallocf(L, &b);
    lua_close(L);
    if (f == allocate)
        free(b);
}
