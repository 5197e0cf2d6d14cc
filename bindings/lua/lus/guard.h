/* SPDX-License-Identifier: ISC
 *
 * guard.h: a function of Lua's library that asks the state's rights at every call: where it
 * stands, and what it asks.
 */
#pragma once

#include "lus/rights.h"

#pragma GCC visibility push(hidden)

typedef struct wl_guard wl_guard;

/* Returns -1: now the original. */
typedef int wl_check_fn(lua_State *L, const wl_guard *g);

/* Code that no right binds: a C module, or a library of LuaJIT that sees through everything. */
enum wl_foreign {
    WL_NOT_FOREIGN,
    WL_FOREIGN,
    WL_FOREIGN_IF_FOUND /* where a function was returned */
};

typedef struct {
    const char     *table, *name; /* NULL: a global */
    const char     *full;         /* for errors */
    wl_check_fn    *check;
    enum wl_foreign foreign; /* what a call before a pledge has brought into the state */
} wl_place;

struct wl_guard {
    const wl_place *place;
    lua_CFunction   original;
    wl_lus         *state;
};

/* All of them. Without a name: every function of that library. */
extern const wl_place wl_places[], wl_searcher_places[3], wl_library_places[], wl_file_places[];
extern const size_t   wl_n_places, wl_n_library_places, wl_n_file_places;
extern const wl_place wl_debug_place, wl_jit_place;

#pragma GCC visibility pop
