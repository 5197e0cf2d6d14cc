/* SPDX-License-Identifier: ISC
 *
 * stop.h: actors that are stopped, by a limit or by who holds them.
 *
 * `stop` of an actor is set once, by whoever is first. Its thread finds it in a hook, which an
 * actor with limits has, and in each function of weir.worker: they raise, and from then on the
 * hook raises before every instruction, so that no pcall keeps the script. Code that calls
 * neither is not stopped: its thread is given up, see worker.close.
 *
 * Who ends it: `ended_by` is set once, by its own thread when the state is closed or by who
 * closes it now; who was first ends `out`, and says what it failed with.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

void        wl_stop_prepare(lua_State *L, wl_actor *a); /* a new state of one with limits */
void        wl_stop_forget(wl_actor *a);                /* before the state is closed */
void        wl_stop_end(wl_actor *a);                   /* after that */
void        wl_stop_set(wl_actor *a, enum wl_stop why);
const char *wl_stop_text(const wl_actor *a);          /* NULL: it goes on */
void        wl_stop_check(lua_State *L, wl_actor *a); /* raises when it is stopped */
void        wl_stop_look(lua_State *L);  /* for code that loops in C: as a hook would */
void        wl_slice_begin(wl_actor *a); /* its state is entered, and left */
void        wl_slice_end(wl_actor *a);

#pragma GCC visibility pop
