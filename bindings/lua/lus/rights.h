/* SPDX-License-Identifier: ISC
 *
 * rights.h: what a state may do, for the rooms that ask.
 *
 * A set of rights is a list of layers, of which each allows or refuses; only what all of
 * them allow is allowed. A pledge puts a layer on top, nothing takes one off, so a set is
 * only ever narrowed. Layers are counted and never change: a worker starts with those of
 * its creator. No layer at all is everything.
 */
#pragma once

#include <limits.h>
#include <stdatomic.h>

#include "lus/core.h"

#pragma GCC visibility push(hidden)

enum wl_right {
    WL_FS_READ,
    WL_FS_WRITE,
    WL_LOAD,
    WL_EXEC,
    WL_ENV,
    WL_NETWORK,
    WL_STDIO,
    WL_LOCALE,
    WL_EXIT,
    WL_RIGHTS
};

typedef enum { WL_ANY, WL_NONE, WL_ONLY, WL_BUT } wl_extent; /* the last two: patterns */

typedef struct wl_pattern wl_pattern;
struct wl_pattern {
    wl_pattern *next;
    size_t      literal;
    int         folder; /* kept; -1: none */
    char        text[];
};

struct wl_rights {
    _Atomic unsigned refs;
    wl_rights       *below; /* held */
    struct {
        wl_extent   extent;
        wl_pattern *patterns;
    } of[WL_RIGHTS];
};

wl_rights *wl_rights_new(wl_rights *below, wl_extent extent); /* NULL: no memory */
void       wl_rights_ref(wl_rights *r);
void       wl_rights_unref(wl_rights *r); /* NULL is allowed */
/* pattern NULL: all of the right. Its first `literal` bytes stand for themselves; behind them "*"
 * stands for anything, and every other character for itself. False: no memory. */
bool wl_rights_add(wl_rights *r, enum wl_right right, wl_extent extent, const char *pattern,
                   size_t literal);
/* Whether all of it is held; with a value (a canonical path, a name): whether that is. */
bool wl_rights_have(const wl_rights *r, enum wl_right right, const char *value);

/* Whether it is held for all that lies below a folder, whatever that may be. */
bool wl_rights_have_below(const wl_rights *r, enum wl_right right, const char *folder);

/* Of patterns that are a whole folder, which is opened by `keep`: -1 when it cannot be. */
typedef int wl_keep_fn(const char *folder);
void        wl_rights_keep(wl_rights *r, enum wl_right right, wl_keep_fn *keep);
/* The folder that was kept for the rights (bits), when all of them are held for what lies beneath
 * it and for that alone, and the path begins with its name, of *size bytes; else -1. */
int wl_rights_kept(const wl_rights *r, unsigned rights, const char *path, size_t *size);

/* ---- a state's ------------------------------------------------------------------ */

bool wl_is_restricted(lua_State *L); /* pledged, or made by one that had */
/* Raises: function: permission "right" denied for value, which may be NULL. WL_RIGHTS: all. */
void wl_deny(lua_State *L, const char *function, enum wl_right right, const char *value);
/* Raise, naming the function, when the state does not have the right. */
void wl_need(lua_State *L, const char *function, enum wl_right right, const char *value);

void wl_pledge_push(lua_State *L); /* -> pledge */
/* Once per state. A new one is as luaL_openlibs makes it, and as each actor's without limits is. */
void wl_guards_install(lua_State *L, bool is_new);

/* Foreign code, by the names of its modules: noted when it comes into the state, refused by the
 * first pledge unless somebody vouches for it. */
void wl_foreign_note(lua_State *L, const char *name);
void wl_foreign_vouch(lua_State *L, const char *name);
void wl_foreign_push(lua_State *L); /* -> name, or nil: one that nobody vouched for */
void wl_foreign_empty(
    lua_State *L); /* once, before the first of the three: no literal opens FFI later */

#pragma GCC visibility pop
