/* SPDX-License-Identifier: ISC
 *
 * shared.h: what states have in common: mutexes, values packed once, values by name, progress.
 */
#pragma once

#include "runtime/state.h"
#include "codec/codec.h"

#pragma GCC visibility push(hidden)

typedef struct wl_owner  wl_owner;
typedef struct wl_packed wl_packed;

void wl_owner_end(wl_owner *o); /* gives back what it owns; NULL is allowed */
void wl_mutex_register(lua_State *L);

wl_packed **wl_packed_slot(lua_State *L); /* -> packed, empty; may throw */
bool wl_packed_fill(lua_State *L, wl_packed **slot, int first, int n, const wl_pack_options *o);
int  wl_packed_push(lua_State *L, const wl_packed *p); /* -> values...; may throw */
void wl_packed_register(lua_State *L);

void wl_shared_register(lua_State *L);
void wl_progress_register(lua_State *L); /* see weir/progress.lua */

#pragma GCC visibility pop
