/* SPDX-License-Identifier: ISC
 *
 * family.h: the actors that a state has made.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

/* What a state's actors have in common: their parent. Counted. */
struct wl_family {
    _Atomic unsigned refs;
    unsigned         generation; /* of the process */
    wl_actor        *first;      /* guarded by the roster's lock */
};

/* Of the state in which it is made. NULL, or why it cannot live. */
const char *wl_family_enter(lua_State *L, wl_actor *a);
void        wl_family_leave(wl_actor *a); /* it has entered, and lives no more */
void        wl_family_end(wl_lus *s);     /* the state makes no more, and those it made are told */

#pragma GCC visibility pop
