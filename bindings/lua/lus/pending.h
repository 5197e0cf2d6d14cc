/* SPDX-License-Identifier: ISC
 *
 * pending.h: operations that may find nothing.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

enum wl_pending_kind { WL_PEEK, WL_RECEIVE, WL_SEND };

struct wl_pending {
    enum wl_pending_kind kind;
    wl_api              *t;
    wl_waker            *waker;    /* while it is armed */
    int64_t              deadline; /* negative: none */
    wl_msg              *item;     /* to send; owned */
    int                  n;
    struct {
        wl_actor *actor; /* held */
        wl_node   node;
    } at[];
};

wl_pending *wl_pending_push(lua_State *L, wl_api *t, enum wl_pending_kind kind,
                            int n); /* -> op for n actors */
void        wl_pending_add(wl_pending *op, wl_actor *a);
wl_pending *wl_pending_check(lua_State *L, int index);
int         wl_pending_try(lua_State *L, wl_pending *op); /* -> that many values */
bool wl_pending_arm(lua_State *L, wl_pending *op, enum wl_waker_kind kind); /* false: try again */
void wl_pending_disarm(wl_pending *op);
int  wl_pending_again(lua_State  *L,
                      wl_pending *op);         /* for an actor that parks: 0, and it is armed */
int64_t wl_pending_left(const wl_pending *op); /* negative: without end */
int     wl_pending_expire(lua_State *L, wl_pending *op); /* -> that many values: its time is up */
void    wl_pending_class_make(lua_State *L);             /* in every state that pushes ops */

#pragma GCC visibility pop
