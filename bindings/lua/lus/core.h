/* SPDX-License-Identifier: ISC
 *
 * core.h: the way from here to weir.core, and what is kept of each Lua state.
 */
#pragma once

#include "abi.h"

#pragma GCC visibility push(hidden)

/* Set by the first wl_core_require, constant afterwards. */
extern _Atomic(const wl_abi *) wl_core;

void wl_core_require(lua_State *L); /* raises when there is none that fits */

typedef struct wl_actor  wl_actor;
typedef struct wl_family wl_family;
typedef struct wl_rights wl_rights;

/* For the functions of weir.worker. */
typedef struct {
    wl_actor   *self;      /* NULL: the state is no actor's */
    const void *last;      /* the worker last served: a name, never followed */
    const void *metatable; /* of handles */
} wl_api;

/* In the registry, from the first use to lua_close. */
typedef struct {
    wl_api     api;     /* its functions and ops may point to it, because it stays */
    wl_actor  *actor;   /* whose state it is, or NULL; outlives it */
    wl_family *family;  /* of the actors that were made here */
    bool       ended;   /* no more are */
    wl_rights *rights;  /* NULL: all; see rights.h */
    bool       sealed;  /* they stay as they are */
    bool       guarded; /* its library's functions ask for them */
    bool       emptied; /* no literal opens FFI any more */
} wl_lus;

wl_lus *wl_lus_of(lua_State *L);                     /* NULL: not opened */
wl_lus *wl_lus_open(lua_State *L);                   /* the same, opened; may raise */
void    wl_lus_restrict(lua_State *L, wl_rights *r); /* takes r, which may be NULL */

/* The function has no upvalues. table -> table */
void wl_function(lua_State *L, const char *name, lua_CFunction fn);

#pragma GCC visibility pop
