/* SPDX-License-Identifier: ISC
 *
 * failure.h: what an actor fails with.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

/* What it fails with; see lus/failure.c. */
void wl_failure_prepare(lua_State *L);
void wl_failure_text(wl_actor *a, const char *text);
void wl_failure_keep(lua_State *L, wl_actor *a);       /* error -> error */
void wl_failure_of_script(lua_State *L, wl_actor *a);  /* with its traceback */
void wl_failure_push(lua_State *L, const wl_actor *a); /* -> error */
bool wl_failure_waits(wl_actor *a);                    /* of a dead one: to be thrown */
bool wl_failure_take(wl_actor *a);                     /* the same, once */

#pragma GCC visibility pop
